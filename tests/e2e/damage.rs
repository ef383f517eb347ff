//! What people and crashes do to `certs/`, and what must not be lost by it.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use std::path::Path;

use agnes_e2e::authority::{
    Authority, Leaf, common_name, ec_key, key_pem, leaf_sha256, pem, public,
};
use agnes_e2e::deployment::{DOMAIN, Deployment};

use crate::rotate::{mode, with_ca_certificate};

/// A key and a chain of a CA for the deployment's name, as a script before us would have left them.
fn foreign_pair() -> (String, String) {
    let key = ec_key();
    let authority = Authority::root("Example Root").intermediate("Example Issuing CA");
    let leaf = authority.sign_key(&public(&key), &common_name(DOMAIN), &Leaf::new(DOMAIN));
    (key_pem(&key), authority.chain(&leaf))
}

#[test]
fn t11_the_key_that_was_asked_for_last_stays_the_one_that_is_asked_for() {
    let (deployment, authority, _) = with_ca_certificate(60);
    deployment.ops(&["tls", "csr", "--new-key"]).exits(0);
    deployment.ops(&["tls", "csr", "--new-key"]).exits(0);
    let newest = deployment.request();
    deployment.publish(authority.answer(&newest, &Leaf::new(DOMAIN).days(0, 80)));
    deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("changed");
    deployment.ops(&["tls", "check"]).exits(0);
    deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("unchanged");
    assert_eq!(
        deployment.request(),
        newest,
        "an older key is asked for again"
    );
}

#[test]
fn t07_a_lost_or_dangling_current_link_costs_neither_key_nor_certificate() {
    for dangling in [false, true] {
        let (deployment, _, chain) = with_ca_certificate(60);
        let current = deployment.certs().join("current");
        std::fs::remove_file(&current).unwrap();
        if dangling {
            symlink("generations/9", &current).unwrap();
        }
        std::fs::remove_file(deployment.published()).unwrap();
        let ran = deployment
            .ops(&["tls", "rotate"])
            .exits(0)
            .with_outcome("changed");
        assert_eq!(
            ran.detail("cert.sha256"),
            leaf_sha256(chain.as_bytes()).as_str()
        );
        deployment.ops(&["tls", "check"]).exits(0);
    }
}

#[test]
fn links_of_another_tool_are_adopted_by_what_they_name() {
    let deployment = Deployment::new();
    let (key, chain) = foreign_pair();
    let live = deployment.dir().join("live");
    std::fs::create_dir_all(&live).unwrap();
    std::fs::create_dir_all(deployment.certs()).unwrap();
    for (name, text) in [("privkey.pem", &key), ("fullchain.pem", &chain)] {
        std::fs::write(live.join(name), text).unwrap();
        symlink(live.join(name), deployment.certs().join(name)).unwrap();
    }
    let deployment = deployment.polls_itself();
    let ran = deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("changed");
    assert_eq!(
        ran.detail("cert.sha256"),
        leaf_sha256(chain.as_bytes()).as_str()
    );
    assert_eq!(
        std::fs::read_to_string(live.join("privkey.pem")).unwrap(),
        key
    );
}

#[test]
fn t05_a_combined_file_is_never_adopted_into_the_world_readable_one() {
    let deployment = Deployment::new();
    let (key, chain) = foreign_pair();
    std::fs::create_dir_all(deployment.certs()).unwrap();
    std::fs::write(deployment.certs().join("privkey.pem"), &key).unwrap();
    std::fs::write(
        deployment.certs().join("fullchain.pem"),
        format!("{chain}{key}"),
    )
    .unwrap();
    let deployment = deployment.polls_itself();
    let ran = deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("changed");
    assert_eq!(
        ran.detail("cert.sha256"),
        leaf_sha256(chain.as_bytes()).as_str()
    );
    for (path, (mode, _, bytes)) in deployment.certs_snapshot() {
        let secret = String::from_utf8_lossy(&bytes).contains("PRIVATE");
        assert!(
            !secret || mode & 0o077 == 0,
            "{} is {:o}",
            path.display(),
            mode & 0o777
        );
    }
}

#[test]
fn an_installed_certificate_that_no_longer_covers_the_name_is_a_finding() {
    let (mut deployment, ..) = with_ca_certificate(60);
    std::fs::remove_file(deployment.published()).unwrap();
    deployment.set("DOMAIN", "moved.example.com");
    deployment.ops(&["tls", "rotate"]).exits(0);
    let check = deployment.ops(&["tls", "check"]).exits(10);
    assert_eq!(finding_ids(&check), ["not-desired"]);
}

