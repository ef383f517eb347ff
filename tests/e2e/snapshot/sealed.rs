//! B10: secrets are in a snapshot for whoever holds the identity, and for nobody else.

use age::secrecy::ExposeSecret as _;
use serde_json::json;

use super::host::{Host, names};

#[test]
fn b10_secrets_are_encrypted_to_a_recipient_and_come_back_with_its_identity() {
    let key = age::x25519::Identity::generate();
    let recipient = key.to_public().to_string();
    let toml = format!("[snapshot]\nage_recipient = \"{recipient}\"\n");
    let host = Host::with(|deployment| {
        deployment
            .with("SMTP_PASSWORD", "canary-value-of-a-secret")
            .toml(&toml)
    });
    let id = host.create();
    let path = host.snapshot(&id);
    assert!(names(&path).contains(&"secrets.tar.age".to_owned()));
    for (file, (_, _, bytes)) in agnes_e2e::deployment::snapshot(&path) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!text.contains("canary-value-of-a-secret"), "{file:?}");
    }
    // it is what age's own tools read: a tar
    let sealed = std::fs::read(path.join("secrets.tar.age")).unwrap();
    let plain = age::decrypt(&key, &sealed).unwrap();
    let text = String::from_utf8_lossy(&plain);
    assert!(text.contains("canary-value-of-a-secret"));
    assert!(!text.contains("PRIVATE KEY"), "the key of TLS is in it");

    // a host that was lost: other secrets were made, and one is missing
    let env = host.deployment.dir().join(".env");
    let text = std::fs::read_to_string(&env).unwrap();
    let signing = value(&text, "JWT_SECRET_KEY");
    std::fs::remove_dir_all(host.deployment.state().join("secrets")).unwrap();
    let lines = text.lines().filter(|line| {
        ![
            "JWT_SECRET_KEY=",
            "SESSION_SECRET=",
            "SCHEDULER_API_TOKEN=",
            "SMTP_PASSWORD=",
        ]
        .iter()
        .any(|key| line.starts_with(key))
    });
    let without: String = lines.map(|line| format!("{line}\n")).collect();
    std::fs::write(&env, without).unwrap();
    host.deployment.ops(&["secrets", "ensure"]).exits(0);
    let made = std::fs::read_to_string(&env).unwrap();
    assert_ne!(value(&made, "JWT_SECRET_KEY"), signing);

    // without the identity nothing is touched
    let wrong = age::x25519::Identity::generate();
    let file = host.deployment.dir().join("identity.txt");
    let restore = ["restore", &id, "--with-secrets", "--identity"];
    let restore = [&restore[..], &[file.to_str().unwrap()]].concat();
    let refused = |reason: &str| {
        let ran = host.ops(&restore).exits(1);
        assert_eq!(ran.detail("reason"), reason, "{}", ran.stdout);
        assert_eq!(std::fs::read_to_string(&env).unwrap(), made);
    };
    refused("no-identity");
    std::fs::write(&file, wrong.to_string().expose_secret()).unwrap();
    refused("not-decrypted");
    std::fs::write(&file, "# a comment\nno key\n").unwrap();
    refused("not-decrypted");
    assert_eq!(host.ops(&["restore", &id, "--with-secrets"]).code, 2);

    let text = format!("# mine\n{}\n", key.to_string().expose_secret());
    std::fs::write(&file, text).unwrap();
    host.ops(&restore).exits(0).with_outcome("changed");
    let env = std::fs::read_to_string(&env).unwrap();
    assert_eq!(value(&env, "JWT_SECRET_KEY"), signing);
    assert!(env.contains("canary-value-of-a-secret"));
    let live = host.deployment.state().join("secrets/live/JWT_SECRET_KEY");
    assert_eq!(std::fs::read_to_string(live).unwrap().trim(), signing);
    host.deployment.ops(&["secrets", "check"]).exits(0);
    // a snapshot without secrets says so
    std::fs::remove_file(host.deployment.dir().join("agnes.toml")).unwrap();
    let bare = host.create();
    let ran = host.ops(&[
        "restore",
        &bare,
        "--with-secrets",
        "--identity",
        file.to_str().unwrap(),
    ]);
    assert_eq!(ran.exits(1).detail("reason"), &json!("no-secrets"));
}

fn value(env: &str, name: &str) -> String {
    let prefix = format!("{name}=");
    let line = env.lines().find_map(|line| line.strip_prefix(&prefix));
    line.unwrap().trim_matches('\'').to_owned()
}
