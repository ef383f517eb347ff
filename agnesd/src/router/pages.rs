//! What is written from the routes for people: the page `/api/docs` and `docs/access.md`.
//!
//! Always true: the page has no script and no style of its own in it, so the strictest content policy lets it be read; a cell
//! of the access table is what [`Access::check`] says to such a caller.
//!
//! Does not: say more than the routes do.

use std::fmt::Write;
use std::sync::Arc;

use agnes_store::sessions::Method;
use agnes_store::tokens::Token;
use agnes_store::users::{Kind, User};
use agnes_store::{Id, clock};
use utoipa::openapi::OpenApi as Document;

use super::Table;
use crate::auth::access::{Access, Denied};
use crate::auth::roles::{AUDITOR, JOB_OPERATOR};
use crate::auth::{Caller, Credential, Principal};

/// `/api/docs`.
pub(crate) fn html(document: &Document, table: &Table) -> String {
    let mut page = String::from(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n<title>Agnes API</title>\n<link rel=\"stylesheet\" href=\"/api/docs/style.css\">\n</head>\n<body>\n<main>\n<h1>Agnes API</h1>\n",
    );
    let _ = writeln!(
        page,
        "<p>Version {}. The same for programs: <a href=\"/api/openapi.json\">openapi.json</a> (OpenAPI 3.1).</p>",
        escape(&document.info.version)
    );
    let json = serde_json::to_value(document).unwrap_or_default();
    for entry in table.entries() {
        let method = entry.method.as_str();
        let operation = at(&json, &["paths", entry.path, &method.to_lowercase()]);
        let text = |value: &serde_json::Value| escape(value.as_str().unwrap_or_default());
        let _ = write!(
            page,
            "<section>\n<h2><code>{method} {}</code></h2>\n<p>{}</p>\n<p class=\"who\">Who may call: {}</p>\n",
            escape(entry.path),
            text(at(operation, &["summary"])),
            escape(&entry.access.words()),
        );
        let parameters = at(operation, &["parameters"])
            .as_array()
            .into_iter()
            .flatten();
        let parameters: Vec<String> = parameters
            .map(|one| {
                format!(
                    "<li><code>{}</code> ({}) {}</li>",
                    text(at(one, &["name"])),
                    text(at(one, &["in"])),
                    text(at(one, &["description"]))
                )
            })
            .collect();
        list(&mut page, "Parameters", &parameters);
        let schema = at(
            operation,
            &[
                "requestBody",
                "content",
                "application/json",
                "schema",
                "$ref",
            ],
        );
        let schema = schema.as_str().unwrap_or_default();
        let name = schema.rsplit('/').next().unwrap_or_default();
        let fields = at(&json, &["components", "schemas", name, "properties"]).as_object();
        let fields: Vec<String> = fields
            .into_iter()
            .flatten()
            .map(|(field, about)| {
                format!(
                    "<li><code>{}</code> {}</li>",
                    escape(field),
                    text(at(about, &["description"]))
                )
            })
            .collect();
        list(&mut page, "Body (JSON)", &fields);
        let answers = at(operation, &["responses"])
            .as_object()
            .into_iter()
            .flatten();
        let answers: Vec<String> = answers
            .map(|(status, about)| {
                format!(
                    "<li><code>{}</code> {}</li>",
                    escape(status),
                    text(at(about, &["description"]))
                )
            })
            .collect();
        list(&mut page, "Answers", &answers);
        page.push_str("</section>\n");
    }
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

fn list(page: &mut String, title: &str, items: &[String]) {
    if !items.is_empty() {
        let _ = write!(page, "<h3>{title}</h3>\n<ul>{}</ul>\n", items.join(""));
    }
}

/// What stands at this place of a document; null where nothing does.
fn at<'a>(value: &'a serde_json::Value, path: &[&str]) -> &'a serde_json::Value {
    let mut found = Some(value);
    for name in path {
        found = found.and_then(|value| value.get(name));
    }
    found.unwrap_or(&serde_json::Value::Null)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

/// The page's style.
pub(crate) const STYLE: &str = "\
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
main { max-width: 50rem; margin: 0 auto; padding: 1rem }
section { border-top: 1px solid; padding: 0.5rem 0 }
h2 { font-size: 1.1rem } h3 { font-size: 1rem; margin: 0.5rem 0 0 }
code { font-family: ui-monospace, monospace; overflow-wrap: anywhere }
.who { font-style: italic }
";

/// Those who the access table asks about.
pub(super) fn callers() -> Vec<(&'static str, Caller, Option<&'static str>)> {
    let known = |admin: bool, credential: Credential| {
        Caller::Known(Principal {
            user: Arc::new(somebody()),
            admin,
            credential,
        })
    };
    let session = || Credential::Session(Id::new(), Method::Password);
    let token = |scope: &str| Credential::Personal(Arc::new(token(scope)));
    vec![
        ("nobody", Caller::Anonymous, None),
        ("member", known(false, session()), None),
        ("auditor", known(false, session()), Some(AUDITOR)),
        ("job operator", known(false, session()), Some(JOB_OPERATOR)),
        ("admin", known(true, session()), None),
        ("member's token: read", known(false, token("read")), None),
        ("member's token: write", known(false, token("write")), None),
        ("member's token: admin", known(false, token("admin")), None),
        ("admin's token: read", known(true, token("read")), None),
        ("admin's token: write", known(true, token("write")), None),
        ("admin's token: admin", known(true, token("admin")), None),
        ("scheduler", known(true, Credential::Scheduler(None)), None),
    ]
}

fn somebody() -> User {
    User {
        id: Id::new(),
        email: "somebody@example.com".to_owned(),
        name: String::new(),
        kind: Kind::Person,
        password_hash: None,
        disabled: false,
        epoch: 1,
        created_at: clock::now(),
    }
}

fn token(scope: &str) -> Token {
    Token {
        id: Id::new(),
        user_id: Id::new(),
        name: String::new(),
        hash: String::new(),
        scopes: vec![scope.to_owned()],
        created_at: clock::now(),
        expires_at: clock::now(),
        revoked_at: None,
        last_used_at: None,
        last_used_ip: None,
    }
}

/// `docs/access.md`.
pub(crate) fn access_markdown(table: &Table) -> String {
    let callers = callers();
    let mut page = String::from(
        "<!-- Generated from agnesd/src/router.rs by `cargo xtask docs`; edits here are lost. -->\n# Who may call what\n\n`yes`; `401`: a credential is missing; `303`: the same, and a browser is sent to the sign-in page; `403`: this one is not enough. A member, auditor, job operator or admin here has a\nsession. A personal token's scope includes the smaller ones; one without scopes may do all that its owner may, but what\nneeds a session. `GET` answers `HEAD` too.\n\n|",
    );
    page.push_str(" route |");
    for (name, _, _) in &callers {
        let _ = write!(page, " {name} |");
    }
    page.push_str("\n|---|");
    page.push_str(&"---|".repeat(callers.len()));
    page.push('\n');
    for entry in table.entries() {
        let _ = write!(page, "| `{} {}` |", entry.method, entry.path);
        for (_, caller, has) in &callers {
            let cell = match entry.access.check(caller, |role| *has == Some(role)) {
                Ok(()) => "yes",
                Err(Denied::Unauthenticated) if entry.access == Access::Browser => "303",
                Err(Denied::Unauthenticated) => "401",
                Err(_) => "403",
            };
            let _ = write!(page, " {cell} |");
        }
        page.push('\n');
    }
    page
}
