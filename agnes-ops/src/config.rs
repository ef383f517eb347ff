//! `config show` and `config check`: every value with its source, every problem with its place.
//!
//! Always true: problems never hide values; a secret is shown as its length.
//!
//! Does not: parse (that is agnes-config).

use agnes_config::{Loaded, Problem};
use serde_json::{Value, json};

use crate::outcome::{Exit, Outcome, Refusal, Report, one_line};

/// Every key, value and source; exit 78 when there are problems, after showing all the same.
pub fn show(loaded: &Loaded) -> Report {
    let widest = loaded
        .values
        .iter()
        .map(|value| value.key.len())
        .max()
        .unwrap_or(0);
    let lines: Vec<String> = loaded
        .values
        .iter()
        .map(|value| {
            let problem = value
                .problem
                .as_ref()
                .map(|problem| format!("  <- {problem}"))
                .unwrap_or_default();
            one_line(&format!(
                "{:widest$}  {}  ({}){problem}",
                value.key, value.value, value.source
            ))
        })
        .collect();
    let values: Vec<Value> = loaded
        .values
        .iter()
        .map(|value| {
            let mut row = json!({
                "key": value.key, "toml": value.toml, "value": value.value, "source": value.source.to_string(),
            });
            if let (Some(problem), Value::Object(fields)) = (&value.problem, &mut row) {
                fields.insert("problem".into(), problem.clone().into());
            }
            row
        })
        .collect();
    let mut report = check(loaded);
    report.text = lines.join("\n");
    report.details.insert("values".into(), values.into());
    report
}

/// Every problem and warning; exit 0 or 78.
pub fn check(loaded: &Loaded) -> Report {
    let mut report = match &loaded.settings {
        Some(_) => Report::ok(Outcome::Unchanged, "the configuration is valid"),
        None => refusal(loaded),
    };
    let problems = |first: &[Problem], more: &[Problem]| -> Value {
        first
            .iter()
            .chain(more)
            .map(|problem| Value::from(problem.to_string()))
            .collect()
    };
    report
        .details
        .insert("problems".into(), problems(&loaded.problems, &[]));
    // what stops agnesd stops nothing here
    let warnings = problems(&loaded.warnings, &loaded.server_problems);
    report.details.insert("warnings".into(), warnings);
    report
}

/// What any other verb says to invalid settings: all problems at once.
pub fn refusal(loaded: &Loaded) -> Report {
    let lines: Vec<String> = loaded
        .problems
        .iter()
        .map(|problem| one_line(&problem.to_string()))
        .collect();
    let count = lines.len();
    let plural = if count == 1 { "problem" } else { "problems" };
    let message = format!(
        "{count} {plural} in the configuration, nothing was touched:\n{}",
        lines.join("\n")
    );
    Report::refused(Exit::Config, Refusal::new("config-invalid", message)).detail("problems", lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stops_the_server_is_a_warning_here_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let variables = [("JWT_SECRET_KEY".into(), "hunter2-hunter2".into())];
        let loaded = agnes_config::load(dir.path(), variables, &[]);
        for report in [check(&loaded), show(&loaded)] {
            assert_eq!(report.exit, Exit::Ok);
            let warnings = report.details.get("warnings").and_then(Value::as_array);
            let warnings = warnings.unwrap();
            assert!(
                matches!(warnings.as_slice(), [Value::String(one)]
                    if one.starts_with("environment: JWT_SECRET_KEY: has 15 characters")),
                "{warnings:?}"
            );
            let all = format!("{} {:?}", report.text, report.details);
            assert!(!all.contains("hunter2"), "{all}");
        }
        assert!(show(&loaded).text.contains("<set, 15 chars>"));
    }
}
