//! The README of each Terraform module: what it takes and what it gives, from its own files.
//!
//! Always true: a function of `variables.tf`, `outputs.tf` and `about.md` of the module; a block without a description is an error.
//!
//! Does not: read HCL (it reads the blocks as `terraform fmt` leaves them).

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// The modules.
pub(super) const MODULES: [(&str, &str); 3] = [
    (
        "customer-instance",
        "terraform/modules/customer-instance/README.md",
    ),
    (
        "startup-script",
        "terraform/modules/startup-script/README.md",
    ),
    ("exposure", "terraform/modules/exposure/README.md"),
];

/// One `variable` or `output`.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    name: String,
    description: String,
    /// The first word of its type.
    kind: String,
    default: Option<String>,
    /// Of the object that it is, or a list of.
    attributes: Vec<Attribute>,
}

/// One attribute of an object.
#[derive(Debug, PartialEq, Eq)]
struct Attribute {
    name: String,
    kind: String,
    default: String,
    /// Its comment.
    meaning: Option<String>,
}

/// The README of a module.
///
/// # Errors
/// When a file cannot be read, or a block has no description.
pub(super) fn readme(root: &Path, module: &str) -> Result<String> {
    let dir = root.join("terraform/modules").join(module);
    let read = |name: &str| {
        let path = dir.join(name);
        fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    };
    let mut text = format!(
        "<!-- Generated from this module's files by `cargo xtask docs`; edits here are lost. -->\n# {module}\n\n{}\n\n## Inputs\n\n| name | type | default | meaning |\n|---|---|---|---|\n",
        read("about.md")?.trim()
    );
    let inputs = blocks(&read("variables.tf")?, "variable")?;
    for block in &inputs {
        let default = match &block.default {
            Some(default) => format!("`{default}`"),
            None => "required".to_owned(),
        };
        let _ = writeln!(
            text,
            "| `{}` | {} | {default} | {} |",
            block.name, block.kind, block.description
        );
    }
    for block in &inputs {
        if let Some(table) = attributes(block)? {
            let _ = write!(text, "\n### `{}`\n\n{table}", block.name);
        }
    }
    text.push_str("\n## Outputs\n\n| name | meaning |\n|---|---|\n");
    for block in blocks(&read("outputs.tf")?, "output")? {
        let _ = writeln!(text, "| `{}` | {} |", block.name, block.description);
    }
    Ok(text)
}

/// What an object is made of; `None`: another variable says it, or it is no object.
///
/// # Errors
/// When only some attributes say what they are.
fn attributes(block: &Block) -> Result<Option<String>> {
    if block.attributes.iter().all(|one| one.meaning.is_none()) {
        return Ok(None);
    }
    let mut text = "| attribute | type | default | meaning |\n|---|---|---|---|\n".to_owned();
    for attribute in &block.attributes {
        let meaning = attribute
            .meaning
            .as_ref()
            .with_context(|| format!("{}.{} has no comment", block.name, attribute.name))?;
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            attribute.name,
            attribute.kind,
            attribute.default,
            meaning.replace('|', "\\|")
        );
    }
    Ok(Some(text))
}

/// `name = optional(type, default) # meaning`, or `name = type # meaning`.
fn attribute(line: &str) -> Option<Attribute> {
    let (name, rest) = line.split_once('=')?;
    let (kind, meaning) = match rest.split_once(" # ") {
        Some((kind, meaning)) => (kind, Some(meaning.trim().to_owned())),
        None => (rest, None),
    };
    let kind = kind.trim();
    let optional = kind
        .strip_prefix("optional(")
        .and_then(|kind| kind.strip_suffix(')'));
    let (kind, default) = match optional {
        None => (kind, "required".to_owned()),
        Some(inner) => {
            // the default stands behind the last comma that is in no bracket
            let mut depth = 0;
            let comma = inner.char_indices().find(|(_, c)| {
                match c {
                    '(' | '{' | '[' => depth += 1,
                    ')' | '}' | ']' => depth -= 1,
                    _ => {}
                }
                *c == ',' && depth == 0
            });
            match comma.and_then(|(at, _)| Some((inner.get(..at)?, inner.get(at + 1..)?))) {
                Some((kind, default)) => (kind, format!("`{}`", default.trim())),
                None => (inner, "`null`".to_owned()),
            }
        }
    };
    Some(Attribute {
        name: name.trim().to_owned(),
        kind: short(kind),
        default,
        meaning,
    })
}

/// A type without what its objects are made of.
fn short(kind: &str) -> String {
    let head = kind.split_once("({").map_or(kind, |(head, _)| head);
    head.replace("(object", " of objects")
}

