//! Coming up, or saying in one line why not.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::server::{PATIENCE, Place, output};

fn one_line_and_a_hint(log: &str) {
    let lines: Vec<_> = log.lines().collect();
    assert!(
        lines.len() <= 2 && lines[0].starts_with("agnesd: serve: "),
        "{log}"
    );
    assert!(
        lines.get(1).is_none_or(|hint| hint.starts_with("hint: ")),
        "{log}"
    );
}

#[test]
fn a_second_server_on_the_same_state_directory_refuses() {
    let place = Place::new();
    let mut first = place.start();
    let (code, log) = place.refused(|_| {});
    assert_eq!(code, Some(1), "{log}");
    one_line_and_a_hint(&log);
    assert!(
        log.contains(&format!("in use by another agnesd (pid {})", first.pid())),
        "{log}"
    );
    let pid_file = fs::read_to_string(place.state().join("agnesd.pid")).unwrap();
    assert_eq!(
        pid_file.trim(),
        first.pid().to_string(),
        "the first one's pid file is untouched"
    );
    assert_eq!(first.stop(), 0);
    place.start();
}

#[test]
fn a_killed_server_leaves_nothing_that_blocks_the_next() {
    let place = Place::new();
    let mut first = place.start();
    first.signal(nix::sys::signal::Signal::SIGKILL);
    first.wait(PATIENCE);
    assert!(place.state().join("agnesd.pid").exists());
    let (code, log) = place.refused(|c| {
        c.env("AGNES_TLS_LISTEN", "127.0.0.1:0");
    });
    assert_eq!(code, Some(1), "{log}");
    assert!(
        !place.state().join("agnesd.pid").exists(),
        "a start that fails leaves no stale pid behind"
    );
    let second = place.start();
    let pid_file = fs::read_to_string(place.state().join("agnesd.pid")).unwrap();
    assert_eq!(pid_file, format!("{}\n", second.pid()));
}

#[test]
fn a_taken_port_is_one_clear_line() {
    let place = Place::new();
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let (code, log) = place.refused(|c| {
        c.env("AGNES_LISTEN", &address);
    });
    assert_eq!(code, Some(1), "{log}");
    one_line_and_a_hint(&log);
    assert!(
        log.contains(&format!(
            "AGNES_LISTEN: listen on {address}: the port is taken by another process"
        )),
        "{log}"
    );
    assert!(!place.state().join("agnesd.pid").exists());
}

#[test]
fn b02_a_state_directory_is_made_only_where_its_parent_is() {
    let place = Place::new();
    let (inside, beyond) = (place.path().join("made"), place.path().join("no/disk"));
    let (code, log) = place.refused(|c| {
        c.env("STATE_DIR", &beyond);
    });
    assert_eq!(code, Some(1), "{log}");
    one_line_and_a_hint(&log);
    assert!(
        log.contains("no/disk: make the directory") && log.contains("mount the data disk"),
        "{log}"
    );
    assert!(!place.path().join("no").exists());
    let mut server = place.start_with(|c| {
        c.env("STATE_DIR", &inside);
    });
    assert_eq!(server.stop(), 0);
    assert!(inside.is_dir());
}

#[test]
fn invalid_settings_are_listed_whole_and_nothing_is_bound() {
    let place = Place::new();
    let (code, log) = place.refused(|c| {
        c.env("AGNES_LISTEN", "nowhere")
            .env("AGNES_TLS_LISTEN", "also nowhere")
            .env("AGNES_RUNTIME", "hamster");
    });
    assert_eq!(code, Some(78), "{log}");
    for key in ["AGNES_LISTEN", "AGNES_TLS_LISTEN", "AGNES_RUNTIME"] {
        assert!(
            log.lines()
                .any(|l| l.starts_with("agnesd: serve: ") && l.contains(key)),
            "{key}: {log}"
        );
    }
    assert!(!log.contains("serving"), "{log}");
    assert_eq!(fs::read_dir(place.state()).unwrap().count(), 0);
}

