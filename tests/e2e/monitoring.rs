//! W07: every alert names a check and its runbook, and fires; every metric that a rule reads is one that a real Prometheus gets.

mod dashboards;
mod prometheus;
pub(crate) mod told;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use agnes_e2e::components::require;
use serde_json::Value;
use xtask::checkout;

use prometheus::Watched;

fn rules() -> PathBuf {
    checkout::root()
        .unwrap()
        .join("monitoring/prometheus/rules/agnes.yml")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// What stands behind a key, in the lines of a file.
fn values<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines()
        .filter_map(move |line| line.trim_start_matches([' ', '-']).strip_prefix(key))
        .map(|value| value.trim().trim_matches('"'))
}

#[test]
fn w07_every_alert_fires_and_names_a_check_and_its_runbook() {
    let Some(promtool) = require("promtool") else {
        return;
    };
    let tests = checkout::root()
        .unwrap()
        .join("monitoring/prometheus/tests/agnes.yml");
    for arguments in [["check", "rules"], ["test", "rules"]] {
        let file = if arguments[0] == "check" {
            rules()
        } else {
            tests.clone()
        };
        let mut command = Command::new(&promtool);
        let ran = command.args(arguments).arg(file).output().unwrap();
        let said = [ran.stdout, ran.stderr].concat();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&said));
    }
    let (rules, tests) = (read(&rules()), read(&tests));
    let alerts: BTreeSet<&str> = values(&rules, "alert:").collect();
    assert!(alerts.len() > 9, "{alerts:?}");
    for alert in &alerts {
        let of_alert = tests.split("alertname: ").skip(1);
        let fires = of_alert.filter(|rest| rest.starts_with(&format!("{alert}\n")));
        assert!(fires.count() > 0, "{alert} is made to fire by no test");
    }
    // doctor itself says which checks there are, and where each is explained
    let well = agnes_e2e::deployment::Deployment::new();
    let ran = well.ops(&["doctor"]);
    let known: BTreeSet<&str> = ["passed", "unchecked"]
        .iter()
        .flat_map(|list| ran.json["details"][list].as_array().unwrap())
        .map(|one| one.as_str().or(one["id"].as_str()).unwrap())
        .collect();
    let runbooks = read(&checkout::root().unwrap().join("docs/operations.md"));
    let checks: Vec<&str> = values(&rules, "check:").collect();
    assert_eq!(checks.len(), alerts.len());
    for (check, runbook) in checks.iter().zip(values(&rules, "runbook:")) {
        let anchor = runbook.strip_prefix("docs/operations.md#").unwrap();
        let title = anchor.replace('-', " ");
        let section = runbooks.lines().any(|line| {
            let heading = line.trim_start_matches('#');
            line.starts_with("##") && heading.trim().to_lowercase() == title
        });
        assert!(section, "{runbook}");
        assert!(
            known.contains(check) || check.contains("$labels.id"),
            "{check}"
        );
    }
}

#[test]
fn w07_a_real_prometheus_gets_every_metric_that_the_rules_read() {
    let Some(watched) = Watched::start() else {
        return;
    };
    let prometheus = &watched.prometheus;
    prometheus.has_scraped("up{job=\"agnesd\"} == 1");
    prometheus.has_scraped("agnes_ops_watch_timestamp_seconds");
    let names = prometheus.get("/api/v1/label/__name__/values", &[]);
    let names = names.unwrap();
    let names: BTreeSet<&str> = names["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let text = read(&rules());
    let text: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .collect();
    let text = text.join("\n");
    let mut read_by_rules = BTreeSet::new();
    for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
        if word.starts_with("agnes_") || word.starts_with("node_") && !word.ends_with('_') {
            read_by_rules.insert(word);
        }
    }
    assert!(read_by_rules.len() > 8, "{read_by_rules:?}");
    // lines that are there only once there is something to count
    let later = [
        "agnes_jobs_runs_total",
        "agnes_mail_letters_total",
        "agnes_rate_limited_total",
        "agnes_ops_findings",
        // in a container the kernel may not say
        "node_timex_sync_status",
    ];
    for name in read_by_rules {
        assert!(
            names.contains(name) || later.contains(&name),
            "{name} is nobody's"
        );
    }
    // and the rules themselves are healthy there
    let rules = prometheus.get("/api/v1/rules", &[]).unwrap();
    for group in rules["data"]["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            assert_ne!(rule["health"], "err", "{rule}");
        }
    }
}
