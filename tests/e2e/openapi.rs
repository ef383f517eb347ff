//! schemathesis against a real agnesd: what the OpenAPI document allows, and what it does not, is sent to every operation, as
//! nobody, as an administrator in a session and by a personal token. No answer is a server error, and each is one that the
//! document has: its status, its type, its headers, its schema; a credential is never ignored.
//!
//! Left out are checks that ask for more than the document says: that all it allows is taken (a name may be taken already, an
//! address may not be a number), and that what was deleted is gone (people are disabled, for the audit log names them). Four
//! routes are not called with a credential, for they end it: `/logout`, `/auth/logout`, `/auth/logout-all` and `/auth/password`;
//! as nobody they are. The forms of who is signed in with a browser (`/tokens`) are not sent as nobody: they are not looked at then.
//!
//! `AGNES_SOAK=1` makes up many more calls. The seed is the run's.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use agnes_e2e::components::{is_soak, require, seed};
use agnes_e2e::deployment::Deployment;
use agnes_e2e::ports;
use serde_json::{Value, json};

const EMAIL: &str = "admin@example.com";
const PASSWORD: &str = "correct horse battery staple";
const NOT_ASKED: &str = "positive_data_acceptance,use_after_free,ensure_resource_availability";
const ENDS_THE_CALLER: &str = "^/(logout|auth/(logout|logout-all|password))$";
/// Whoever is not signed in is sent to where that is done, whatever the form holds.
const FORMS_OF_WHO_IS_SIGNED_IN: &str = "^/tokens";

/// Invented header fields that say where a request ends: with another value it is no HTTP, and what the HTTP library answers then is
/// nothing of the document's.
const HOOKS: &str = r#"
import schemathesis

FRAMING = {"connection", "content-length", "expect", "te", "trailer", "transfer-encoding", "upgrade"}

@schemathesis.hook
def before_call(ctx, case, kwargs):
    for name in [name for name in case.headers or {} if name.lower() in FRAMING]:
        del case.headers[name]
"#;

/// An agnesd without limits of calls, with one of everything that can be named; stopped when dropped.
struct Served {
    deployment: Deployment,
    address: SocketAddr,
    client: reqwest::Client,
    session: String,
}

impl Served {
    async fn new() -> Self {
        let address = ports::free_address();
        let deployment = Deployment::new()
            .with("AGNES_RUNTIME", "process")
            .with("AGNES_LISTEN", address.to_string())
            .with("METRICS_ADDR", "")
            .with("JWT_SECRET_KEY", "a-signing-key-for-the-schema-5e0b77")
            .with("AGNES_LIMIT_UNAUTHENTICATED_PER_MIN", "0")
            .with("AGNES_LIMIT_AUTHENTICATED_PER_MIN", "0");
        deployment.ops(&["up"]).exits(0);
        let mut served = Self {
            deployment,
            address,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            session: String::new(),
        };
        let form = json!({"email": EMAIL, "password": PASSWORD});
        served.post("/auth/bootstrap", &form).await;
        let tokens = served.post("/auth/token", &form).await;
        served.session = text(&tokens, "access_token");
        served
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let request = self.client.post(format!("http://{}{path}", self.address));
        let request = request.bearer_auth(&self.session).json(body);
        let response = request.send().await.unwrap();
        let status = response.status();
        let answer: Value = response.json().await.unwrap();
        assert!(status.is_success(), "{path}: {status}: {answer}");
        answer
    }

    async fn get(&self, path: &str, credential: &str) -> u16 {
        let request = self.client.get(format!("http://{}{path}", self.address));
        let response = request.bearer_auth(credential).send().await.unwrap();
        response.status().as_u16()
    }

    /// Names that exist, so that not every call ends with 404; none of them is the caller's own.
    async fn named(&self) -> PathBuf {
        let one = json!({"email": "one@example.com", "password": PASSWORD});
        let user = text(&self.post("/api/users", &one).await, "id");
        let group = text(
            &self.post("/api/groups", &json!({"name": "crew"})).await,
            "id",
        );
        self.post("/api/roles", &json!({"name": "pilot"})).await;
        let file = self.deployment.dir().join("schemathesis.toml");
        let named = format!(
            r#"
hooks = "framing.py"

[[operations]]
include-path-regex = "^/api/users/"
parameters = {{ id = "{user}" }}

[[operations]]
include-path-regex = "^/api/groups/"
parameters = {{ id = "{group}", user = "{user}" }}

[[operations]]
include-path-regex = "^/api/roles/"
parameters = {{ name = "pilot" }}

[[operations]]
include-path-regex = "^/api/jobs/"
parameters = {{ name = "checkpoint" }}
"#
        );
        std::fs::write(self.deployment.dir().join("framing.py"), HOOKS).unwrap();
        std::fs::write(&file, named).unwrap();
        file
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.deployment.ops(&["down"]);
    }
}

fn text(answer: &Value, field: &str) -> String {
    answer[field]
        .as_str()
        .unwrap_or_else(|| panic!("{field}: {answer}"))
        .to_owned()
}

/// How many calls were made up; panics with what schemathesis says when one was answered wrongly.
fn attack(served: &Served, program: &PathBuf, named: &PathBuf, credential: Option<&str>) -> usize {
    let examples = if is_soak() { "400" } else { "12" };
    let mut command = Command::new(program);
    command
        .arg("--config-file")
        .arg(named)
        .arg("run")
        .arg(format!("http://{}/api/openapi.json", served.address))
        .args([
            "--no-color",
            "--warnings",
            "off",
            "--no-shrink",
            "--continue-on-failure",
        ])
        .args(["--generation-database", "none", "--checks", "all"])
        .args(["--exclude-checks", NOT_ASKED, "--max-examples", examples])
        .args(["--seed", &seed().to_string()])
        .args(["--phases", "examples,coverage,fuzzing,stateful"])
        .env("NO_PROXY", "*")
        .current_dir(served.deployment.dir());
    match credential {
        Some(credential) => command
            .args(["--header", &format!("Authorization: Bearer {credential}")])
            .args(["--exclude-path-regex", ENDS_THE_CALLER]),
        None => command.args(["--exclude-path-regex", FORMS_OF_WHO_IS_SIGNED_IN]),
    };
    let ran = command.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(
        ran.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    let generated = said
        .lines()
        .find_map(|line| line.split_once(" generated, "));
    let generated = generated.unwrap_or_else(|| panic!("no sum: {said}")).0;
    generated.trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_one_that_the_document_has() {
    let Some(program) = require("schemathesis") else {
        return;
    };
    let served = Served::new().await;
    let named = served.named().await;
    let form = json!({"name": "schemathesis", "expires_in_days": 1});
    let personal = text(&served.post("/auth/tokens", &form).await, "token");
    for (who, credential) in [
        ("nobody", None),
        ("session", Some(served.session.as_str())),
        ("token", Some(personal.as_str())),
    ] {
        let calls = attack(&served, &program, &named, credential);
        println!("FIGURE schemathesis-{who} {calls} calls, each answered as documented");
        assert!(calls > 300, "{who}: {calls} calls are no attack");
        // it was somebody all the while
        if let Some(credential) = credential {
            assert_eq!(served.get("/api/users", credential).await, 200, "{who}");
        }
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(served.get("/api/health", "").await, 200);
}
