//! A host where systemd runs the server and hands it its secrets as credentials (`LoadCredential=`).

use agnes_e2e::systemd::Machine;

const DIR: &str = "/srv/agnes";
const LIVE: &str = "/srv/agnes/data/state/secrets/live";
const CREDENTIALS: &str = "/run/credentials/agnesd.service";
const UNIT: &str = "agnesd.service";
const SECRETS: [&str; 3] = ["JWT_SECRET_KEY", "SCHEDULER_API_TOKEN", "SESSION_SECRET"];

/// As `docs/operations.md` has it: the directory is one credential for each file in it, previous keys only while they are there.
const SERVICE: &str = "[Service]
Type=notify
User=agnes
ExecStart=/usr/bin/agnesd serve
Environment=DATA_DIR=/srv/agnes/data AGNES_LISTEN=127.0.0.1:8000
LoadCredential=secret:/srv/agnes/data/state/secrets/live
Environment=JWT_SECRET_KEY_FILE=%d/secret_JWT_SECRET_KEY
Environment=JWT_SECRET_KEY_PREVIOUS_FILE=%d/secret_JWT_SECRET_KEY_PREVIOUS
Environment=SESSION_SECRET_FILE=%d/secret_SESSION_SECRET
Environment=SESSION_SECRET_PREVIOUS_FILE=%d/secret_SESSION_SECRET_PREVIOUS
Environment=SCHEDULER_API_TOKEN_FILE=%d/secret_SCHEDULER_API_TOKEN
Environment=SCHEDULER_API_TOKEN_PREVIOUS_FILE=%d/secret_SCHEDULER_API_TOKEN_PREVIOUS
";

/// What `systemctl start` finds on a host.
fn installed(machine: &Machine) {
    let user = ["useradd", "--system", "--uid", "990", "agnes"];
    machine.run(&user).exits(0);
    let env = "DATA_DIR=data\nDOMAIN=agnes.example.com\nAGNES_RUNTIME=process\nAGNES_LISTEN=127.0.0.1:8000\n\
               AGNES_SERVER_OWNER=0:0\n";
    machine.write("/srv/agnes/.env", env).unwrap();
    let unit = format!("/etc/systemd/system/{UNIT}");
    machine.write(&unit, SERVICE).unwrap();
    machine.ops(DIR, &["secrets", "ensure"]).exits(0);
    // the server writes its state; the secrets below it stay root's
    let own = [
        "chown",
        "agnes:agnes",
        "/srv/agnes/data",
        "/srv/agnes/data/state",
    ];
    machine.run(&own).exits(0);
    machine.run(&["systemctl", "daemon-reload"]).exits(0);
    let started = machine.run(&["systemctl", "start", UNIT]);
    assert_eq!(started.code, 0, "{}", machine.journal(UNIT));
}

fn live(machine: &Machine, name: &str) -> String {
    machine.read(&format!("{LIVE}/{name}")).unwrap()
}

/// What systemd handed to the server; `None`: nothing of this name.
fn handed(machine: &Machine, name: &str) -> Option<String> {
    machine.read(&format!("{CREDENTIALS}/secret_{name}")).ok()
}

/// The server has what the host has, from systemd and not from its environment.
#[track_caller]
fn agree(machine: &Machine) {
    let pid = machine.property(UNIT, "MainPID");
    let environment = machine.read(&format!("/proc/{pid}/environ")).unwrap();
    for name in SECRETS {
        let value = live(machine, name);
        assert_eq!(handed(machine, name).as_ref(), Some(&value), "{name}");
        assert!(!environment.contains(&value), "{name}");
        assert!(!machine.journal(UNIT).contains(&value), "{name}");
    }
    machine.ops(DIR, &["secrets", "check"]).exits(0);
}

#[test]
fn a03_a_server_has_its_secrets_from_systemd_and_a_rotation_starts_it_anew() {
    let Some(machine) = Machine::boot().unwrap() else {
        return;
    };
    installed(&machine);
    agree(&machine);
    let file = format!("{LIVE}/JWT_SECRET_KEY");
    let refused = machine.run(&["runuser", "-u", "agnes", "cat", &file]);
    assert_eq!(refused.code, 1, "the files themselves are root's");

    // credentials are copies of the moment in which a process starts
    let old = live(&machine, "JWT_SECRET_KEY");
    let first = machine.property(UNIT, "MainPID");
    let rotated = machine.ops(DIR, &["secrets", "rotate", "jwt"]).exits(0);
    assert_eq!(rotated.detail("told"), "re-created", "{}", rotated.stdout);
    assert_eq!(
        rotated.detail("proof.state"),
        "proven",
        "{}",
        rotated.stdout
    );
    assert_ne!(machine.property(UNIT, "MainPID"), first);
    assert_eq!(
        handed(&machine, "JWT_SECRET_KEY_PREVIOUS"),
        Some(old.clone())
    );
    assert_ne!(handed(&machine, "JWT_SECRET_KEY"), Some(old));

    let journal = "/srv/agnes/data/state/ops/journal/secrets-rotate-jwt.json";
    let mut open: serde_json::Value =
        serde_json::from_str(&machine.read(journal).unwrap()).unwrap();
    open["retire_after"] = 0.into();
    machine.write(journal, &open.to_string()).unwrap();
    let retired = machine.ops(DIR, &["secrets", "rotate", "jwt"]).exits(0);
    assert_eq!(retired.detail("told"), "re-created", "{}", retired.stdout);
    assert_eq!(handed(&machine, "JWT_SECRET_KEY_PREVIOUS"), None);
    agree(&machine);

    let compromised = live(&machine, "SCHEDULER_API_TOKEN");
    let now = ["secrets", "rotate", "scheduler", "--now"];
    let rotated = machine.ops(DIR, &now).exits(0);
    assert_eq!(rotated.detail("told"), "re-created", "{}", rotated.stdout);
    assert_ne!(live(&machine, "SCHEDULER_API_TOKEN"), compromised);
    agree(&machine);
    // no stale copy comes back with a restart by hand
    machine.run(&["systemctl", "restart", UNIT]).exits(0);
    agree(&machine);
}
