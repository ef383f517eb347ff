//! `agnes-ops fetch` as an operator runs it: files, exit codes, one JSON object, and a silent environment.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use agnes_e2e::gcs::Gcs;
use agnes_e2e::https_source::{Answer, CURRENT, Ca, HttpsSource};
use agnes_e2e::secret_manager::{Mode, SecretManager};
use tempfile::TempDir;

/// The program, beside this test's own executable (`target/debug/deps/e2e-…` → `target/debug/agnes-ops`).
fn agnes_ops() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let program = own
        .parent()
        .and_then(Path::parent)
        .unwrap()
        .join("agnes-ops");
    assert!(program.exists(), "{} is not built", program.display());
    program
}

/// A host of a test's own: a deployment directory, and an environment that says nothing but what the test adds.
struct Host {
    dir: TempDir,
    environment: Vec<(&'static str, String)>,
}

impl Host {
    fn new(environment: &[(&'static str, String)]) -> Self {
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join(".env"), "DOMAIN=agnes.example.com\n").unwrap();
        Self {
            dir,
            environment: environment.to_vec(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn fetch(&self, url: &str) -> (i32, serde_json::Value, Output) {
        let output = Command::new(agnes_ops())
            .env_clear()
            .envs(self.environment.iter().map(|(k, v)| (k, v)))
            .env("HOME", self.dir.path())
            .arg("-C")
            .arg(self.dir.path())
            .args(["--json", "fetch", url, "-o"])
            .arg(self.path("out"))
            .output()
            .unwrap();
        let everything = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert!(!everything.contains("hunter2"), "{everything}");
        let report =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {everything}"));
        (output.status.code().unwrap(), report, output)
    }

    #[track_caller]
    fn fails(&self, url: &str, reason: &str) -> String {
        let (exit, report, output) = self.fetch(url);
        assert_eq!(
            (exit, &report["details"]["reason"]),
            (1, &serde_json::json!(reason)),
            "{report}"
        );
        assert!(!self.path("out").exists(), "a failed fetch left a file");
        text(&output.stderr)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn t13_fetch_reports_its_reason_and_leaves_no_file() {
    let ca = Ca::new("Test Root");
    let web = HttpsSource::start(&ca.server(&["localhost"], CURRENT));
    let host = Host::new(&[]);
    std::fs::write(host.path("ca.pem"), ca.pem()).unwrap();
    let bundle = host.path("ca.pem").display().to_string();
    // A proxy in the environment must change nothing: a tick under systemd and a shell's are the same.
    let dead = "http://127.0.0.1:1".to_owned();
    let trusting = Host::new(&[
        ("TLS_CA_BUNDLE", bundle),
        ("HTTPS_PROXY", dead.clone()),
        ("ALL_PROXY", dead),
    ]);
    let url = web
        .url("/chain.pem?token=hunter2")
        .replace("//", "//user:hunter2@");

    web.answer(Answer::ok("chain"));
    assert!(
        host.fails(&url, "forbidden")
            .contains("hint: set TLS_CA_BUNDLE")
    );
    let (exit, report, _) = trusting.fetch(&url);
    assert_eq!(exit, 0, "{report}");
    assert_eq!(std::fs::read(trusting.path("out")).unwrap(), b"chain");
    std::fs::remove_file(trusting.path("out")).unwrap();

    for (answer, reason) in [
        (Answer::status(404), "not-published"),
        (Answer::status(403), "forbidden"),
        (Answer::status(503), "transient"),
        (Answer::status(400), "malformed"),
        (
            Answer::with_header(302, "Location", "https://localhost/?hunter2"),
            "redirect",
        ),
        (Answer::Endless, "too-large"),
    ] {
        web.answer(answer);
        trusting.fails(&url, reason);
    }
    trusting.fails(&url.replace("https", "http"), "unsupported-scheme");
    trusting.fails("gs://bucket", "malformed");
}

#[test]
fn t13_fetch_from_both_google_services_and_a_file() {
    let secrets = SecretManager::start();
    secrets.add("agnes-test", "fullchain", "from sm");
    let host = Host::new(&[
        ("AGNES_SM_ENDPOINT", secrets.endpoint()),
        ("GOOGLE_CLOUD_PROJECT", "agnes-test".into()),
    ]);
    assert_eq!(host.fetch("sm://fullchain").0, 0);
    assert_eq!(std::fs::read(host.path("out")).unwrap(), b"from sm");
    std::fs::remove_file(host.path("out")).unwrap();
    secrets.set(Mode::Forbidden);
    let said = host.fails("sm://fullchain", "forbidden");
    assert!(
        said.contains("sm://fullchain: permission denied (HTTP 403)"),
        "{said}"
    );
    assert!(
        said.contains("hint: grant roles/secretmanager.secretAccessor"),
        "{said}"
    );

    host.fails("file:///nonexistent", "not-published");
    assert_eq!(
        host.fetch(&format!("file://{}", host.path(".env").display()))
            .0,
        0
    );

    let Some(gcs) = Gcs::start() else { return };
    gcs.bucket("agnes-bucket");
    gcs.upload("agnes-bucket", "chain.pem", b"from gs");
    let host = Host::new(&[("AGNES_GCS_ENDPOINT", gcs.endpoint())]);
    assert_eq!(host.fetch("gs://agnes-bucket/chain.pem").0, 0);
    assert_eq!(std::fs::read(host.path("out")).unwrap(), b"from gs");
    std::fs::remove_file(host.path("out")).unwrap();
    host.fails("gs://agnes-bucket/absent.pem", "not-published");
}
