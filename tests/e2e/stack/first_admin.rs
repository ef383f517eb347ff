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
