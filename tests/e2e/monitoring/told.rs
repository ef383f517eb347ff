//! W07: of a finding of any check somebody hears, or docs/operations.md says why not.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Command;

use agnes_e2e::components::require;
use agnes_e2e::deployment::{Deployment, Ran};
use xtask::checkout;

use super::{read, rules};
use crate::doctor::Well;

/// What a run looked at, whatever it saw.
fn looked_at(ran: &Ran) -> BTreeSet<String> {
    let lists = ["passed", "unchecked", "findings"];
    let all = lists
        .iter()
        .flat_map(|list| ran.json["details"][list].as_array().unwrap());
    let id = all.map(|one| one.as_str().or(one["id"].as_str()).unwrap());
    id.map(str::to_owned).collect()
}

/// The checks of which others than `watch` and the rule for findings tell.
pub(crate) fn by_others() -> BTreeSet<String> {
    let docs = read(&checkout::root().unwrap().join("docs/operations.md"));
    let (_, section) = docs.split_once("\n### Who tells of what\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let ids = rows.map(|row| row.split(" | ").next().unwrap());
    ids.flat_map(|ids| ids.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}

#[test]
fn w07_watch_looks_at_every_check_but_those_of_which_others_tell() {
    let well = Well::new();
    let doctor = looked_at(&well.ops(&["doctor"]).exits(0));
    let watch = looked_at(&well.ops(&["watch"]).exits(0));
    assert!(watch.len() > 60 && watch.is_subset(&doctor), "{watch:?}");
    let others = by_others();
    let not_told: Vec<&String> = doctor.difference(&watch).collect();
    assert!(!not_told.is_empty());
    for id in not_told {
        assert!(others.contains(id), "of {id} nobody tells");
    }
}

#[test]
fn w07_a_finding_of_any_check_is_an_alert() {
    let Some(promtool) = require("promtool") else {
        return;
    };
    let checks = looked_at(&Deployment::new().ops(&["doctor"]));
    assert!(checks.len() > 70, "{checks:?}");
    let mut test = format!(
        "rule_files: ['{}']\nevaluation_interval: 1m\ntests:\n  - interval: 1m\n    input_series:\n",
        rules().display()
    );
    for id in &checks {
        let _ = writeln!(
            test,
            "      - {{series: 'agnes_ops_findings{{id=\"{id}\", severity=\"warning\"}}', values: '2x9'}}"
        );
    }
    test.push_str("    alert_rule_test:\n      - alertname: AgnesFinding\n        eval_time: 5m\n        exp_alerts:\n");
    for id in &checks {
        let _ = writeln!(
            test,
            "          - exp_labels: {{id: {id}, severity: warning}}\n            exp_annotations:\n              \
             summary: 'agnes-ops doctor {id}: 2 findings'\n              check: {id}\n              \
             runbook: docs/operations.md#runbooks"
        );
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("findings.yml");
    std::fs::write(&file, test).unwrap();
    let mut command = Command::new(promtool);
    let ran = command.args(["test", "rules"]).arg(file).output().unwrap();
    let said = [ran.stdout, ran.stderr].concat();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&said));
}
