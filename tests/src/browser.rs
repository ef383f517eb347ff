//! A browser: headless Chromium, driven as the WebDriver standard (W3C) has it.
//!
//! Always true: it looks up no names and speaks to loopback alone; its profile goes with it. The few commands that tests need
//! stand here: the client libraries bring crates under licences that nothing else here has.
//!
//! Does not: judge what it shows.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::components::require;
use crate::ports;
use crate::process::Daemon;

const PATIENCE: Duration = Duration::from_secs(30);
/// The key under which the standard names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A name that the browser takes for this host; unlike an address of loopback, no origin that it trusts on plain HTTP.
pub const NAME: &str = "agnes.example.com";

/// The Tab key, as the standard writes it.
pub const TAB: &str = "\u{e004}";
/// The Enter key.
pub const ENTER: &str = "\u{e007}";

/// What the reader's system prefers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

/// A driver, which starts browsers.
#[derive(Debug)]
pub struct Browser {
    chromium: PathBuf,
    url: String,
    // before the directory: what runs in it ends first
    _driver: Daemon,
    profiles: TempDir,
}

impl Browser {
    /// `None`: it cannot run here.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start() -> Result<Option<Self>> {
        let (Some(chromium), Some(driver)) = (require("chromium"), require("chromedriver")) else {
            return Ok(None);
        };
        let address = ports::free_address();
        let profiles = tempfile::tempdir()?;
        let mut command = Command::new(driver);
        command
            .arg(format!("--port={}", address.port()))
            .env("HOME", profiles.path())
            .env("TMPDIR", profiles.path());
        let mut driver = Daemon::spawn(&mut command)?;
        driver.wait_listening(address, PATIENCE)?;
        Ok(Some(Self {
            chromium,
            url: format!("http://{address}"),
            _driver: driver,
            profiles,
        }))
    }

    /// One window.
    ///
    /// # Errors
    /// When the browser does not start.
    pub fn window(&self, colours: Colours) -> Result<Window> {
        // the engine's own number for it
        let scheme = match colours {
            Colours::Dark => 0,
            Colours::Light => 1,
        };
        let profile = tempfile::tempdir_in(self.profiles.path())?.keep();
        let arguments = [
            "--headless=new".to_owned(),
            // as root, and in a container as often as not
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            format!(
                "--host-resolver-rules=MAP {NAME} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
            ),
            "--window-size=1280,1000".to_owned(),
            format!("--blink-settings=preferredColorScheme={scheme}"),
            format!("--user-data-dir={}", profile.display()),
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"binary": self.chromium, "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let mut window = Window {
            client: reqwest::Client::builder().no_proxy().build()?,
            runtime,
            session: format!("{}/session", self.url),
        };
        let begun = window.send(Method::POST, "", Some(&wanted))?;
        let id = begun["sessionId"].as_str().context("no session")?;
        window.session = format!("{}/session/{id}", self.url);
        Ok(window)
    }
}

/// One window; closed when dropped.
#[derive(Debug)]
pub struct Window {
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
    session: String,
}

impl Drop for Window {
    fn drop(&mut self) {
        let _ = self.send(Method::DELETE, "", None);
    }
}

