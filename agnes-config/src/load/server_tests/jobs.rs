//! `[[jobs]]`, black box through `load`.

use super::*;

const JOBS: &str = r#"
[[jobs]]
name = "nightly"
schedule = "daily 03:00"
path = "/api/reports?full=1"

[[jobs]]
name = "hook_2"
schedule = "cron 0 5 * * 1"
url = "https://example.com/hook?key=hunter2"
method = "GET"
timeout = "24h"
retries = 0
token_env = "HOOK_TOKEN"
"#;

#[test]
fn jobs_are_read_with_their_credentials() {
    let dir = dir(&[
        ("agnes.toml", JOBS),
        (".env", "HOOK_TOKEN=from-env-file\n"),
        ("token", "from-file\n"),
    ]);
    let token = |variables: &[(&str, &str)]| {
        let jobs = sound(load(dir.path(), process(variables), &[])).jobs;
        text(jobs[1].token.as_ref()).to_owned()
    };
    assert_eq!(token(&[]), "from-env-file");
    assert_eq!(token(&[("HOOK_TOKEN", "")]), "from-env-file");
    assert_eq!(token(&[("HOOK_TOKEN", "from-process")]), "from-process");
    assert_eq!(
        token(&[("HOOK_TOKEN", "x"), ("HOOK_TOKEN_FILE", "token")]),
        "from-file"
    );
    let loaded = load(dir.path(), [], &[]);
    assert!(!format!("{loaded:?}").contains("from-env-file"));
    let shown = loaded
        .values
        .iter()
        .find(|value| value.key == "jobs")
        .unwrap();
    assert_eq!(
        shown.value,
        "nightly daily 03:00: POST /api/reports; hook_2 cron 0 5 * * 1: GET https://example.com/hook, token"
    );
    let jobs = sound(loaded).jobs;
    assert_eq!(jobs.len(), 2);
    assert_eq!(
        jobs[0].target,
        JobTarget::Path("/api/reports?full=1".to_owned())
    );
    assert_eq!(
        (jobs[0].method, jobs[0].retries, jobs[0].timeout),
        (Method::Post, 3, Duration::from_secs(60))
    );
    assert_eq!(
        (jobs[1].method, jobs[1].retries, jobs[1].timeout),
        (Method::Get, 0, Duration::from_secs(86_400))
    );
    assert!(jobs[0].token.is_none());
    assert_eq!(jobs[1].schedule.to_string(), "cron 0 5 * * 1");
}

#[test]
fn a_credential_that_is_missing_stops_the_server() {
    let loaded = toml(JOBS);
    one(
        &loaded.server_problems,
        "agnes.toml:7: jobs[1].token_env: ",
        "names HOOK_TOKEN, which is set neither",
    );
    assert!(loaded.settings.is_some());
    let files = [
        ("agnes.toml", JOBS),
        (".env", "HOOK_TOKEN=x\nHOOK_TOKEN_FILE=none\n"),
    ];
    one(
        &load_files(&files).server_problems,
        "agnes.toml:7: jobs[1].token_env: ",
        "the file \"none\" of HOOK_TOKEN_FILE does not exist",
    );
    let plain = JOBS.replace("https://example.com", "http://example.com");
    let files = [("agnes.toml", plain.as_str()), (".env", "HOOK_TOKEN=x\n")];
    one(
        &load_files(&files).warnings,
        "agnes.toml:7: jobs[1].token_env: ",
        "plain http",
    );
    let plain = JOBS.replace("https://example.com", "http://127.0.0.1:9");
    sound(load_files(&[("agnes.toml", plain.as_str()), files[1]]));
}

#[test]
fn wrong_jobs_are_named_by_entry_and_field() {
    let job = |lines: &str| format!("[[jobs]]\nname = \"x\"\nschedule = \"every 15m\"\n{lines}\n");
    for (lines, at, part) in [
        ("", "1: jobs[0]: ", "has no target"),
        (
            "path = \"/x\"\nurl = \"https://example.com\"",
            "1: jobs[0]: ",
            "has more than one target",
        ),
        (
            "path = \"/x\"\nurl = \"\"\nretries = 101",
            "6: jobs[0].retries: ",
            "is more than 100",
        ),
        ("path = \"x\"", "4: jobs[0].path: ", "is no path"),
        (
            "path = \"//example.com\"",
            "4: jobs[0].path: ",
            "is no path",
        ),
        ("path = \"/a b\"", "4: jobs[0].path: ", "is no path"),
        ("url = \"/x\"", "4: jobs[0].url: ", "is no URL"),
        (
            "url = \"file:///x\"",
            "4: jobs[0].url: ",
            "neither https nor http",
        ),
        (
            "url = \"https://u:hunter2@example.com\"",
            "4: jobs[0].url: ",
            "has a user",
        ),
        (
            "path = \"/x\"\nmethod = \"PUT\"",
            "5: jobs[0].method: ",
            "is no method",
        ),
        (
            "path = \"/x\"\ntimeout = \"25h\"",
            "5: jobs[0].timeout: ",
            "longer than a day",
        ),
        (
            "path = \"/x\"\ntimeout = \"0s\"",
            "5: jobs[0].timeout: ",
            "zero",
        ),
        (
            "path = \"/x\"\nretries = -1",
            "5: jobs[0].retries: ",
            "is no whole number",
        ),
        (
            "path = \"/x\"\nretries = true",
            "5: jobs[0].retries: ",
            "of type boolean",
        ),
        (
            "path = \"/x\"\ntoken_env = \"HOOK\"",
            "5: jobs[0].token_env: ",
            "goes with url only",
        ),
        (
            "path = \"/x\"\ntoken = \"hunter2\"",
            "5: jobs[0].token: ",
            "is no field of a job",
        ),
        (
            "url = \"https://example.com\"\ntoken_env = \"hunter-2\"",
            "5: jobs[0].token_env: ",
            "the name, not the value",
        ),
        (
            "url = \"https://example.com\"\ntoken_env = \"JWT_SECRET_KEY\"",
            "5: jobs[0].token_env: ",
            "the server's own",
        ),
        (
            "url = \"https://example.com\"\ntoken_env = \"SESSION_SECRET_FILE\"",
            "5: jobs[0].token_env: ",
            "the server's own",
        ),
    ] {
        let found = toml(&job(lines));
        one(&found.problems, &format!("agnes.toml:{at}"), part);
        assert!(!format!("{found:?}").contains("hunter"), "{found:?}");
    }
    for (name, part) in [
        ("", "name is missing"),
        ("X", "is no name"),
        ("-x", "is no name"),
        ("a b", "is no name"),
        (&"x".repeat(65), "is no name"),
        ("checkpoint", "has anyway"),
        ("audit-head", "has anyway"),
    ] {
        let text =
            format!("[[jobs]]\nname = \"{name}\"\nschedule = \"every 15m\"\npath = \"/x\"\n");
        one(&toml(&text).problems, "agnes.toml:", part);
    }
    let text = "[[jobs]]\nname = \"x\"\nschedule = \"hourly\"\npath = \"/x\"\n";
    one(
        &toml(text).problems,
        "agnes.toml:3: jobs[0].schedule: ",
        "\"hourly\" is no schedule",
    );
    let twice = format!("{0}{0}", job("path = \"/x\""));
    one(
        &toml(&twice).problems,
        "agnes.toml:5: jobs[1].name: ",
        "taken by an earlier job",
    );
    assert!(sound(toml("jobs = []\n")).jobs.is_empty());
    one(
        &toml("jobs = \"x\"\n").problems,
        "agnes.toml:1: jobs: ",
        "is of type string",
    );
}