fn blocks(text: &str, kind: &str) -> Result<Vec<Block>> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line
            .strip_prefix(kind)
            .and_then(|rest| rest.trim().strip_prefix('"')?.strip_suffix("\" {"))
        else {
            continue;
        };
        // what `terraform fmt` leaves: a block's own fields are two blanks in, and it ends at the margin
        let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "}").collect();
        let field = |key: &str| {
            body.iter().find_map(|line| {
                let (found, value) = line.strip_prefix("  ")?.split_once('=')?;
                (found.trim_end() == key).then(|| value.trim().to_owned())
            })
        };
        let description = field("description").unwrap_or_default();
        let description = description.trim_matches('"').replace("\\\"", "\"");
        ensure!(!description.is_empty(), "{kind} {name} has no description");
        let kind = field("type").unwrap_or_default();
        let object = body
            .iter()
            .skip_while(|line| !line.ends_with("object({"))
            .skip(1)
            .take_while(|line| line.starts_with("    "));
        let attributes = object.filter_map(|line| attribute(line)).collect();
        found.push(Block {
            name: name.to_owned(),
            description: description.replace('|', "\\|"),
            kind: short(&kind),
            default: field("default"),
            attributes,
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The attributes of the object that a variable is.
    fn attributes(module: &str, variable: &str) -> Vec<String> {
        let root = crate::checkout::root().unwrap();
        let path = root.join("terraform/modules").join(module);
        let text = fs::read_to_string(path.join("variables.tf")).unwrap();
        let (_, rest) = text
            .split_once(&format!("variable \"{variable}\" {{"))
            .unwrap();
        let (_, rest) = rest.split_once("object({\n").unwrap();
        let (object, _) = rest.split_once("\n  })").unwrap();
        let names = object.lines().map(|line| line.split_once('=').unwrap().0);
        names.map(|name| name.trim().to_owned()).collect()
    }

    /// Terraform drops what a type does not name without a word.
    #[test]
    fn nothing_that_an_instance_is_told_is_dropped_on_its_way() {
        let prod = attributes("customer-instance", "prod_instance");
        assert_eq!(prod, attributes("customer-instance", "dev_instances"));
        let of_the_host = attributes("startup-script", "instance");
        // what the machine is made with, and not told
        let of_the_machine = [
            "name",
            "machine_type",
            "boot_image",
            "disk_size_gb",
            "data_disk_gb",
            "data_disk_type",
            "source_ranges",
        ];
        let known =
            |name: &String| of_the_host.contains(name) || of_the_machine.contains(&name.as_str());
        let dropped: Vec<&String> = prod.iter().filter(|name| !known(name)).collect();
        assert!(dropped.is_empty(), "{dropped:?}");
        // and what the module has of its own
        let own = ["data_device"];
        let missing = of_the_host.iter().filter(|name| !prod.contains(name));
        assert_eq!(missing.collect::<Vec<_>>(), own);
    }

    /// A secret by value would stand in the state and in the machine's metadata.
    #[test]
    fn no_secret_is_an_ordinary_variable_of_the_environment() {
        let path = "terraform/modules/startup-script/variables.tf";
        let text = fs::read_to_string(crate::checkout::root().unwrap().join(path)).unwrap();
        let refused = text
            .lines()
            .find(|line| line.contains("setintersection(keys(var.instance.env)"))
            .unwrap();
        for key in agnes_config::env_keys::KEYS
            .iter()
            .filter(|key| key.is_secret())
        {
            let name = key.env.unwrap();
            assert!(refused.contains(&format!("\"{name}\"")), "{name}");
        }
    }

    #[test]
    fn blocks_are_read_as_fmt_leaves_them() {
        let text = "variable \"a\" {\n  description = \"An \\\"a\\\" | b.\"\n  type        = list(string)\n  default     = []\n}\n\nvariable \"b\" {\n  description = \"B.\"\n  type = object({\n    default = string\n  })\n}\n";
        let found = blocks(text, "variable").unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].description, "An \"a\" \\| b.");
        assert_eq!(
            (found[0].kind.as_str(), found[0].default.as_deref()),
            ("list(string)", Some("[]"))
        );
        // a field of the type is no field of the block
        assert_eq!(
            (found[1].kind.as_str(), &found[1].default),
            ("object", &None)
        );
        let attributes = &found[1].attributes;
        assert_eq!(
            (attributes.len(), attributes[0].default.as_str()),
            (1, "required")
        );
        let odd =
            attribute("    a = optional(map(object({ b = optional(bool), c = string })), {}) # M.")
                .unwrap();
        assert_eq!(
            (odd.kind.as_str(), odd.default.as_str()),
            ("map of objects", "`{}`")
        );
        assert!(blocks("variable \"c\" {\n}\n", "variable").is_err());
    }
}