impl Window {
    fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let url = format!("{}{path}", self.session);
        let request = self.client.request(method, url);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        self.runtime.block_on(async {
            let answer = request.send().await?;
            let status = answer.status();
            let mut body: Value = answer.json().await?;
            ensure!(status.is_success(), "{path}: {}", body["value"]);
            Ok(body["value"].take())
        })
    }

    #[track_caller]
    fn post(&self, path: &str, body: &Value) -> Value {
        self.send(Method::POST, path, Some(body)).unwrap()
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        self.send(Method::GET, path, None).unwrap()
    }

    /// Opens an address.
    #[track_caller]
    pub fn goes_to(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    /// The address of the page.
    #[track_caller]
    pub fn address(&self) -> String {
        self.get("/url").as_str().unwrap().to_owned()
    }

    /// Waits for the page of this path.
    #[track_caller]
    pub fn is_at(&self, path: &str) {
        let begun = Instant::now();
        loop {
            let address = self.address();
            let after_host = address.splitn(4, '/').nth(3).unwrap_or_default();
            if format!("/{after_host}") == path {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "at {address}, not at {path}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    #[track_caller]
    fn find(&self, selector: &str) -> Option<String> {
        let wanted = json!({"using": "css selector", "value": selector});
        let found = self.post("/elements", &wanted);
        let first = found.as_array().and_then(|all| all.first());
        first.map(|one| one[ELEMENT].as_str().unwrap().to_owned())
    }

    /// Waits for an element.
    #[track_caller]
    fn element(&self, selector: &str) -> String {
        let begun = Instant::now();
        loop {
            if let Some(found) = self.find(selector) {
                return found;
            }
            let at = self.address();
            assert!(begun.elapsed() < PATIENCE, "no {selector} at {at}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether there is such an element now.
    #[track_caller]
    pub fn has(&self, selector: &str) -> bool {
        self.find(selector).is_some()
    }

    /// What an element says.
    #[track_caller]
    pub fn text(&self, selector: &str) -> String {
        self.element(selector);
        // found and read in one step: what is live is replaced at any moment
        let quoted = serde_json::to_string(selector).unwrap();
        let script = format!("return (document.querySelector({quoted}) || {{}}).innerText || ''");
        self.runs(&script).as_str().unwrap().to_owned()
    }

    /// Waits until an element says this among other things.
    #[track_caller]
    pub fn says(&self, selector: &str, what: &str) {
        let begun = Instant::now();
        loop {
            let text = self.text(selector);
            if text.contains(what) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{selector}: {text}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Clicks on an element.
    #[track_caller]
    pub fn clicks(&self, selector: &str) {
        let element = self.element(selector);
        self.post(&format!("/element/{element}/click"), &json!({}));
    }

    /// Types into an element.
    #[track_caller]
    pub fn types_into(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        self.post(
            &format!("/element/{element}/value"),
            &json!({ "text": text }),
        );
    }

    /// Waits until the page is there and an element has its focus.
    #[track_caller]
    pub fn focuses(&self, selector: &str) {
        let script = format!(
            "return document.readyState === 'complete' && document.activeElement.matches('{selector}')"
        );
        let begun = Instant::now();
        while self.runs(&script) != true {
            let at = self.address();
            assert!(
                begun.elapsed() < PATIENCE,
                "the focus is not on {selector} at {at}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Types wherever the page's focus is, as somebody without a mouse does.
    #[track_caller]
    pub fn types(&self, text: &str) {
        let keys = text.chars().flat_map(|key| {
            ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key.to_string()}))
        });
        let keys: Vec<Value> = keys.collect();
        let actions = json!({"actions": [{"type": "key", "id": "keys", "actions": keys}]});
        self.post("/actions", &actions);
    }

    /// Runs a function's body; its result.
    #[track_caller]
    pub fn runs(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// The same for one that calls its last argument when it is done.
    #[track_caller]
    pub fn runs_until_it_calls_back(&self, script: &str) -> Value {
        self.post("/execute/async", &json!({"script": script, "args": []}))
    }

    /// What the console was told, warnings and worse: a refused script or style is among it.
    #[track_caller]
    pub fn complaints(&self) -> Vec<String> {
        let all = self.post("/se/log", &json!({"type": "browser"}));
        let all = all.as_array().unwrap().iter();
        let bad = all.filter(|one| one["level"] == "SEVERE" || one["level"] == "WARNING");
        bad.map(|one| one["message"].to_string()).collect()
    }

    /// PNG, base64.
    #[track_caller]
    pub fn picture(&self) -> String {
        self.get("/screenshot").as_str().unwrap().to_owned()
    }
}
