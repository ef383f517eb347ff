//! `agnes-ops secrets list` and `check`: what they tell, and that they tell no value.

use std::os::unix::fs::PermissionsExt;

use agnes_e2e::deployment::{Deployment, Ran};

use super::{EDITED, OWN, current, ensure, env_path, host, replace, secret_dir};

#[test]
fn the_list_has_lengths_and_ages_and_never_a_value() {
    let deployment = host();
    deployment.ops(&["secrets", "list"]).exits(0);
    ensure(&deployment).exits(0);
    let ran = deployment.ops(&["secrets", "list"]).exits(0);
    let secrets = ran.detail("secrets").as_array().unwrap().clone();
    assert_eq!(secrets.len(), 3);
    for secret in &secrets {
        assert_eq!(secret["chars"], 64);
        assert!(secret["age_secs"].as_i64().unwrap() < 600);
        assert_eq!(secret["overdue"], false);
        assert!(secret["due_at"].as_str().unwrap().ends_with('Z'));
        assert!(!secret["read_by"].as_array().unwrap().is_empty());
    }
    for name in OWN {
        assert!(!ran.stdout.contains(&current(&deployment, name).1));
    }
}

#[track_caller]
fn findings(ran: &Ran) -> Vec<String> {
    let findings = ran.detail("findings").as_array().unwrap();
    findings
        .iter()
        .map(|f| {
            format!(
                "{} {}",
                f["id"].as_str().unwrap(),
                f["name"].as_str().unwrap()
            )
        })
        .collect()
}

#[test]
fn the_check_names_each_fault_and_a_healthy_host_has_none() {
    let deployment = host();
    let missing = deployment.ops(&["secrets", "check"]).exits(10);
    assert!(findings(&missing).contains(&"secrets.missing JWT_SECRET_KEY".to_owned()));
    ensure(&deployment).exits(0);
    let healthy = deployment.ops(&["secrets", "check"]).exits(0);
    assert_eq!(findings(&healthy), Vec::<String>::new());
    assert_eq!(
        healthy.detail("unchecked").as_array().unwrap().len(),
        1,
        "no server runs"
    );

    type Fault = (&'static str, fn(&Deployment));
    let faults: [Fault; 6] = [
        ("secrets.readable .env", |d| {
            std::fs::set_permissions(env_path(d), PermissionsExt::from_mode(0o644)).unwrap();
        }),
        ("secrets.readable JWT_SECRET_KEY", |d| {
            let path = secret_dir(d, "JWT_SECRET_KEY").join("1");
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o640)).unwrap();
        }),
        ("secrets.short JWT_SECRET_KEY", |d| {
            replace(d, "JWT_SECRET_KEY", "short");
        }),
        ("secrets.env-missing SESSION_SECRET", |d| {
            replace(d, "SESSION_SECRET", "");
        }),
        ("secrets.live-differs SESSION_SECRET", |d| {
            std::fs::remove_file(d.state().join("secrets/live/SESSION_SECRET")).unwrap();
        }),
        ("secrets.overdue SCHEDULER_API_TOKEN", |d| {
            let file = std::fs::File::options()
                .write(true)
                .open(secret_dir(d, "SCHEDULER_API_TOKEN").join("1"))
                .unwrap();
            let old = std::time::SystemTime::now() - std::time::Duration::from_secs(91 * 86_400);
            file.set_modified(old).unwrap();
        }),
    ];
    for (want, fault) in faults {
        let deployment = host();
        ensure(&deployment).exits(0);
        fault(&deployment);
        let ran = deployment.ops(&["secrets", "check"]).exits(10);
        assert!(
            findings(&ran).contains(&want.to_owned()),
            "{want}: {:?}",
            findings(&ran)
        );
        assert!(
            !ran.stdout
                .contains(&current(&deployment, "JWT_SECRET_KEY").1)
        );
    }
}

#[test]
fn one_value_under_two_names_is_found() {
    let deployment = host()
        .with("JWT_SECRET_KEY", EDITED)
        .with("SESSION_SECRET", EDITED);
    ensure(&deployment).exits(0);
    let ran = deployment.ops(&["secrets", "check"]).exits(10);
    assert!(findings(&ran).contains(&"secrets.shared SESSION_SECRET".to_owned()));
}
