//! The shipped image and Compose files, whole, on a real engine: what a host runs in production.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use agnes_e2e::caddy::Version;
use agnes_e2e::deployment::{DOMAIN, Deployment};
use agnes_e2e::docker::{Docker, Project};
use agnes_e2e::ports;
use serde_json::Value;
use xtask::command;

mod boot;
mod combinations;
mod doctor;
mod drift;
mod first_admin;
mod host_files;
mod image;
mod render;
mod replicas;
mod rotation;
mod runbooks;
mod snapshot;
mod upgrade;

/// Networks that no other stack of this run has.
static NETWORKS: AtomicU8 = AtomicU8::new(0);

/// Another name.
const ALIAS: &str = "www.example.com";

/// A stack that is up.
struct Stack {
    docker: &'static Docker,
    project: Project,
    deployment: Deployment,
    https: SocketAddr,
    http: SocketAddr,
    plain: SocketAddr,
    /// The app's container.
    app: String,
}

impl Stack {
    /// Production, host-mount and TLS with the pair on disk; `None` after saying `SKIP`.
    fn up() -> Option<Self> {
        Self::up_with(Version::V2_11, &[("TLS_MODE", "files")])
    }

    /// The stack of these settings behind this proxy.
    fn up_with(version: Version, settings: &[(&str, &str)]) -> Option<Self> {
        let image = Docker::get()?.project_image().unwrap()?;
        Self::up_from(version, image, settings)
    }

    /// The same from another image.
    fn up_from(version: Version, image: &str, settings: &[(&str, &str)]) -> Option<Self> {
        Self::up_on(Docker::get()?, version, image, settings)
    }

    /// The same on this engine.
    fn up_on(
        docker: &'static Docker,
        version: Version,
        image: &str,
        settings: &[(&str, &str)],
    ) -> Option<Self> {
        let mut stack = Self::described(docker, version, image, settings)?;
        let data = stack.project.path().join("data");
        for directory in [&data, &data.join("state")] {
            std::fs::create_dir(directory).unwrap();
            // as a boot makes them
            std::os::unix::fs::chown(directory, Some(999), Some(999)).unwrap();
            std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700)).unwrap();
        }
        let rendered = stack.deployment.ops(&["render", "compose"]).exits(0);
        assert_eq!(rendered.detail("compose_says"), "accepted");
        stack.deployment.ops(&["secrets", "ensure"]).exits(0);
        stack.deployment.ops(&["tls", "rotate"]).exits(0);
        stack.project.up().unwrap();
        stack.app = stack.project.container("app").unwrap();
        stack.becomes("healthy");
        Some(stack)
    }

    /// What `.env` says of it, and nothing else.
    fn described(
        docker: &'static Docker,
        version: Version,
        image: &str,
        settings: &[(&str, &str)],
    ) -> Option<Self> {
        let caddy = docker.caddy_image(version).unwrap()?;
        let project = Project::empty(docker).unwrap();
        let (https, http, plain) = (
            ports::free_address(),
            ports::free_address(),
            ports::free_address(),
        );
        // two runs of these tests may share a host
        let network = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let network = format!("10.{}.{network}", 64 + std::process::id() % 128);
        let (repository, tag) = image.rsplit_once(':').unwrap();
        let data = project.path().join("data");
        let mut deployment = Deployment::at(project.path())
            .polls_itself()
            .with("DATA_DIR", data.display().to_string())
            .with("TLS_SERVED_ADDRESS", https.to_string())
            .with("AGNES_IMAGE", repository)
            .with("AGNES_TAG", tag)
            .with("CADDY_IMAGE", caddy)
            .with("AGNES_HTTPS_PUBLISH", https.to_string())
            .with("AGNES_HTTP_PUBLISH", http.to_string())
            .with("AGNES_APP_PUBLISH", plain.to_string())
            .with("AGNES_SUBNET", format!("{network}.0/24"))
            .with("AGNES_PROXY_ADDRESS", format!("{network}.254"))
            .with("COMPOSE_PROJECT_NAME", project_name(&project));
        for (key, value) in settings {
            deployment.set(key, *value);
        }
        for (key, value) in docker.environment() {
            deployment.set_environment(key, value);
        }
        Some(Self {
            docker,
            project,
            deployment,
            https,
            http,
            plain,
            app: String::new(),
        })
    }

    /// What the engine says of the app's container.
    fn app(&self, format: &str) -> String {
        let said = self
            .docker
            .command(["inspect", "--format", format])
            .arg(&self.app)
            .output()
            .unwrap();
        String::from_utf8(said.stdout).unwrap().trim().to_owned()
    }

    fn becomes(&self, wanted: &str) {
        until(&format!("the app is {wanted}"), || {
            self.app("{{.State.Health.Status}}") == wanted
        });
    }

    /// Through the proxy, whose certificate is the bridge, which nobody but this test trusts.
    fn get(&self, path: &str, headers: &[(&str, &str)]) -> Result<Answer, reqwest::Error> {
        let url = format!("https://{DOMAIN}:{}{path}", self.https.port());
        self.ask(&url, headers)
    }

    /// A write through the proxy; `None`: it had no answer.
    fn post(&self, path: &str, token: Option<&str>, body: &Value) -> Option<(u16, Value)> {
        wait(async {
            let url = format!("https://{DOMAIN}:{}{path}", self.https.port());
            let mut request = self.client().post(url).json(body);
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            let answer = request.send().await.ok()?;
            let status = answer.status().as_u16();
            Some((status, answer.json().await.unwrap_or_default()))
        })
    }

    /// Finds the stack's names where it is.
    fn client(&self) -> reqwest::Client {
        reqwest::Client::builder()
            .tls_danger_accept_invalid_certs(true)
            .redirect(reqwest::redirect::Policy::none())
            .resolve(DOMAIN, self.https)
            .resolve(ALIAS, self.https)
            .no_proxy()
            .timeout(Duration::from_secs(60))
            .build()
            .unwrap()
    }

    /// Any address of this stack.
    fn ask(&self, url: &str, headers: &[(&str, &str)]) -> Result<Answer, reqwest::Error> {
        wait(async {
            let client = self.client();
            let mut request = client.get(url);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let answer = request.send().await?;
            Ok(Answer {
                status: answer.status().as_u16(),
                headers: answer.headers().clone(),
                text: answer.text().await?,
            })
        })
    }

    fn answers(&self, status: u16) {
        until(&format!("the proxy answers {status}"), || {
            self.get("/api/health", &[])
                .is_ok_and(|answer| answer.status == status)
        });
    }
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(work)
}

