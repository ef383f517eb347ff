//! System calls of `agnes-ops` that fail.

use std::path::Path;
use std::process::{Command, Stdio};

use agnes_e2e::deployment::{Deployment, agnes_ops, run};

/// Runs a command with the n-th of these calls of its own failing (`fsync:EIO`); whether there was one.
pub(crate) fn injected(
    deployment: &Deployment,
    strace: &Path,
    fault: &str,
    number: u64,
    verb: &[&str],
) -> bool {
    let trace = deployment.dir().join("trace");
    let command = deployment.command(&[verb, &["--json"]].concat());
    let mut traced = Command::new(strace);
    let (calls, error) = fault.split_once(':').unwrap();
    traced
        .args(["-qq", "-o"])
        .arg(&trace)
        .args(["-e", &format!("trace={calls}")])
        .args(["-e", &format!("inject={calls}:error={error}:when={number}")])
        .arg(agnes_ops())
        .args(command.get_args())
        .stdin(Stdio::null());
    let ran = run(traced);
    let faulted = std::fs::read_to_string(&trace)
        .unwrap()
        .contains("(INJECTED)");
    std::fs::remove_file(trace).unwrap();
    // the descriptor by which threads wake each other fails too, which no disk does: it dies as by a kill
    let serves = [0, 1, 101].contains(&ran.code);
    assert!(
        serves,
        "{verb:?}, {fault} {number}: exit {}: {}",
        ran.code, ran.stderr
    );
    // it cannot say why where the call that failed is the one that says it
    let said_on_stderr = ran.stderr.contains("what it said could not be written");
    if ran.code == 1 && ran.stdout.starts_with('{') && !said_on_stderr {
        let said = ran.json["details"]["message"].as_str();
        assert!(said.is_some(), "{fault} {number}: {}", ran.stdout);
    }
    faulted
}
