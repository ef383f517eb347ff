//! Rotations of a secret that has a source, and of one whose server refuses to be told.

use agnes_e2e::secret_manager::{Mode, SecretManager};

use super::host::{ELSEWHERE, Host};

#[test]
fn a_new_value_is_published_and_the_old_one_stays_until_it_is() {
    let manager = SecretManager::start();
    let host = Host::fetching(&manager, "publish = \"sm://agnes-jwt\"\n");
    assert_eq!(host.live("JWT_SECRET_KEY").unwrap(), ELSEWHERE);
    manager.set(Mode::Forbidden);
    let ran = host.ops(&["secrets", "rotate", "jwt"]).exits(1);
    assert_eq!(ran.detail("reason"), "not-published-back");
    assert!(ran.stderr.contains("secretVersionAdder"), "{}", ran.stderr);
    host.time_passes("jwt");
    host.ops(&["secrets", "rotate", "jwt"]).exits(1);
    manager.set(Mode::Ok);
    // the source still has the old value, and must not bring it back
    host.ops(&["secrets", "ensure"])
        .exits(0)
        .with_outcome("unchanged");
    let retired = host.ops(&["secrets", "rotate", "jwt"]).exits(0);
    assert_eq!(retired.detail("phase"), "retired");
    let versions = manager.versions("example-project", "agnes-jwt");
    assert_eq!(versions.len(), 2);
    assert_eq!(versions[1], host.live("JWT_SECRET_KEY").unwrap().as_bytes());
    host.ops(&["secrets", "ensure"])
        .exits(0)
        .with_outcome("unchanged");
}

#[test]
fn what_is_only_fetched_is_not_rotated_here() {
    let manager = SecretManager::start();
    let host = Host::fetching(&manager, "");
    let ran = host.ops(&["secrets", "rotate", "jwt"]).exits(1);
    assert_eq!(ran.detail("reason"), "fetched");
}

#[test]
fn a_server_that_refuses_to_be_told_is_no_proof_and_the_old_value_stays() {
    let host = Host::new();
    host.bootstrap();
    let before = host.sign_in();
    let old = host.live("JWT_SECRET_KEY").unwrap();
    // any setting that is wrong for the server keeps it from reading its secrets again
    let mut lines = std::fs::read_to_string(host.deployment.dir().join(".env")).unwrap();
    lines.push_str("AGNES_BOOTSTRAP_TOKEN=short\n");
    std::fs::write(host.deployment.dir().join(".env"), &lines).unwrap();
    let ran = host.ops(&["secrets", "rotate", "jwt"]).exits(100);
    assert_eq!(ran.detail("reason"), "way-back-failed", "{}", ran.stdout);
    assert_eq!(host.live("JWT_SECRET_KEY").unwrap(), old);
    assert_eq!(host.env("JWT_SECRET_KEY").unwrap(), old);
    assert_eq!(host.call(&before), 200);
    // mended, the next run finishes the way back
    let text = std::fs::read_to_string(host.deployment.dir().join(".env")).unwrap();
    let mended = text.replace("AGNES_BOOTSTRAP_TOKEN=short\n", "");
    std::fs::write(host.deployment.dir().join(".env"), mended).unwrap();
    host.ops(&["secrets", "rotate"]).exits(0);
    assert_eq!((host.call(&before), host.call(&host.sign_in())), (200, 200));
}
