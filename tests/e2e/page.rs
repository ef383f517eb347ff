//! The pages in a real browser: signing in, a token, what happens as it happens, signing out; by keyboard, with a screen
//! reader's eyes, in the light and in the dark.

use agnes_e2e::api::{ADMIN, Caller, PASSWORD};
use agnes_e2e::browser::{Browser, Colours, ENTER, NAME, TAB, Window};
use agnes_e2e::components::require;
use agnes_e2e::deployment::{Deployment, agnesd};
use agnes_e2e::ports;
use serde_json::json;

/// Set to the file of a picture, it is made anew: `AGNES_PICTURE=docs/overview.png cargo test --test e2e -- page::`.
const PICTURE: &str = "AGNES_PICTURE";

struct Host {
    deployment: Deployment,
    base: String,
    anyone: Caller,
    admin: Caller,
}

impl Host {
    fn new() -> Self {
        let address = ports::free_address();
        let deployment = Deployment::process(address)
            .with("PUBLIC_URL", format!("http://{address}"))
            .with("SMTP_HOST", "127.0.0.1")
            .with("AGNES_LIMIT_UNAUTHENTICATED_PER_MIN", "0");
        deployment.ops(&["up"]).exits(0);
        let anyone = Caller::of(address);
        let admin = anyone.first_admin();
        Self {
            deployment,
            base: format!("http://{address}"),
            anyone,
            admin,
        }
    }

    fn goes(&self, window: &Window, path: &str) {
        window.goes_to(&format!("{}{path}", self.base));
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.deployment.ops(&["down"]);
    }
}

/// What looks for it.
fn axe() -> Option<String> {
    let dir = require("axe-core")?;
    Some(std::fs::read_to_string(dir.join("axe.min.js")).unwrap())
}

/// Whether everybody can use the page, as far as a program can tell.
fn is_usable(window: &Window, axe: &str) {
    window.runs(axe);
    let found = window.runs_until_it_calls_back(
        "const done = arguments[arguments.length - 1];
         axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}).then(
           found => done(found.violations.map(one => `${one.id}: ${one.nodes.map(node => node.html).join(' ')}`)),
           why => done([String(why)]));",
    );
    let at = window.address();
    assert!(found.as_array().unwrap().is_empty(), "{at}: {found}");
    // nothing is wider than the window of a phone, where the page cannot be scrolled aside
    let wide = window
        .runs("return document.documentElement.scrollWidth - document.documentElement.clientWidth");
    assert_eq!(wide, 0, "{at}");
}

#[test]
fn somebody_signs_in_makes_a_token_sees_what_happens_and_signs_out() {
    let Some(browser) = Browser::start().unwrap() else {
        return;
    };
    let Some(axe) = axe() else { return };
    let host = Host::new();
    let window = browser.window(Colours::Light).unwrap();
    host.goes(&window, "/");
    window.is_at("/login");
    is_usable(&window, &axe);
    // by keyboard alone: the first field has the focus
    window.focuses("#email");
    window.types(&format!("{ADMIN}{TAB}wrong{TAB}{ENTER}"));
    window.says("[role=alert]", "not those of anybody");
    is_usable(&window, &axe);
    assert_eq!(
        window.runs("return document.getElementById('email').value"),
        ADMIN
    );
    window.focuses("#email");
    window.types(&format!("{TAB}{PASSWORD}{ENTER}"));
    window.is_at("/");
    assert_eq!(window.text("h1"), "Overview");
    // the script runs, and the policy lets it connect
    window.says("#live", "as they happen");
    let form = json!({"email": "one@example.com", "password": PASSWORD});
    host.admin.post("/api/users", &form).is(201);
    window.says("#event-rows tr:first-child", "user:one@example.com");
    host.admin
        .post("/api/jobs/self-check/run", &json!({}))
        .is(202);
    window.says("[data-job=self-check] [data-outcome]", "success");
    window.types_into("#token-name", "nightly export");
    window.clicks("form[action='/tokens'] button");
    let token = window.text("#new-token");
    assert!(token.starts_with("agp_"), "{token}");
    let me = host.anyone.bearing(&token).get("/api/me").is(200);
    assert_eq!(me.body["email"], ADMIN);
    is_usable(&window, &axe);
    host.goes(&window, "/");
    window.says("#live", "as they happen");
    assert!(!window.has("#new-token"));
    if let Some(path) = std::env::var_os(PICTURE) {
        let picture = openssl::base64::decode_block(&window.picture()).unwrap();
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        std::fs::write(root.join(path), picture).unwrap();
    }
    window.clicks("form[action^='/tokens/'] button");
    window.says("#tokens ~ .scroll tbody", "ended");
    host.anyone.bearing(&token).get("/api/me").is(401);
    // but for the wrong password
    let complaints = window.complaints();
    assert!(
        complaints.iter().all(|said| {
            // a page that is left while it connects says so
            said.contains("401") || said.contains("closed before the connection is established")
        }),
        "{complaints:?}"
    );
    window.clicks("header form button");
    window.is_at("/login");
    host.goes(&window, "/");
    window.is_at("/login");
}