#[test]
fn leftovers_that_cannot_be_removed_are_in_nobodys_way() {
    let (deployment, authority, _) = with_ca_certificate(60);
    std::fs::create_dir(deployment.certs().join("generations/1/.snapshot")).unwrap();
    std::fs::create_dir(deployment.certs().join(".x.agnes-tmp")).unwrap();
    for days in [61, 62] {
        let chain = authority.answer(&deployment.request(), &Leaf::new(DOMAIN).days(0, days));
        deployment.publish(chain);
        deployment
            .ops(&["tls", "rotate"])
            .exits(0)
            .with_outcome("changed");
    }
    deployment.ops(&["tls", "check"]).exits(0);
}

#[test]
fn t09_an_interrupted_rotation_whose_generation_was_taken_away_heals() {
    let (deployment, _, chain) = with_ca_certificate(60);
    let journal = deployment.state().join("ops/journal/tls-rotate.json");
    std::fs::write(journal, r#"{"from":1,"to":2}"#).unwrap();
    std::fs::remove_file(deployment.certs().join("generations/2/privkey.pem")).unwrap();
    deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("changed");
    let check = deployment.ops(&["tls", "check"]).exits(0);
    assert_eq!(
        check.detail("cert.sha256"),
        leaf_sha256(chain.as_bytes()).as_str()
    );
}

#[test]
fn w04_check_and_status_tell_of_what_they_cannot_read() {
    let (deployment, ..) = with_ca_certificate(60);
    std::fs::write(deployment.certs().join("pending/7.pem"), "not a key").unwrap();
    assert_eq!(
        finding_ids(&deployment.ops(&["tls", "check"]).exits(10)),
        ["unusable"]
    );
    deployment.ops(&["tls", "rotate"]).exits(0);
    std::fs::remove_file(deployment.certs().join("pending/7.pem")).unwrap();
    let journal = deployment.state().join("ops/journal/tls-rotate.json");
    std::fs::write(&journal, "garbage").unwrap();
    assert_eq!(
        finding_ids(&deployment.ops(&["tls", "check"]).exits(10)),
        ["unreadable"]
    );
    deployment.ops(&["status"]).exits(10);
    std::fs::remove_file(journal).unwrap();
    std::fs::remove_file(deployment.certs().join("current")).unwrap();
    std::fs::create_dir(deployment.certs().join("current")).unwrap();
    assert_eq!(
        finding_ids(&deployment.ops(&["tls", "check"]).exits(10)),
        ["unreadable"]
    );
}

#[test]
fn numbers_that_are_no_numbers_of_ours_are_left_alone() {
    let (deployment, ..) = with_ca_certificate(60);
    for name in ["pending/18446744073709551615.pem", "pending/007.pem"] {
        std::fs::write(deployment.certs().join(name), "x").unwrap();
    }
    std::fs::create_dir(deployment.certs().join("generations/007")).unwrap();
    deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("unchanged");
}

#[test]
fn a_self_signed_certificate_that_is_published_is_not_bridged_over() {
    let deployment = Deployment::new();
    let key = ec_key();
    // nine days left: a bridge of ours would be renewed now
    let authority = Authority::root_with(DOMAIN, key.clone(), &Leaf::new("").days(-21, 9));
    let leaf = authority.sign_key(
        &public(&key),
        &common_name(DOMAIN),
        &Leaf::new(DOMAIN).days(-21, 9),
    );
    let key_path = deployment.dir().join("key.pem");
    std::fs::write(&key_path, key_pem(&key)).unwrap();
    let url = deployment.publish(pem(&leaf));
    let deployment = deployment
        .with("TLS_PRIVKEY_URL", format!("file://{}", key_path.display()))
        .with("TLS_FULLCHAIN_URL", url);
    deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("changed");
    deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("unchanged");
    deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("unchanged");
}

#[test]
fn t02_a_reload_that_could_ask_nobody_has_failed() {
    let (deployment, ..) = with_ca_certificate(60);
    let deployment = deployment.toml("[[tls.reload]]\nkind = \"command\"\nargv = [\"false\"]\n");
    assert_eq!(
        deployment.ops(&["tls", "reload"]).exits(1).detail("reason"),
        "reload-not-proven"
    );
}

#[test]
fn the_first_pair_stays_when_the_proxy_is_yet_to_be_pointed_at_it() {
    let web = agnes_e2e::https_source::Ca::new("Example Web CA");
    let current = agnes_e2e::https_source::CURRENT;
    let other = agnes_e2e::https_source::HttpsSource::start(&web.server(&[DOMAIN], current));
    let deployment = Deployment::new()
        .toml("[[tls.reload]]\nkind = \"signal\"\npid_file = \"/nonexistent.pid\"\n")
        .with("TLS_FULLCHAIN_URL", "file:///nonexistent/chain.pem")
        .with("TLS_SERVED_ADDRESS", other.address().to_string());
    let ran = deployment
        .ops(&["tls", "rotate"])
        .exits(1)
        .with_outcome("changed");
    assert_eq!(ran.detail("reason"), "reload-pending");
    assert!(deployment.certs().join("fullchain.pem").exists());
    let mode = std::fs::metadata(deployment.certs().join("privkey.pem"))
        .unwrap()
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
}

/// Puts a stranger's key where a generation has its own.
fn wreck(generation: &Path) {
    let stranger = key_pem(&ec_key());
    std::fs::write(generation.join("privkey.pem"), stranger).unwrap();
}

fn finding_ids(ran: &agnes_e2e::deployment::Ran) -> Vec<String> {
    let findings = ran.detail("findings").as_array().unwrap();
    findings
        .iter()
        .map(|finding| finding["id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn t04_a_broken_pair_on_disk_is_found_and_mended_from_the_key_that_is_kept() {
    for source in ["published", "gone"] {
        let (mut deployment, authority, old) = with_ca_certificate(80);
        let new = authority.answer(&deployment.request(), &Leaf::new(DOMAIN).days(0, 89));
        deployment.publish(&new);
        deployment
            .ops(&["tls", "rotate"])
            .exits(0)
            .with_outcome("changed");
        wreck(&deployment.certs().join("generations/3"));
        let ran = deployment.ops(&["tls", "check"]).exits(10);
        assert!(
            finding_ids(&ran).contains(&"pair-broken".to_owned()),
            "{}",
            ran.stdout
        );
        if source == "gone" {
            deployment.set("TLS_FULLCHAIN_URL", "file:///nonexistent/chain.pem");
        }
        let expected = if source == "gone" { old } else { new };
        let ran = deployment
            .ops(&["tls", "rotate"])
            .exits(0)
            .with_outcome("changed");
        assert_eq!(
            ran.detail("cert.sha256"),
            leaf_sha256(expected.as_bytes()).as_str(),
            "{source}"
        );
        deployment.ops(&["tls", "check"]).exits(0);
        // the broken one was only kept as the one before; a sound one stays beside it
        assert!(deployment.certs().join("generations/2").exists());
    }
}

#[test]
fn t04_a_key_that_is_nowhere_any_more_is_bridged_until_the_ca_answers() {
    let (deployment, authority, _) = with_ca_certificate(89);
    for generation in ["1", "2"] {
        wreck(&deployment.certs().join("generations").join(generation));
    }
    let ran = deployment.ops(&["tls", "rotate"]).exits(1);
    assert_eq!(ran.detail("reason"), "key-mismatch");
    assert_eq!(ran.detail("cert.source"), "self-signed");
    assert!(
        ran.stderr
            .contains("a 30-day bridge certificate was installed"),
        "{}",
        ran.stderr
    );
    let status = deployment.ops(&["status"]).exits(10);
    assert!(
        finding_ids(&status).contains(&"tls.failed".to_owned()),
        "{}",
        status.stdout
    );
    assert_eq!(status.detail("next"), ran.detail("hint"));
    deployment.publish(authority.answer(&deployment.request(), &Leaf::new(DOMAIN)));
    deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("changed");
    deployment.ops(&["status"]).exits(0);
}

#[test]
fn regular_files_are_adopted_as_generation_1() {
    let deployment = Deployment::new();
    let key = ec_key();
    let authority = Authority::root("Example Root").intermediate("Example Issuing CA");
    let subject = common_name(DOMAIN);
    let leaf = authority.sign_key(&public(&key), &subject, &Leaf::new(DOMAIN));
    let chain = authority.chain(&leaf);
    let certs = deployment.certs();
    std::fs::create_dir_all(&certs).unwrap();
    std::fs::write(certs.join("privkey.pem"), key_pem(&key)).unwrap();
    std::fs::write(certs.join("fullchain.pem"), &chain).unwrap();
    let url = deployment.publish(&chain);
    let deployment = deployment.with("TLS_FULLCHAIN_URL", url);
    let ran = deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("changed");
    assert_eq!(ran.detail("cert.source"), "ca");
    assert_eq!(
        std::fs::read_link(certs.join("current")).unwrap(),
        Path::new("generations/1")
    );
    assert_eq!(
        std::fs::read_to_string(certs.join("generations/1/fullchain.pem")).unwrap(),
        chain
    );
    assert_eq!(mode(&certs.join("generations/1/privkey.pem")), 0o600);
    deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("unchanged");
}
