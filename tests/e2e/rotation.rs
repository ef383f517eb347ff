//! `agnes-ops secrets rotate` beside a running agnesd: both values accepted, then the old one refused, from any kill.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use agnes_e2e::components::is_soak;
use serde_json::json;

use crate::crash::{checkpoints, chosen, killed_at};

mod compromised;
mod host;
mod source;
mod told;

use host::{Host, PATIENCE, client, wait};

#[test]
fn a03_a_jwt_rotation_accepts_both_then_refuses_the_old_and_nobody_signs_in_again() {
    let host = Host::new();
    host.bootstrap();
    let before = host.sign_in();
    let old = host.live("JWT_SECRET_KEY").unwrap();
    let rotated = host
        .ops(&["secrets", "rotate", "jwt"])
        .exits(0)
        .with_outcome("changed");
    assert_eq!(rotated.detail("phase"), "waiting");
    assert_eq!(
        rotated.detail("proof.state"),
        "proven",
        "{}",
        rotated.stdout
    );
    let new = host.live("JWT_SECRET_KEY").unwrap();
    assert_ne!(old, new);
    assert_eq!(host.live("JWT_SECRET_KEY_PREVIOUS").unwrap(), old);
    assert_eq!(host.env("JWT_SECRET_KEY").unwrap(), new);
    assert_eq!(host.env("JWT_SECRET_KEY_PREVIOUS").unwrap(), old);
    let after = host.sign_in();
    assert_eq!((host.call(&before), host.call(&after)), (200, 200));

    let early = host.ops(&["secrets", "rotate", "jwt"]).exits(75);
    assert_eq!(early.detail("reason"), "not-yet");
    host.ops(&["secrets", "check"]).exits(0);
    host.ops(&["secrets", "ensure"])
        .exits(0)
        .with_outcome("unchanged");
    host.time_passes("jwt");
    host.ops(&["secrets", "check"]).exits(10);
    // the timer's call names nothing
    let retired = host
        .ops(&["secrets", "rotate"])
        .exits(0)
        .with_outcome("changed");
    assert_eq!(retired.detail("phase"), "retired");
    assert_eq!(
        retired.detail("proof.state"),
        "proven",
        "{}",
        retired.stdout
    );
    assert_eq!((host.call(&before), host.call(&after)), (401, 200));
    assert_eq!(host.live("JWT_SECRET_KEY_PREVIOUS"), None);
    let text = std::fs::read_to_string(host.deployment.dir().join(".env")).unwrap();
    assert!(
        !text.contains("JWT_SECRET_KEY_PREVIOUS="),
        "a retired key's name stays"
    );
    assert!(!host.journal("jwt").exists());
    host.ops(&["secrets", "rotate"])
        .exits(0)
        .with_outcome("unchanged");
    host.ops(&["secrets", "check"]).exits(0);
    for text in [
        &rotated.stdout,
        &rotated.stderr,
        &retired.stdout,
        &retired.stderr,
    ] {
        assert!(!text.contains(&old) && !text.contains(&new));
    }
}

#[test]
fn a03_a_restart_never_brings_a_retired_key_back() {
    let mut host = Host::new();
    host.bootstrap();
    let before = host.sign_in();
    host.ops(&["secrets", "rotate", "jwt"]).exits(0);
    host.time_passes("jwt");
    host.ops(&["secrets", "rotate", "jwt"]).exits(0);
    host.stop();
    host.start();
    assert_eq!(host.call(&before), 401);
}

