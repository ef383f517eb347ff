//! The code of the first administrator, on its way from `.env` to a server that does not read that file.

use std::io::Write as _;

use serde_json::json;

use super::Stack;

#[test]
fn b10_a_code_for_the_first_administrator_reaches_the_server_as_a_file() {
    const CODE: &str = "4f1c9a7e2b6d8035";
    let Some(mut stack) = Stack::up() else { return };
    let path = stack.deployment.dir().join(".env");
    let mut env = std::fs::File::options().append(true).open(path).unwrap();
    writeln!(env, "AGNES_BOOTSTRAP_TOKEN={CODE}").unwrap();
    stack.deployment.ops(&["secrets", "ensure"]).exits(0);
    stack.project.up().unwrap();
    stack.app = stack.project.container("app").unwrap();
    stack.becomes("healthy");
    let shown = stack.app("{{json .Config.Env}}");
    assert!(shown.contains("AGNES_BOOTSTRAP_TOKEN_FILE=/run/agnes/secrets/"));
    assert!(!shown.contains(CODE), "{shown}");

    let mut body =
        json!({"email": "admin@example.com", "password": "correct horse battery staple"});
    let (status, said) = stack.post("/auth/bootstrap", None, &body).unwrap();
    assert_eq!(status, 403, "{said}");
    body["bootstrap_token"] = CODE.into();
    let (status, said) = stack.post("/auth/bootstrap", None, &body).unwrap();
    assert_eq!(status, 201, "{said}");

    // a person has taken it out: nothing brings it back, and the server is made without
    let path = stack.deployment.dir().join(".env");
    let text = std::fs::read_to_string(&path).unwrap();
    let lines = text.lines().filter(|line| !line.contains("BOOTSTRAP"));
    let left: Vec<&str> = lines.collect();
    std::fs::write(&path, left.join("\n")).unwrap();
    stack.deployment.ops(&["secrets", "ensure"]).exits(0);
    assert!(
        !std::fs::read_to_string(&path)
            .unwrap()
            .contains("BOOTSTRAP")
    );
    stack.project.up().unwrap();
    stack.app = stack.project.container("app").unwrap();
    stack.becomes("healthy");
}

#[test]
fn b10_secrets_of_mail_and_of_a_provider_reach_the_server_as_files() {
    const SECRETS: [&str; 2] = ["hunter2-of-the-mail-server", "hunter2-of-the-provider"];
    let Some(mut stack) = Stack::up() else { return };
    let path = stack.deployment.dir().join(".env");
    let mut env = std::fs::File::options().append(true).open(path).unwrap();
    let [mail, provider] = SECRETS;
    writeln!(
        env,
        "SMTP_HOST=smtp.example.com\nSMTP_USER=agnes\nSMTP_PASSWORD={mail}\nOIDC_ISSUER=https://id.example.com\nOIDC_CLIENT_ID=agnes\nOIDC_CLIENT_SECRET={provider}"
    )
    .unwrap();
    stack.deployment.ops(&["secrets", "ensure"]).exits(0);
    stack.project.up().unwrap();
    stack.app = stack.project.container("app").unwrap();
    stack.becomes("healthy");
    let shown = stack.app("{{json .Config.Env}}");
    for (name, secret) in ["SMTP_PASSWORD", "OIDC_CLIENT_SECRET"]
        .into_iter()
        .zip(SECRETS)
    {
        assert!(
            shown.contains(&format!("{name}_FILE=/run/agnes/secrets/{name}")),
            "{shown}"
        );
        assert!(!shown.contains(secret), "{shown}");
    }
    // the server has taken both up: neither way of signing in is off
    let body = json!({"email": "admin@example.com", "password": "correct horse battery staple"});
    let (status, said) = stack.post("/auth/bootstrap", None, &body).unwrap();
    assert_eq!(status, 201, "{said}");
    let (_, signed) = stack.post("/auth/token", None, &body).unwrap();
    let bearer = format!("Bearer {}", signed["access_token"].as_str().unwrap());
    let health = stack
        .get("/api/health/detailed", &[("authorization", &bearer)])
        .unwrap();
    let health: serde_json::Value = serde_json::from_str(&health.text).unwrap();
    assert_eq!(health["services"]["mail"]["status"], "ok");
    assert_eq!(health["services"]["oidc"]["status"], "ok");
}