/// What came through the proxy.
struct Answer {
    status: u16,
    headers: reqwest::header::HeaderMap,
    text: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }
}

/// As Compose names the project of a directory; ours says `name: agnes`, and here several run at once.
fn project_name(project: &Project) -> String {
    let name = project.path().file_name().unwrap().to_string_lossy();
    name.to_lowercase()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(
            started.elapsed() < Duration::from_secs(120),
            "not yet: {what}"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn the_shipped_stack_is_healthy_and_serves_through_its_proxy() {
    let Some(stack) = Stack::up() else {
        return;
    };
    stack.answers(200);
    let answer = stack.get("/api/health", &[]).unwrap();
    assert_eq!(
        answer.header("strict-transport-security"),
        "max-age=31536000"
    );
    assert_eq!(answer.header("x-frame-options"), "DENY");
    assert_eq!(answer.header("server"), "");
    assert_ne!(
        answer.header("x-request-id"),
        "",
        "it is not agnesd that answers"
    );
    assert_eq!(answer.text, r#"{"status":"ok"}"#);

    // the server's own port is closed on the host
    assert!(std::net::TcpStream::connect(stack.plain).is_err());
    assert_eq!(stack.app("{{.Config.User}}"), "999:999");
    assert_eq!(stack.app("{{.HostConfig.ReadonlyRootfs}}"), "true");
    assert_eq!(stack.app("{{.HostConfig.Memory}}"), "4294967296");
    assert_eq!(stack.app("{{.HostConfig.NanoCpus}}"), "2000000000");
    let pid: u32 = stack.app("{{.State.Pid}}").parse().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("\nUid:\t999\t999\t999\t999\n"), "{status}");
    let first = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(
        first.starts_with(b"/usr/lib/agnes/agnesd\0"),
        "a shell is in between"
    );

    // the secrets of the host are those in use, and stand in no `docker inspect`
    let token = std::fs::read_to_string(
        stack
            .deployment
            .state()
            .join("secrets/live/SCHEDULER_API_TOKEN"),
    )
    .unwrap();
    let asked = |token: &str| {
        let bearer = format!("Bearer {token}");
        // a client's own claim of where it comes from
        let headers = [
            ("Authorization", bearer.as_str()),
            ("X-Forwarded-For", "203.0.113.9"),
        ];
        stack.get("/api/jobs", &headers).unwrap().status
    };
    assert_eq!(asked(&token), 200);
    assert_eq!(asked("another"), 401);
    assert!(!stack.app("{{json .}}").contains(&token));
    let state = socket(&stack, "/v1/state");
    assert!(state.contains(r#""of_this_process":false"#), "{state}");
    // the proxy's word for the caller counts, and the caller's own does not
    assert!(state.contains(r#""callers":[{"#), "{state}");
    assert!(!state.contains("203.0.113.9"), "{state}");
    let proxy = stack.deployment_value("AGNES_PROXY_ADDRESS");
    assert!(
        !state.contains(&format!(r#""address":"{proxy}""#)),
        "{state}"
    );

    // `docker restart` alone changes nothing of that
    command::capture(&mut stack.docker.command(["restart", &stack.app])).unwrap();
    stack.answers(200);
    stack.becomes("healthy");
    assert_eq!(asked(&token), 200);
}

#[test]
fn while_the_app_is_away_requests_are_held_and_then_told_when_to_come_again() {
    let Some(stack) = Stack::up() else {
        return;
    };
    stack.answers(200);
    // a restart is shorter than the hold: no request fails
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            (0..40)
                .map(|_| {
                    std::thread::sleep(Duration::from_millis(50));
                    stack.get("/api/health", &[]).unwrap().status
                })
                .collect::<Vec<_>>()
        });
        command::capture(&mut stack.docker.command(["restart", &stack.app])).unwrap();
        let statuses = asking.join().unwrap();
        assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    });

    command::capture(&mut stack.docker.command(["stop", &stack.app])).unwrap();
    assert_eq!(stack.app("{{.State.ExitCode}}"), "0");
    let call = stack.get("/api/health", &[]).unwrap();
    assert_eq!(call.status, 503);
    assert_eq!(call.header("retry-after"), "5");
    assert_eq!(call.header("content-type"), "application/problem+json");
    assert_eq!(call.header("x-frame-options"), "DENY");
    let problem: serde_json::Value = serde_json::from_str(&call.text).unwrap();
    assert_eq!(problem["status"], 503);
    let page = stack.get("/", &[("Accept", "text/html")]).unwrap();
    assert_eq!(page.status, 503);
    assert_eq!(page.header("retry-after"), "5");
    assert!(page.text.contains("Back in a moment"));
    command::capture(&mut stack.docker.command(["start", &stack.app])).unwrap();
    stack.answers(200);
}

/// What the control socket says to root on the host.
fn socket(stack: &Stack, path: &str) -> String {
    use std::io::{Read as _, Write as _};
    let socket = stack.project.path().join("data/run/agnesd.sock");
    let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: control\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer
}

impl Stack {
    fn deployment_value(&self, key: &str) -> String {
        let text = std::fs::read_to_string(self.deployment.dir().join(".env")).unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{key}=")))
            .unwrap();
        line.trim_matches('\'').to_owned()
    }
}

#[test]
fn the_base_alone_serves_plain_http_from_a_volume_of_its_own() {
    let settings = [("AGNES_OVERLAYS", "base"), ("TLS_MODE", "none")];
    let Some(stack) = Stack::up_with(Version::V2_6, &settings) else {
        return;
    };
    for address in [stack.http, stack.plain] {
        let url = format!("http://{address}/api/health");
        until(&format!("{url} answers"), || {
            stack
                .ask(&url, &[])
                .is_ok_and(|answer| answer.status == 200)
        });
        let answer = stack.ask(&url, &[]).unwrap();
        assert_eq!(
            answer.header("strict-transport-security"),
            "",
            "there is no TLS"
        );
    }
    // the database is in the volume, and the host's directory has none
    assert!(!stack.deployment.state().join("system.duckdb").exists());
    assert!(stack.app("{{json .Mounts}}").contains(r#""Type":"volume""#));
}

#[test]
fn an_alias_leads_to_the_domain_and_the_proxys_own_authority_serves_both() {
    let settings = [
        ("TLS_MODE", "internal"),
        ("CADDY_TLS", "tls internal"),
        ("DOMAIN_ALIAS", ALIAS),
    ];
    for version in [Version::V2_11, Version::V2_6] {
        let Some(stack) = Stack::up_with(version, &settings) else {
            return;
        };
        stack.answers(200);
        let url = format!("https://{ALIAS}:{}/a/path?with=query", stack.https.port());
        let moved = stack.ask(&url, &[]).unwrap();
        assert_eq!(moved.status, 308);
        assert_eq!(
            moved.header("location"),
            format!("https://{DOMAIN}/a/path?with=query")
        );
        let plain = stack
            .ask(&format!("http://{}/", stack.http), &[("Host", DOMAIN)])
            .unwrap();
        assert_eq!(plain.status, 308);
        assert_eq!(plain.header("location"), format!("https://{DOMAIN}/"));
    }
}