#[test]
fn a03_the_scheduler_s_token_stays_until_its_callers_have_moved() {
    let host = Host::new();
    let old = host.env("SCHEDULER_API_TOKEN").unwrap();
    assert_eq!(host.call(&old), 200);
    host.ops(&["secrets", "rotate", "scheduler"])
        .exits(0)
        .with_outcome("changed");
    let new = host.env("SCHEDULER_API_TOKEN").unwrap();
    assert_eq!((host.call(&old), host.call(&new)), (200, 200));
    // a side-car that still has the old one
    assert_eq!(host.call(&old), 200);
    let waiting = host.ops(&["secrets", "rotate", "scheduler"]).exits(75);
    assert_eq!(waiting.detail("reason"), "callers-not-moved");
    let callers = waiting.detail("not_moved").as_array().unwrap().clone();
    assert_eq!(callers.len(), 1, "{callers:?}");
    assert_eq!(callers[0]["address"], "127.0.0.1");
    assert_eq!(host.call(&new), 200);
    let retired = host.ops(&["secrets", "rotate", "scheduler"]).exits(0);
    assert_eq!(retired.detail("phase"), "retired", "{}", retired.stdout);
    assert_eq!((host.call(&old), host.call(&new)), (401, 200));
}

#[test]
fn a_compromised_value_is_refused_within_a_second_and_what_ended_is_told() {
    let host = Host::new();
    host.bootstrap();
    for (kind, name) in [
        ("jwt", "JWT_SECRET_KEY"),
        ("scheduler", "SCHEDULER_API_TOKEN"),
    ] {
        let old = match kind {
            "jwt" => host.sign_in(),
            _ => host.env(name).unwrap(),
        };
        assert_eq!(host.call(&old), 200);
        let done = AtomicBool::new(false);
        let refused_after = std::thread::scope(|scope| {
            let told = scope.spawn(|| {
                // from the moment the new value stands in its file
                let was = host.live(name);
                while host.live(name) == was && !done.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                let begun = Instant::now();
                while host.call(&old) == 200 && begun.elapsed() < PATIENCE {}
                begun.elapsed()
            });
            let ran = host.ops(&["secrets", "rotate", kind, "--now"]).exits(0);
            done.store(true, Ordering::Relaxed);
            assert_eq!(ran.detail("phase"), "retired", "{}", ran.stdout);
            assert_eq!(ran.detail("proof.state"), "proven");
            assert_eq!(ran.detail("invalidated").as_array().unwrap().len(), 1);
            told.join().unwrap()
        });
        assert_eq!(host.call(&old), 401, "{kind}");
        assert!(
            refused_after < Duration::from_secs(10),
            "{kind}: {refused_after:?}"
        );
        println!(
            "FIGURE rotation-{kind}-now-refused {} ms from the file to the refusal",
            refused_after.as_millis()
        );
        assert!(!host.journal(kind).exists());
        assert_eq!(host.live(&format!("{name}_PREVIOUS")), None);
    }
    host.ops(&["secrets", "check"]).exits(0);
}

#[test]
fn a_rotation_is_taken_back_before_it_is_retired_and_not_after() {
    let host = Host::new();
    host.bootstrap();
    let before = host.sign_in();
    let old = host.live("JWT_SECRET_KEY").unwrap();
    assert_eq!(
        host.ops(&["secrets", "rotate", "--rollback"]).exits(0).json["outcome"],
        "unchanged"
    );
    host.ops(&["secrets", "rotate", "jwt"]).exits(0);
    let between = host.sign_in();
    let back = host
        .ops(&["secrets", "rotate", "--rollback"])
        .exits(0)
        .with_outcome("changed");
    assert_eq!(back.detail("rollback"), true);
    assert_eq!(host.live("JWT_SECRET_KEY").unwrap(), old);
    assert_eq!(host.env("JWT_SECRET_KEY").unwrap(), old);
    assert_eq!((host.call(&before), host.call(&between)), (200, 200));
    host.time_passes("jwt");
    host.ops(&["secrets", "rotate"]).exits(0);
    assert_eq!((host.call(&before), host.call(&between)), (200, 401));
    let late = host
        .ops(&["secrets", "rotate", "jwt", "--rollback"])
        .exits(1);
    assert_eq!(late.detail("reason"), "no-rotation");
}

#[test]
fn without_a_server_the_files_are_staged_and_nothing_is_called_proven() {
    let mut host = Host::new();
    host.bootstrap();
    let before = host.sign_in();
    host.stop();
    let ran = host.ops(&["secrets", "rotate", "jwt"]).exits(0);
    assert_eq!(ran.detail("proof.state"), "off");
    host.start();
    assert_eq!((host.call(&before), host.call(&host.sign_in())), (200, 200));
    host.time_passes("jwt");
    host.ops(&["secrets", "rotate"]).exits(0);
    assert_eq!(host.call(&before), 401);
}

