//! Keys and secrets: both of a pair, retired ones, guessable ones.

use super::*;

#[test]
fn a03_both_keys_of_a_pair_are_there() {
    let settings = sound(env(&format!(
        "JWT_SECRET_KEY={JWT}\nJWT_SECRET_KEY_PREVIOUS={OTHER}\n"
    )));
    let jwt = &settings.secrets.jwt;
    assert_eq!(
        (text(jwt.current.as_ref()), text(jwt.previous.as_ref())),
        (JWT, OTHER)
    );
    let dir = dir(&[
        (
            ".env",
            &format!("SESSION_SECRET={JWT}\nSESSION_SECRET_FILE=s\n"),
        ),
        ("s", &format!("{OTHER}\n")),
    ]);
    let session = sound(load(dir.path(), process(&[("SESSION_SECRET", JWT)]), &[]))
        .secrets
        .session;
    assert_eq!(text(session.current.as_ref()), OTHER);
    let found = env(&format!("JWT_SECRET_KEY_PREVIOUS={OTHER}\n"));
    one(
        &found.warnings,
        ".env:1: JWT_SECRET_KEY_PREVIOUS: ",
        "JWT_SECRET_KEY is not",
    );
}

#[test]
fn a_retired_key_stays_retired_when_its_file_is_gone_or_empty() {
    let with = |content: Option<&str>| {
        let dir = dir(&[(
            ".env",
            &format!(
                "JWT_SECRET_KEY={JWT}\nJWT_SECRET_KEY_PREVIOUS={OTHER}\nJWT_SECRET_KEY_PREVIOUS_FILE=previous\n"
            ),
        )]);
        if let Some(content) = content {
            let mut file = fs::File::create(dir.path().join("previous")).unwrap();
            std::io::Write::write_all(&mut file, content.as_bytes()).unwrap();
        }
        sound(load(dir.path(), [], &[])).secrets.jwt
    };
    assert!(with(None).previous.is_none());
    assert!(with(Some("")).previous.is_none());
    assert!(with(Some("\n")).previous.is_none());
    assert_eq!(
        text(with(Some(&JWT.to_lowercase())).previous.as_ref()),
        JWT.to_lowercase()
    );
    // absent is not unreadable
    let broken = dir(&[(
        ".env",
        "JWT_SECRET_KEY_PREVIOUS_FILE=previous\nSESSION_SECRET_FILE=none\n",
    )]);
    symlink("nowhere", broken.path().join("previous")).unwrap();
    let found = lines(&load(broken.path(), [], &[]).server_problems);
    assert_eq!(
        found,
        [
            ".env:1: JWT_SECRET_KEY_PREVIOUS_FILE: the file \"previous\" is a symbolic link to a file that does not exist",
            ".env:2: SESSION_SECRET_FILE: the file \"none\" does not exist",
        ]
    );
}

#[test]
fn a_key_that_can_be_guessed_stops_the_server_and_nobody_else() {
    let padded = |unit: &str| unit.chars().cycle().take(40).collect::<String>();
    for (weak, part) in [
        (
            "short".to_owned(),
            "has 5 characters (expected at least 32)",
        ),
        ("x".repeat(31), "has 31 characters"),
        ("ü".repeat(31), "has 31 characters"),
        ("x".repeat(64), "one character"),
        (padded("changeme"), "placeholder"),
        (padded("Change-Me!"), "placeholder"),
        (padded("secret"), "placeholder"),
        (padded("super-secret-key "), "placeholder"),
        (
            "your-secret-key-goes-here-0123456789".to_owned(),
            "placeholder",
        ),
        (
            "please-change-this-before-production".to_owned(),
            "placeholder",
        ),
        (
            "insecure-development-key-0123456789ab".to_owned(),
            "placeholder",
        ),
        (
            "example-key-0123456789abcdefghijklmnop".to_owned(),
            "placeholder",
        ),
        (
            "<a-random-text-of-32-characters-or-more>".to_owned(),
            "placeholder",
        ),
    ] {
        for key in ["JWT_SECRET_KEY", "SESSION_SECRET"] {
            let loaded = env(&format!("{key}='{weak}'\n"));
            one(&loaded.server_problems, &format!(".env:1: {key}: "), part);
            assert!(!loaded.server_problems[0].message.contains(&weak));
            assert!(loaded.problems.is_empty() && loaded.settings.is_some());
            let shown = loaded.values.iter().find(|value| value.key == key).unwrap();
            assert!(shown.problem.is_some());
            assert_eq!(loaded.into_server_settings().unwrap_err().0.len(), 1);
        }
        let loaded = env(&format!(
            "JWT_SECRET_KEY={JWT}\nJWT_SECRET_KEY_PREVIOUS='{weak}'\n"
        ));
        one(
            &loaded.server_problems,
            ".env:2: JWT_SECRET_KEY_PREVIOUS: ",
            part,
        );
    }
    for strong in [
        JWT,
        "0123456789abcdef0123456789abcdef",
        "correct horse battery staple secret",
        "test-jwt-secret-key-0123456789-0123456789",
    ] {
        assert!(
            sound(env(&format!("JWT_SECRET_KEY='{strong}'\n")))
                .secrets
                .jwt
                .current
                .is_some()
        );
    }
}

#[test]
fn a01_a_short_scheduler_token_opens_nothing() {
    for key in ["SCHEDULER_API_TOKEN", "SCHEDULER_API_TOKEN_PREVIOUS"] {
        let base = if key == "SCHEDULER_API_TOKEN" {
            String::new()
        } else {
            format!("SCHEDULER_API_TOKEN={OTHER}\n")
        };
        let line = base.lines().count() + 1;
        let loaded = env(&format!("{base}{key}={}\n", &JWT[1..]));
        one(
            &loaded.warnings,
            &format!(".env:{line}: {key}: "),
            "has 31 characters (expected at least 32), so it opens nothing",
        );
        assert!(loaded.server_problems.is_empty());
        let scheduler = loaded.settings.unwrap().secrets.scheduler;
        assert_eq!(scheduler.current.is_some(), !base.is_empty());
        assert!(scheduler.previous.is_none());
        let scheduler = sound(env(&format!("{base}{key}={JWT}\n")))
            .secrets
            .scheduler;
        let held = if base.is_empty() {
            scheduler.current
        } else {
            scheduler.previous
        };
        assert_eq!(text(held.as_ref()), JWT);
    }
    let loaded = env("AGNES_BOOTSTRAP_TOKEN=0123456789abcde\n");
    one(
        &loaded.server_problems,
        ".env:1: AGNES_BOOTSTRAP_TOKEN: ",
        "at least 16",
    );
    let settings = sound(env("AGNES_BOOTSTRAP_TOKEN=0123456789abcdef\n"));
    assert_eq!(
        text(settings.secrets.bootstrap.as_ref()),
        "0123456789abcdef"
    );
}

#[test]
fn one_value_in_two_places_is_a_warning() {
    let found = env(&format!(
        "JWT_SECRET_KEY={JWT}\nJWT_SECRET_KEY_PREVIOUS={JWT}\n"
    ));
    one(
        &found.warnings,
        ".env:2: JWT_SECRET_KEY_PREVIOUS: ",
        "nothing was rotated",
    );
    let found = env(&format!(
        "SCHEDULER_API_TOKEN={JWT}\nJWT_SECRET_KEY={JWT}\n"
    ));
    one(
        &found.warnings,
        ".env:1: SCHEDULER_API_TOKEN: ",
        "is the same as JWT_SECRET_KEY (expected a secret of its own)",
    );
    assert!(found.server_problems.is_empty());
}
