//! A value that somebody else has: it never comes back, whatever its holder does.

use super::host::Host;

const TOKEN: &str = "SCHEDULER_API_TOKEN";

#[test]
fn a_compromised_value_never_comes_back_when_the_new_one_is_not_proven() {
    let host = Host::new();
    host.bootstrap();
    let stolen = host.env(TOKEN).unwrap();
    // the server refuses to read its keys again, whatever is wrong with them
    let other = host.deployment.state().join("secrets/live/SESSION_SECRET");
    std::fs::write(&other, "changeme").unwrap();
    let failed = host
        .ops(&["secrets", "rotate", "scheduler", "--now"])
        .exits(1);
    assert_eq!(failed.detail("reason"), "not-refused", "{}", failed.stdout);
    assert_eq!(failed.detail("proof.state"), "failed");
    let new = host.live(TOKEN).unwrap();
    assert_ne!(new, stolen);
    assert_eq!(host.env(TOKEN).unwrap(), new);
    assert_eq!(host.live(&format!("{TOKEN}_PREVIOUS")), None);
    let late = host.ops(&["secrets", "rotate", "scheduler", "--rollback"]);
    assert_eq!(late.exits(1).detail("reason"), "too-late");
    host.ops(&["secrets", "ensure"]).exits(0);
    assert_eq!(host.live(TOKEN).unwrap(), new);

    let done = host.ops(&["secrets", "rotate"]).exits(0);
    assert_eq!(done.detail("phase"), "retired", "{}", done.stdout);
    assert_eq!((host.call(&stolen), host.call(&new)), (401, 200));
    assert_eq!(host.env(TOKEN).unwrap(), new);
    host.ops(&["secrets", "check"]).exits(0);
}

#[test]
fn whoever_uses_up_the_calls_of_a_stolen_token_does_not_keep_it_alive() {
    let limit = |deployment: agnes_e2e::deployment::Deployment| {
        deployment.with("AGNES_LIMIT_AUTHENTICATED_PER_MIN", "5")
    };
    let host = Host::with(limit);
    host.bootstrap();
    let stolen = host.env(TOKEN).unwrap();
    while host.call(&stolen) != 429 {}
    let done = host
        .ops(&["secrets", "rotate", "scheduler", "--now"])
        .exits(0);
    assert_eq!(done.detail("proof.state"), "proven", "{}", done.stdout);
    assert_eq!(host.call(&stolen), 401);
}

#[test]
fn a03_the_value_before_is_put_back_where_the_server_reads_it_while_it_must_be_accepted() {
    let host = Host::new();
    host.bootstrap();
    let old = host.env(TOKEN).unwrap();
    host.ops(&["secrets", "rotate", "scheduler"]).exits(0);
    let previous = format!("{TOKEN}_PREVIOUS");
    let file = host.deployment.state().join("secrets/live").join(&previous);
    std::fs::remove_file(&file).unwrap();
    let found = host.ops(&["secrets", "check"]).exits(10);
    assert!(
        found.stdout.contains("secrets.live-differs"),
        "{}",
        found.stdout
    );
    let planned = host.ops(&["secrets", "ensure", "--dry-run"]).exits(0);
    assert!(planned.stdout.contains(&previous), "{}", planned.stdout);
    host.ops(&["secrets", "ensure"])
        .exits(0)
        .with_outcome("changed");
    assert_eq!(host.live(&previous).unwrap(), old);
    host.ops(&["secrets", "ensure"])
        .exits(0)
        .with_outcome("unchanged");
    assert_eq!(host.call(&old), 200);
}