#[test]
fn killed_at_every_checkpoint_a_rotation_is_finished_and_no_valid_call_is_refused() {
    let host = Host::new();
    host.bootstrap();
    let verb = ["secrets", "rotate", "jwt"];
    let finish = || {
        host.ops(&verb).exits(0);
        host.time_passes("jwt");
        host.ops(&verb).exits(0);
    };
    let staging = checkpoints(&host.deployment, &verb);
    host.time_passes("jwt");
    let retiring = checkpoints(&host.deployment, &verb);
    assert!(staging > 15 && retiring > 5, "{staging} {retiring}");
    for number in chosen(staging) {
        let token = host.sign_in();
        killed_at(&host.deployment, &verb, number);
        // the server may be told by anybody at any moment
        assert_eq!(host.call(&token), 200, "staging {number}");
        host.ops(&verb);
        assert_eq!(host.call(&token), 200, "staging {number}, gone on");
        if host.journal("jwt").exists() {
            host.time_passes("jwt");
            host.ops(&verb).exits(0);
        }
        host.ops(&["secrets", "check"]).exits(0);
    }
    for number in chosen(retiring) {
        host.ops(&verb).exits(0);
        let token = host.sign_in();
        host.time_passes("jwt");
        killed_at(&host.deployment, &verb, number);
        assert_eq!(host.call(&token), 200, "retiring {number}");
        if host.journal("jwt").exists() {
            host.ops(&verb).exits(0);
        }
        assert_eq!(host.call(&token), 200, "retiring {number}, gone on");
        host.ops(&["secrets", "check"]).exits(0);
    }
    finish();
}