#[test]
fn a_key_that_can_be_guessed_is_refused_before_anything_is_bound() {
    let place = Place::new();
    for weak in ["short", &"x".repeat(40), &"changeme".repeat(5)] {
        let (code, log) = place.refused(|c| {
            c.env("JWT_SECRET_KEY", weak).env("SESSION_SECRET", weak);
        });
        assert_eq!(code, Some(78), "{log}");
        for key in ["JWT_SECRET_KEY", "SESSION_SECRET"] {
            let start = format!("agnesd: serve: environment: {key}: ");
            assert!(log.lines().any(|l| l.starts_with(&start)), "{key}: {log}");
        }
        assert!(!log.contains("serving") && !log.contains(weak), "{log}");
    }
    assert_eq!(fs::read_dir(place.state()).unwrap().count(), 0);
}

#[test]
fn the_directory_is_taken_before_and_after_the_verb_and_from_the_environment() {
    let place = Place::new();
    let dir = place.path().join("deployment");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join(".env"), "LOG_LEVEL=info\nAGNES_LISTEN=nowhere\n").unwrap();
    let path = dir.to_str().unwrap();
    for args in [
        &["-C", path, "serve"][..],
        &["serve", "-C", path],
        &["-C", path],
        &[],
        &["serve"],
    ] {
        let (code, log) = place.refused(|c| {
            c.env_remove("AGNES_LISTEN").args(args);
            if args.len() < 2 {
                c.env("AGNES_DIR", path);
            }
        });
        assert_eq!(code, Some(78), "{args:?}: {log}");
        assert!(
            log.contains(".env:2"),
            "{args:?} names file and line: {log}"
        );
    }
    // the environment is above the file
    place.start_with(|c| {
        c.args(["-C", path]);
    });
}

#[test]
fn help_reads_like_a_manual_and_version_is_one_line() {
    let place = Place::new();
    let help = output(place.command().arg("--help"));
    let text = String::from_utf8(help.stdout).unwrap();
    assert_eq!(help.status.code(), Some(0));
    for word in [
        "SETTINGS",
        "SIGNALS",
        "FILES",
        "EXIT CODES",
        "EXAMPLES",
        "AGNES_TLS_LISTEN",
        "SIGUSR1",
        "78",
        "agnesd.pid",
    ] {
        assert!(text.contains(word), "{word} is missing:\n{text}");
    }
    assert!(text.lines().all(|l| l.chars().count() <= 120), "{text}");
    let version = String::from_utf8(output(place.command().arg("--version")).stdout).unwrap();
    assert!(
        version.starts_with(&format!("agnesd {}", env!("CARGO_PKG_VERSION"))),
        "{version}"
    );
    assert_eq!(output(place.command().arg("serv")).status.code(), Some(2));
}

#[test]
fn under_journald_the_log_has_no_timestamps() {
    let place = Place::new();
    let mut server = place.start_with(|c| {
        c.env("JOURNAL_STREAM", "8:1");
    });
    assert!(
        server
            .until_logged("serving")
            .trim_start()
            .starts_with("INFO"),
        "{}",
        server.log()
    );
    assert!(!server.log().contains('\u{1b}'));
}

#[test]
fn t17_no_core_dump_and_not_dumpable() {
    let place = Place::new();
    // another user, when we may: a dumpable process of that user would own its /proc entries
    let binary = place.path().join("agnesd");
    fs::copy(env!("CARGO_BIN_EXE_agnesd"), &binary).unwrap();
    for path in [place.path().to_owned(), place.state()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let server = place.start_with(|c| {
        let mut own = Command::new(&binary);
        own.env_clear()
            .envs(c.get_envs().filter_map(|(k, v)| Some((k, v?))));
        if nix::unistd::geteuid().is_root() {
            own.uid(65534).gid(65534);
        }
        *c = own;
    });
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let core = limits
        .lines()
        .find(|l| l.starts_with("Max core file size"))
        .unwrap();
    assert_eq!(
        core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(),
        ["0", "0"],
        "{core}"
    );
    let environ = fs::metadata(format!("/proc/{}/environ", server.pid())).unwrap();
    assert_eq!(
        environ.uid(),
        0,
        "not dumpable: its /proc entries belong to root"
    );
    // what agnes-ops looks at before it signals stays readable
    let comm = fs::read_to_string(format!("/proc/{}/comm", server.pid())).unwrap();
    assert_eq!(comm.trim(), "agnesd");
}
