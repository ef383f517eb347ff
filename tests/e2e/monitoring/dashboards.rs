//! W07: every panel of Grafana's dashboards says what it shows, and shows it.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Value, json};
use xtask::checkout;

use super::prometheus::{PATIENCE, Watched};
use super::read;

/// Where the dashboards are, and as what Grafana sees that.
const OURS: &str = "monitoring/grafana";
const MOUNTED: &str = "/etc/grafana/provisioning";
/// Grafana finds a dashboard again, and people's links lead to it, by these.
const UIDS: [&str; 2] = ["agnes-operations", "agnes-server"];
/// What Grafana puts in place of its variables.
const VARIABLES: [(&str, &str); 2] = [("$__rate_interval", "10s"), ("$instance", ".*")];
/// A build that nobody releases has none.
const UNSAID: &str = "commit";
/// Where metrics are named.
const NAMED: [&str; 2] = ["agnesd/src/metrics.rs", "agnes-ops/src/watch/metrics.rs"];

struct Query {
    panel: String,
    expression: String,
    legend: String,
}

fn dashboards() -> Vec<Value> {
    let directory = root().join(OURS).join("dashboards");
    let files = std::fs::read_dir(directory).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let boards = files.filter(|path| path.extension().is_some_and(|end| end == "json"));
    let mut boards: Vec<Value> = boards
        .map(|path| serde_json::from_str(&read(&path)).unwrap())
        .collect();
    boards.sort_by_key(|board| board["uid"].to_string());
    boards
}

fn root() -> PathBuf {
    checkout::root().unwrap()
}

fn panels(board: &Value) -> impl Iterator<Item = &Value> {
    let all = board["panels"].as_array().unwrap().iter();
    all.filter(|panel| panel["type"] != "row")
}

fn queries(boards: &[Value]) -> Vec<Query> {
    let mut found = Vec::new();
    for board in boards {
        for panel in panels(board) {
            for target in panel["targets"].as_array().unwrap() {
                let mut expression = target["expr"].as_str().unwrap().to_owned();
                for (name, value) in VARIABLES {
                    expression = expression.replace(name, value);
                }
                let panel = format!("{}: {}", board["title"], panel["title"]);
                assert!(!expression.contains('$'), "{panel}: {expression}");
                let legend = target["legendFormat"].as_str().unwrap().to_owned();
                found.push(Query {
                    panel,
                    expression,
                    legend,
                });
            }
        }
    }
    found
}

/// The words of an expression that may be metrics.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

#[test]
fn a_panel_says_what_it_shows_and_in_which_unit() {
    let boards = dashboards();
    let uids: Vec<&str> = boards
        .iter()
        .map(|board| board["uid"].as_str().unwrap())
        .collect();
    assert_eq!(uids, UIDS);
    for board in &boards {
        assert!(board["description"].as_str().unwrap().len() > 20);
        let mut ids = BTreeSet::new();
        let mut taken = BTreeSet::new();
        for panel in board["panels"].as_array().unwrap() {
            let name = format!("{}: {}", board["title"], panel["title"]);
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{name}: its id");
            assert!(!panel["title"].as_str().unwrap().is_empty(), "{name}");
            let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            assert!(at("x") + at("w") <= 24, "{name} is wider than the board");
            for x in at("x")..at("x") + at("w") {
                for y in at("y")..at("y") + at("h") {
                    assert!(taken.insert((x, y)), "{name} lies on another one");
                }
            }
            if panel["type"] == "row" {
                continue;
            }
            let said = panel["description"].as_str().unwrap_or_default();
            assert!(said.len() > 10, "{name} does not say what it shows");
            let unit = &panel["fieldConfig"]["defaults"]["unit"];
            let unit = unit.as_str().unwrap_or_default();
            assert!(!unit.is_empty(), "{name} has no unit");
            // another deployment's Prometheus has another uid
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{name}");
            let targets = panel["targets"].as_array().unwrap();
            assert!(!targets.is_empty(), "{name} asks nothing");
            let mut letters = BTreeSet::new();
            for target in targets {
                assert!(letters.insert(target["refId"].to_string()), "{name}");
                let legend = target["legendFormat"].as_str().unwrap();
                assert!(!legend.is_empty(), "{name}: {target}");
            }
        }
    }
}

#[test]
fn grafana_is_told_where_the_dashboards_are() {
    let compose = read(&root().join("docker-compose.monitoring.yml"));
    let mount = format!("- ./{OURS}:{MOUNTED}:ro");
    assert!(compose.contains(&mount), "no longer {mount}");
    let provider = read(&root().join(OURS).join("dashboards/agnes.yml"));
    let mut paths = super::values(&provider, "path:");
    assert_eq!(paths.next(), Some("/etc/grafana/provisioning/dashboards"));
    assert_eq!(paths.next(), None);
}

#[test]
fn w07_every_metric_that_is_exported_stands_in_a_panel() {
    let queries = queries(&dashboards());
    let mut shown = BTreeSet::new();
    for query in &queries {
        for word in words(&query.expression) {
            let parts = ["_bucket", "_count", "_sum"];
            let whole = parts.iter().find_map(|part| word.strip_suffix(part));
            shown.insert(whole.unwrap_or(word));
        }
    }
    let mut exported = 0;
    for file in NAMED {
        let text = read(&root().join(file));
        // every name is a text of its own
        for name in text.split('"').filter(|text| text.starts_with("agnes_")) {
            assert!(shown.contains(name), "{name} ({file}) stands in no panel");
            exported += 1;
        }
    }
    assert!(exported > 20, "{exported}");
}

