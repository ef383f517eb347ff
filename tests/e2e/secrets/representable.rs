//! Secrets with any text in them, fetched, and read back by the real Compose from the `.env` that was written.

use std::collections::{BTreeMap, BTreeSet};

use agnes_e2e::deployment::Deployment;

use super::{current, ensure, env_path, env_text, host, live};
use crate::dotenv::{Compose, Random};

/// Chosen ones, each of which some dialect of `.env` gets wrong.
const CHOSEN: [&str; 14] = [
    "a'b\"c`d",
    "$HOME ${HOME} $$ $(id)",
    "# not a comment",
    "a # nor this",
    "back\\slash \\n \\\\",
    "  blanks around  ",
    "line\nline",
    "line\r\nline",
    "\ttab",
    "\u{1f511} \u{e9}",
    "KEY=value",
    "export X=1",
    "\u{feff}bom",
    "'",
];
/// Lines of a person's.
const THEIRS: &str = "# theirs: $(never)\nZED='$x `y`' # why\nexport OTHER=\"a\\tb\"\n";
const AT_ONCE: usize = 30;

/// A host with a source for each of these values.
fn fetching(values: &BTreeMap<String, String>) -> Deployment {
    let deployment = host();
    let mut toml = String::new();
    for (name, value) in values {
        let path = deployment.dir().join(format!("{name}.source"));
        // what ends a file is not part of what it says
        std::fs::write(&path, format!("{value}\n")).unwrap();
        let source = format!("file://{}", path.display());
        toml.push_str(&format!("[secrets.{name}]\nsource = \"{source}\"\n"));
    }
    deployment.toml(&toml)
}

#[test]
fn what_ensure_writes_compose_reads_back_byte_for_byte() {
    let Some(compose) = Compose::find() else {
        return;
    };
    let mut random = Random::seeded();
    let mut all: Vec<String> = CHOSEN.map(str::to_owned).into();
    all.extend((0..60).map(|_| random.value()).filter(|value| {
        // a blank fetch is no value, and a carriage return at the end belongs to the line's
        !value.trim().is_empty() && !value.ends_with('\r')
    }));
    for values in all.chunks(AT_ONCE) {
        let named = values.iter().enumerate();
        let values: BTreeMap<String, String> = named
            .map(|(number, value)| (format!("VALUE_{number}"), value.clone()))
            .collect();
        let deployment = fetching(&values);
        let text = format!("{THEIRS}{}", env_text(&deployment));
        std::fs::write(env_path(&deployment), &text).unwrap();
        ensure(&deployment).exits(0).with_outcome("changed");
        let written = std::fs::read(env_path(&deployment)).unwrap();
        assert!(
            written.starts_with(text.as_bytes()),
            "a person's line changed"
        );
        let names: BTreeSet<String> = values.keys().cloned().collect();
        let read = compose.read(&written, &names).unwrap();
        for (name, value) in &values {
            assert_eq!(read.get(name), Some(value), "{name}");
            assert_eq!(&current(&deployment, name).1, value, "{name}");
            assert_eq!(&live(&deployment, name), value, "{name}");
        }
        ensure(&deployment).exits(0).with_outcome("unchanged");
    }
}