#[test]
fn a_form_is_ours_also_on_plain_http_where_a_browser_says_less() {
    let Some(browser) = Browser::start().unwrap() else {
        return;
    };
    let host = Host::new();
    let window = browser.window(Colours::Light).unwrap();
    let (_, port) = host.base.rsplit_once(':').unwrap();
    window.goes_to(&format!("http://{NAME}:{port}/login"));
    window.focuses("#email");
    window.types(&format!("{ADMIN}{TAB}{PASSWORD}{ENTER}"));
    window.is_at("/");
    window.says("#live", "as they happen");
    window.types_into("#token-name", "one");
    window.clicks("form[action='/tokens'] button");
    assert!(window.text("#new-token").starts_with("agp_"));
    window.clicks("header form button");
    window.is_at("/login");
}

#[test]
fn the_pages_are_dark_where_the_readers_system_is_and_as_readable() {
    let Some(browser) = Browser::start().unwrap() else {
        return;
    };
    let Some(axe) = axe() else { return };
    let host = Host::new();
    let mut papers = Vec::new();
    for colours in [Colours::Light, Colours::Dark] {
        let window = browser.window(colours).unwrap();
        host.goes(&window, "/login");
        is_usable(&window, &axe);
        papers
            .push(window.runs("return getComputedStyle(document.documentElement).backgroundColor"));
        window.focuses("#email");
        window.types(&format!("{ADMIN}{TAB}{PASSWORD}{ENTER}"));
        window.is_at("/");
        // contrast among other things
        is_usable(&window, &axe);
    }
    assert_ne!(papers[0], papers[1]);
}

#[test]
fn a05_a_links_page_takes_the_code_from_behind_the_hash_and_only_its_button_uses_it() {
    let Some(browser) = Browser::start().unwrap() else {
        return;
    };
    let Some(axe) = axe() else { return };
    let host = Host::new();
    let mut asked = std::process::Command::new(agnesd());
    let asked = asked.arg("-C").arg(host.deployment.dir());
    let link = asked.args(["sign-in-link", ADMIN]).output().unwrap();
    let link = String::from_utf8(link.stdout).unwrap();
    let token = link.trim();
    assert_eq!(token.len(), 64, "{token}");
    let window = browser.window(Colours::Light).unwrap();
    let address = format!("/auth/magic/verify#token={token}");
    for _ in 0..2 {
        host.goes(&window, "/login");
        host.goes(&window, &address);
        assert_eq!(
            window.runs("return document.getElementById('token').value"),
            token
        );
        // gone from the address, and so from the history
        window.is_at("/auth/magic/verify");
    }
    is_usable(&window, &axe);
    window.clicks("form[action='/login/link'] button");
    window.is_at("/");
    assert_eq!(window.text("h1"), "Overview");
    // once
    let again = browser.window(Colours::Light).unwrap();
    host.goes(&again, &address);
    again.clicks("form[action='/login/link'] button");
    again.says("[role=alert]", "was used already");
    host.goes(&again, "/auth/reset/confirm");
    is_usable(&again, &axe);
}