/// Does what makes the server count: somebody signs in, is refused, comes too often; a job runs; a file comes and goes; writes are held.
struct Traffic {
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
    base: String,
    session: String,
}

impl Traffic {
    fn begin(watched: &Watched) -> Self {
        let env = read(&watched.well.deployment.dir().join(".env"));
        let mut address = env
            .lines()
            .filter_map(|line| line.strip_prefix("AGNES_LISTEN="));
        let base = format!("http://{}", address.next().unwrap().trim_matches('\''));
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let mut traffic = Self {
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            runtime: runtime.enable_all().build().unwrap(),
            base,
            session: String::new(),
        };
        let person =
            json!({"email": "admin@example.com", "password": "correct horse battery staple"});
        assert_eq!(traffic.post("/auth/bootstrap", &person).0, 201);
        let (status, tokens) = traffic.post("/auth/token", &person);
        assert_eq!(status, 200, "{tokens}");
        traffic.session = tokens["access_token"].as_str().unwrap().to_owned();
        assert_eq!(traffic.post("/api/jobs/self-check/run", &json!({})).0, 202);
        traffic
    }

    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.client.post(format!("{}{path}", self.base)).json(body);
        let request = request.bearer_auth(&self.session);
        self.runtime.block_on(async {
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            (status, answer.json().await.unwrap_or_default())
        })
    }

    fn get(&self, path: &str, credential: Option<&str>) -> u16 {
        let mut request = self.client.get(format!("{}{path}", self.base));
        if let Some(credential) = credential {
            request = request.bearer_auth(credential);
        }
        let answer = self.runtime.block_on(request.send());
        answer.unwrap().status().as_u16()
    }

    /// A WebSocket that is opened and left.
    fn watches(&self) {
        let (_, address) = self.base.split_once("://").unwrap();
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let session = &self.session;
        write!(
            stream,
            "GET /api/events HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {session}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 101");
    }

    /// What a few seconds of a bad day look like.
    fn goes_on(&self, watched: &Watched) {
        assert_eq!(self.get("/api/me", Some(&self.session)), 200);
        let file = self
            .client
            .post(format!("{}/api/uploads?name=file", self.base));
        let file = file
            .header("content-type", "application/octet-stream")
            .bearer_auth(&self.session)
            .body("content");
        let brought = self.runtime.block_on(file.send()).unwrap().status();
        assert!(brought.is_success(), "{brought}");
        let fetched = self.get("/api/data/file/download", Some(&self.session));
        assert_eq!(fetched, 200);
        let token = json!({"name": "one", "scopes": ["read"]});
        watched
            .well
            .post("/v1/writes/hold", &json!({"id": "a-test"}));
        let (status, said) = self.post("/auth/tokens", &token);
        watched
            .well
            .post("/v1/writes/release", &json!({"id": "a-test"}));
        assert_eq!(status, 503, "{said}");
        // no mail server is set
        let asked = json!({"email": "admin@example.com"});
        assert_eq!(self.post("/auth/magic/request", &asked).0, 202);
        self.watches();
        let refused = (0..200).any(|_| self.get("/api/me", None) == 429);
        assert!(refused, "nobody came too often");
    }
}

#[test]
fn w07_every_panel_has_data_once_there_is_some() {
    let Some(watched) = Watched::start() else {
        return;
    };
    let well = &watched.well;
    well.ops(&["snapshot", "drill"]).exits(0);
    // one run that fails, which is a finding too; later by more than the second that times are told in
    std::thread::sleep(std::time::Duration::from_millis(1100));
    std::fs::write(well.deployment.published(), "junk").unwrap();
    well.ops(&["tls", "rotate"]).exits(1);
    well.ops(&["watch"]).exits(0);
    let boards = dashboards();
    for board in &boards {
        let list = board["templating"]["list"].as_array().unwrap();
        let instance = list.iter().find(|one| one["name"] == "instance").unwrap();
        let query = instance["query"].as_str().unwrap();
        let of = query.strip_prefix("label_values(").unwrap();
        let of = of.strip_suffix(", instance)").unwrap();
        watched.prometheus.has_scraped(of);
    }
    let traffic = Traffic::begin(&watched);
    let begun = Instant::now();
    let mut pending = queries(&boards);
    assert!(pending.len() > 40, "{}", pending.len());
    while !pending.is_empty() {
        traffic.goes_on(&watched);
        pending.retain(|query| {
            let series = watched.prometheus.series(&query.expression);
            let series = series.unwrap_or_else(|why| panic!("{}: {why}", query.panel));
            for (labels, _) in &series {
                // what Grafana does not find stays empty
                for part in query.legend.split("{{").skip(1) {
                    let (label, _) = part.split_once("}}").unwrap();
                    assert!(
                        labels[label].is_string() || label == UNSAID,
                        "{}: {label}: {labels}",
                        query.panel
                    );
                }
            }
            // the quantile of nothing is no number
            !series.iter().any(|(_, value)| value.is_finite())
        });
        let empty: Vec<String> = pending
            .iter()
            .map(|query| format!("{}: {}", query.panel, query.expression))
            .collect();
        assert!(
            begun.elapsed() < PATIENCE,
            "no data for:\n{}",
            empty.join("\n")
        );
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}