/// Callers with a session's token, a personal one and the scheduler's, while both rotating keys change; in a soak for two
/// minutes.
#[test]
fn a03_no_valid_call_is_refused_while_keys_change_under_load() {
    let host = Host::new();
    host.bootstrap();
    let soak = is_soak();
    // two rounds however slow the machine is
    let lasting = Duration::from_secs(if soak { 120 } else { 0 });
    let session = host.sign_in();
    let wanted = json!({"name": "load", "scopes": [], "expires_in_days": 1});
    let made = host.post("/auth/tokens", Some(&session), &wanted);
    let personal = made["token"].as_str().unwrap().to_owned();
    let session = std::sync::Mutex::new(session);
    let stop = AtomicBool::new(false);
    let (calls, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    let callers: [&(dyn Fn() -> String + Sync); 3] = [
        &|| personal.clone(),
        &|| session.lock().unwrap().clone(),
        // a side-car that reads its file for each call
        &|| host.env("SCHEDULER_API_TOKEN").unwrap(),
    ];
    let (begun, mut rounds) = (Instant::now(), 0);
    std::thread::scope(|scope| {
        for credential in callers {
            scope.spawn(|| {
                wait(async {
                    let client = client();
                    while !stop.load(Ordering::Relaxed) {
                        let request = client.get(host.url("/api/me"));
                        let sent = request.bearer_auth(credential()).send().await;
                        let status = sent.map(|answer| answer.status().as_u16());
                        calls.fetch_add(1, Ordering::Relaxed);
                        if !matches!(status, Ok(200)) {
                            refused.fetch_add(1, Ordering::Relaxed);
                            eprintln!("refused: {status:?}");
                        }
                    }
                });
            });
        }
        while rounds < 2 || begun.elapsed() < lasting {
            rounds += 1;
            host.ops(&["secrets", "rotate", "jwt"]).exits(0);
            host.ops(&["secrets", "rotate", "scheduler"]).exits(0);
            // everybody has a token of the new key before the old one goes
            *session.lock().unwrap() = host.sign_in();
            std::thread::sleep(Duration::from_millis(200));
            host.time_passes("jwt");
            host.ops(&["secrets", "rotate", "jwt"]).exits(0);
            while host.ops(&["secrets", "rotate", "scheduler"]).code == 75 {}
        }
        stop.store(true, Ordering::Relaxed);
    });
    let per_sec = calls.load(Ordering::Relaxed) / begun.elapsed().as_secs().max(1);
    let (calls, refused) = (calls.into_inner(), refused.into_inner());
    println!(
        "FIGURE rotation-rounds {rounds} each a whole rotation of the signing key and of the scheduler's token"
    );
    println!(
        "FIGURE rotation-calls {calls} with a session's, a personal and the scheduler's token meanwhile"
    );
    println!("FIGURE rotation-calls-per-second {per_sec} debug build");
    println!("FIGURE rotation-refused {refused} of them");
    assert!(calls > 100, "nobody called");
    assert_eq!(refused, 0);
}

#[test]
fn a_value_that_the_running_server_does_not_have_is_found() {
    let host = Host::new();
    host.ops(&["secrets", "check"]).exits(0);
    let path = host.deployment.dir().join(".env");
    let text = std::fs::read_to_string(&path).unwrap();
    let old = host.env("SESSION_SECRET").unwrap();
    let edited = text.replace(&old, &old.chars().rev().collect::<String>());
    std::fs::write(&path, edited).unwrap();
    host.ops(&["secrets", "ensure"])
        .exits(0)
        .with_outcome("changed");
    let ran = host.ops(&["secrets", "check"]).exits(10);
    let finding = &ran.detail("findings")[0];
    assert_eq!(finding["id"], "secrets.not-in-process");
    assert_eq!(finding["name"], "SESSION_SECRET");
}

/// Every process of this host but ours and the server, which read the values from files, and every file of the deployment
/// that is not one of the places where a secret belongs.
#[test]
fn no_secret_is_in_an_argument_an_environment_a_log_or_a_record() {
    let host = Host::new();
    host.bootstrap();
    let mut planted = Vec::new();
    let stop = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut seen = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                for process in std::fs::read_dir("/proc").unwrap().flatten() {
                    for name in ["cmdline", "environ"] {
                        if let Ok(bytes) = std::fs::read(process.path().join(name)) {
                            // only what speaks of this deployment, to keep the look small
                            let text = String::from_utf8_lossy(&bytes).into_owned();
                            if text.contains(host.deployment.dir().to_str().unwrap()) {
                                seen.push(text);
                            }
                        }
                    }
                }
            }
            seen
        });
        for verb in [
            &["secrets", "rotate", "jwt"][..],
            &["secrets", "rotate", "scheduler"],
            &["secrets", "rotate", "session", "--now"],
            &["secrets", "ensure"],
            &["secrets", "list"],
            &["secrets", "check"],
        ] {
            let ran = host.ops(verb);
            for name in ["JWT_SECRET_KEY", "SCHEDULER_API_TOKEN", "SESSION_SECRET"] {
                planted.push(host.live(name).unwrap());
                planted.extend(host.live(&format!("{name}_PREVIOUS")));
            }
            for value in &planted {
                assert!(
                    !ran.stdout.contains(value) && !ran.stderr.contains(value),
                    "{verb:?}"
                );
            }
        }
        stop.store(true, Ordering::Relaxed);
        watching.join().unwrap()
    });
    assert!(!seen.is_empty(), "no process was looked at");
    let secrets = host.deployment.state().join("secrets");
    let files = agnes_e2e::deployment::snapshot(host.deployment.dir());
    for value in &planted {
        assert!(seen.iter().all(|text| !text.contains(value.as_str())));
        assert!(
            !host
                .daemon
                .as_ref()
                .unwrap()
                .output()
                .contains(value.as_str())
        );
        for (path, (_, _, bytes)) in &files {
            let belongs = path.starts_with(&secrets) || path.ends_with(".env");
            let found = bytes
                .windows(value.len())
                .any(|window| window == value.as_bytes());
            assert!(belongs || !found, "{}", path.display());
        }
    }
}
