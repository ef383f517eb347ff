//! The startup script of a cloud's machine, as Terraform's `templatefile()` renders it, byte for byte.
//!
//! Always true: the three values that it carries hold no character that a shell gives a meaning to; the configuration is in one of them,
//! encoded (B03).
//!
//! Does not: know what is in the configuration.

use base64::Engine as _;
use serde::Deserialize;
use serde_json::Value;
use unicode_normalization::UnicodeNormalization as _;

/// What Terraform renders too.
const TEMPLATE: &str = include_str!("../../../templates/startup-script.sh.tftpl");

/// The template's variables.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variables {
    /// Where `agnes-ops` is: `https://…` or `gs://bucket/object`.
    pub agnes_ops_url: String,
    /// Its SHA-256, 64 lower-case hexadecimal digits.
    pub agnes_ops_sha256: String,
    /// What `agnes-ops boot` is given.
    pub config: Value,
}

/// Renders it.
///
/// # Errors
/// Which variable is not what it has to be.
pub fn render(variables: &Variables) -> Result<String, String> {
    let url = &variables.agnes_ops_url;
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("gs://"));
    let plain = |c: char| c.is_ascii_alphanumeric() || "./_:%+=-".contains(c);
    if !rest.is_some_and(|rest| !rest.is_empty() && rest.chars().all(plain)) {
        // what is wrong with it may be that a password is in it
        let expected = "https://… or gs://…, of letters, digits and ./_:%+=-";
        return Err(format!("agnes_ops_url is wrong (expected {expected})"));
    }
    let sum = &variables.agnes_ops_sha256;
    let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if sum.len() != 64 || !sum.bytes().all(digit) {
        return Err(format!(
            "agnes_ops_sha256 is {sum:?} (expected 64 lower-case hexadecimal digits)"
        ));
    }
    if !variables.config.is_object() {
        return Err("config is no object".to_owned());
    }
    let config = base64::engine::general_purpose::STANDARD.encode(jsonencode(&variables.config));
    Ok(TEMPLATE
        .replace("${agnes_ops_url}", url)
        .replace("${agnes_ops_sha256}", sum)
        .replace("${base64encode(jsonencode(config))}", &config))
}

/// Terraform's `jsonencode()`: no blanks, keys in order, text in its composed form, and what HTML gives a meaning to escaped.
pub fn jsonencode(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &Value, to: &mut String) {
    match value {
        Value::Null => to.push_str("null"),
        Value::Bool(truth) => to.push_str(&truth.to_string()),
        Value::Number(number) => write_number(number, to),
        Value::String(text) => write_text(text, to),
        Value::Array(items) => {
            to.push('[');
            for (number, item) in items.iter().enumerate() {
                if number > 0 {
                    to.push(',');
                }
                write(item, to);
            }
            to.push(']');
        }
        Value::Object(fields) => {
            // two keys that are one when composed are one for Terraform too
            let fields: std::collections::BTreeMap<String, &Value> = fields
                .iter()
                .map(|(key, value)| (key.nfc().collect(), value))
                .collect();
            to.push('{');
            for (number, (key, value)) in fields.iter().enumerate() {
                if number > 0 {
                    to.push(',');
                }
                write_text(key, to);
                to.push(':');
                write(value, to);
            }
            to.push('}');
        }
    }
}

/// Without an exponent.
fn write_number(number: &serde_json::Number, to: &mut String) {
    let text = match number.as_f64() {
        Some(float) if !number.is_i64() && !number.is_u64() => float.to_string(),
        _ => number.to_string(),
    };
    to.push_str(&text);
}

fn write_text(text: &str, to: &mut String) {
    to.push('"');
    for c in text.nfc() {
        match c {
            '"' => to.push_str("\\\""),
            '\\' => to.push_str("\\\\"),
            '\n' => to.push_str("\\n"),
            '\r' => to.push_str("\\r"),
            '\t' => to.push_str("\\t"),
            '\u{8}' => to.push_str("\\b"),
            '\u{c}' => to.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => escape(c, to),
            c if c < ' ' => escape(c, to),
            c => to.push(c),
        }
    }
    to.push('"');
}

fn escape(c: char, to: &mut String) {
    to.push_str(&format!("\\u{:04x}", u32::from(c)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Value {
        serde_json::json!({
            "agnes_ops_url": "https://releases.example.com/1.4.2/agnes-ops",
            "agnes_ops_sha256": "0".repeat(64),
            "config": {"version": 1},
        })
    }

    fn rendered(variables: Value) -> Result<String, String> {
        let variables =
            serde_json::from_value(variables).map_err(|why: serde_json::Error| why.to_string())?;
        render(&variables)
    }

    #[test]
    fn the_script_is_short_and_no_expression_is_left() {
        let script = rendered(variables()).unwrap();
        assert!(script.lines().count() <= 80, "{}", script.lines().count());
        assert!(!script.contains("${") && !script.contains("%{"), "{script}");
    }

    #[test]
    fn b03_a_value_that_a_shell_would_read_is_refused() {
        let with = |key: &str, value: &str| {
            let mut variables = variables();
            variables[key] = value.into();
            rendered(variables)
        };
        for url in [
            "http://releases.example.com/x",
            "https://",
            "gs://",
            "https://example.com/a;id",
            "https://example.com/$(id)",
            "https://example.com/a b",
            "https://example.com/a\nid",
            // sh puts a directory there
            "https://example.com/a:~/b",
            // and its curl would put it into its arguments
            "https://user:password@example.com/a",
            "file:///x",
        ] {
            assert!(with("agnes_ops_url", url).is_err(), "{url}");
        }
        for sum in [
            "",
            "0",
            &"g".repeat(64),
            &"A".repeat(64),
            &format!("{};", "0".repeat(63)),
        ] {
            assert!(with("agnes_ops_sha256", sum).is_err(), "{sum}");
        }
        assert!(with("agnes_ops_url", "gs://bucket/agnes-ops").is_ok());
        assert!(with("config", "text").is_err());
        assert!(with("another", "x").is_err());
    }

    #[test]
    fn json_is_as_terraform_writes_it() {
        let value = serde_json::json!({
            "b": ["<a>&'\"\\\u{8}\u{c}\n\u{1}\u{7f}\u{2028}é", null, true, 10, 1.5],
            "a": "e\u{301}",
        });
        assert_eq!(
            jsonencode(&value),
            "{\"a\":\"é\",\"b\":[\"\\u003ca\\u003e\\u0026'\\\"\\\\\\b\\f\\n\\u0001\u{7f}\\u2028é\",null,true,10,1.5]}"
        );
    }
}
