//! W07: every command that docs/operations.md tells people to run does run: on a deployment that is well it does its work, or is
//! refused for a reason that stands in that page. The stack's own are run on a stack (`stack/runbooks.rs`).

use std::collections::BTreeSet;

use agnes_e2e::api::Caller;
use agnes_e2e::deployment::{Deployment, run};
use serde_json::{Value, json};
use xtask::checkout;

use crate::doctor::Well;

/// A command of the page, as words; each once, in the order of the page.
pub(crate) fn commands() -> Vec<Vec<String>> {
    let page = page();
    let mut lines: Vec<&str> = Vec::new();
    for line in page.lines() {
        // in a block the words for people stand behind several blanks
        let bare = line
            .strip_prefix("agnes-ops ")
            .map(|rest| rest.split("  ").next().unwrap());
        lines.extend(bare);
        let spans = line.split('`').skip(1).step_by(2);
        lines.extend(spans.filter_map(|span| span.strip_prefix("agnes-ops ")));
    }
    let mut seen = BTreeSet::new();
    let mut commands = Vec::new();
    for line in lines {
        // what may be left out is left out, and a name of nothing stands for all that have one
        let mut words: Vec<String> = Vec::new();
        let mut depth = 0;
        for word in line.split_whitespace() {
            depth += word.matches('[').count();
            if depth == 0 && word != "#" {
                words.push(word.trim_matches('"').to_owned());
            }
            depth -= word.matches(']').count();
        }
        if seen.insert(words.clone()) {
            commands.push(words);
        }
    }
    commands
}

fn page() -> String {
    std::fs::read_to_string(checkout::root().unwrap().join("docs/operations.md")).unwrap()
}

/// Whether a command is about a stack.
pub(crate) fn is_of_a_stack(words: &[String]) -> bool {
    words[0] == "upgrade" || words[0] == "render"
}

/// How a command may end: with its work, or with a reason that the page explains.
#[track_caller]
pub(crate) fn ended_as_the_page_says(command: &str, code: i32, said: &Value, stderr: &str) {
    println!("{command}: exit {code} {}", said["details"]["reason"]);
    assert!(!stderr.contains("panicked"), "{command}: {stderr}");
    if matches!(code, 0 | 10) {
        return;
    }
    assert_ne!(code, 2, "{command}: {stderr}");
    let reason = said["details"]["reason"].as_str();
    let reason = reason.unwrap_or_else(|| panic!("{command}: exit {code}: {stderr}"));
    assert!(
        page().contains(&format!("`{reason}`")),
        "{command}: exit {code}: {reason} stands nowhere in docs/operations.md: {stderr}"
    );
}

/// What changes this machine and not the deployment is only planned.
fn is_of_the_host(words: &[String]) -> bool {
    matches!(words[0].as_str(), "boot" | "adopt") || words[0] == "units" && words[1] != "status"
}

fn people(well: &Deployment) {
    let address = well.setting("AGNES_LISTEN").parse().unwrap();
    let admin = Caller::of(address).first_admin();
    for email in ["bot@example.com", "sync@example.com"] {
        let form = json!({"email": email, "password": agnes_e2e::api::PASSWORD});
        admin.post("/api/users", &form).is(201);
    }
}

#[test]
fn w07_every_command_of_the_runbooks_runs_on_a_deployment_that_is_well() {
    let remote = tempfile::tempdir().unwrap();
    let well = Well::with("AGNES_LIMIT_AUTHENTICATED_PER_MIN", "600");
    let toml = format!(
        "[snapshot]\npush_to = \"file://{}\"\n",
        remote.path().display()
    );
    std::fs::write(well.deployment.dir().join("agnes.toml"), toml).unwrap();
    people(&well.deployment);
    let elsewhere = tempfile::tempdir().unwrap();
    let mut ran = 0;
    for words in commands().into_iter().filter(|words| !is_of_a_stack(words)) {
        let list = well.ops(&["snapshot", "list"]);
        let newest = list.detail("snapshots").as_array().unwrap().last().unwrap()["id"].clone();
        let mut arguments: Vec<String> = words
            .iter()
            .map(|word| match word.as_str() {
                "ID" => newest.as_str().unwrap().to_owned(),
                "NAME" => "jwt".to_owned(),
                "DIR" => elsewhere.path().join("man").display().to_string(),
                "URL" => format!("file://{}", well.deployment.published().display()),
                "HOST:443" => well.deployment.setting("AGNES_TLS_LISTEN"),
                word => word.to_owned(),
            })
            // an hour is more than a test has
            .filter(|word| word != "--wait")
            .collect();
        let asks = words[0] == "incident" && words.len() > 2 && words[1] != "list";
        if asks {
            arguments.push("--yes".to_owned());
        }
        if is_of_the_host(&words) {
            arguments.push("--dry-run".to_owned());
        }
        if words[0] != "--help" && !words.contains(&"--json".to_owned()) {
            arguments.push("--json".to_owned());
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut command = well.deployment.command(&arguments);
        command.current_dir(elsewhere.path());
        let ended = run(command);
        ended_as_the_page_says(&words.join(" "), ended.code, &ended.json, &ended.stderr);
        if words[0] != "--help" {
            assert!(ended.json.is_object(), "{words:?}: {}", ended.stdout);
        }
        if words[0] == "down" {
            well.ops(&["up"]).exits(0);
        }
        ran += 1;
    }
    assert!(ran > 60, "{ran}");
    assert_eq!(well.ops(&["doctor", "server", "tls", "store"]).code, 0);
}

#[test]
fn the_commands_of_the_page_are_found_as_people_read_them() {
    let all = commands();
    let has = |line: &str| all.iter().any(|words| words.join(" ") == line);
    for line in [
        "snapshot restore ID",
        "upgrade hold --why month end",
        "incident contain bot@example.com",
        "snapshot create",
        "down",
        "audit",
    ] {
        assert!(has(line), "{line}: {all:?}");
    }
    assert!(all.iter().all(|words| !words.is_empty()));
}
