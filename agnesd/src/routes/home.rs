//! The overview: what somebody who is signed in with a browser sees first.
//!
//! Always true: each part is there for whom its own address of the API would answer, and for nobody else.
//!
//! Does not: find anything out that the API does not say.

use std::path::Path as FilePath;
use std::sync::Arc;

use agnes_store::audit::query::{Cursor, Filter};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;
use time::OffsetDateTime;
use time::macros::format_description;
use utoipa::ToSchema;

use super::{detailed, jobs, tokens};
use crate::app::App;
use crate::auth::Principal;
use crate::auth::roles::{AUDITOR, JOB_OPERATOR};
use crate::error::{Answer, Problem};
use crate::page::{Event, Fact, Home, Job, NewToken, Part, Token};
use crate::request::{Asker, Fields};
use crate::tls::pair;

/// Rows of the audit log on the page.
const EVENTS: usize = 20;

/// A token that is wanted.
#[derive(Deserialize, ToSchema)]
pub(crate) struct TokenForm {
    /// For its owner to know it by.
    name: String,
    /// `read`, `write`, `admin`, or empty: all that the owner may do.
    #[serde(default)]
    scope: String,
    /// 1 to 366.
    days: i64,
}

/// The overview.
#[utoipa::path(get, path = "/", responses(
    (status = 200, description = "a page", content_type = "text/html"),
    (status = 303, description = "not signed in: to the sign-in page"),
))]
pub(crate) async fn page(State(app): State<Arc<App>>, principal: Principal) -> Answer<Response> {
    render(&app, &principal, StatusCode::OK, |_| ()).await
}

/// Makes a token; the page shows it once.
#[utoipa::path(post, path = "/tokens", request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"), responses(
    (status = 201, description = "the page, with the token", content_type = "text/html"),
    (status = 303, description = "not signed in: to the sign-in page"),
    (status = 422, description = "the page, with what is wrong", content_type = "text/html"),
))]
pub(crate) async fn make_token(
    State(app): State<Arc<App>>,
    asker: Asker,
    Fields(form): Fields<TokenForm>,
) -> Answer<Response> {
    let principal = asker.principal()?.clone();
    let wanted = tokens::Wanted {
        name: form.name,
        scopes: Some(form.scope)
            .filter(|scope| !scope.is_empty())
            .into_iter()
            .collect(),
        expires_in_days: Some(form.days),
    };
    let made = tokens::make(&app, asker, wanted).await;
    match made {
        Ok((token, secret)) => {
            let name = token.name.clone();
            let with = |home: &mut Home| home.new_token = Some(NewToken { name, secret });
            render(&app, &principal, StatusCode::CREATED, with).await
        }
        Err(problem) => failed(&app, &principal, problem).await,
    }
}

/// Revokes a token of one's own.
#[utoipa::path(post, path = "/tokens/{id}/revoke", params(("id" = String, Path)), responses(
    (status = 303, description = "to the overview, or to the sign-in page"),
))]
pub(crate) async fn revoke_token(
    State(app): State<Arc<App>>,
    asker: Asker,
    Path(token): Path<String>,
) -> Answer<Response> {
    let principal = asker.principal()?.clone();
    let revoked = async {
        let id = super::id(&token, "there is no such token")?;
        let user = Some(principal.user.id);
        Ok::<_, Problem>(app.store.revoke_token(asker.origin, user, id).await?)
    };
    match revoked.await {
        // one that is not there is revoked enough
        Err(problem) if problem.status() != StatusCode::NOT_FOUND => {
            failed(&app, &principal, problem).await
        }
        _ => Ok(Redirect::to("/#tokens").into_response()),
    }
}

async fn failed(app: &App, principal: &Principal, problem: Problem) -> Answer<Response> {
    let words = problem.detail().to_owned();
    let with = |home: &mut Home| home.failed = Some(words);
    let mut response = render(app, principal, problem.status(), with).await?;
    problem.put_headers(response.headers_mut());
    Ok(response)
}

async fn render(
    app: &App,
    principal: &Principal,
    status: StatusCode,
    with: impl FnOnce(&mut Home),
) -> Answer<Response> {
    let directory = app.store.directory();
    let may = |role| principal.admin || directory.has_role(principal.user.id, role);
    let mut home = Home {
        who: principal.user.email.clone(),
        parts: parts(app).await,
        jobs: may(JOB_OPERATOR).then(|| jobs::all(app).into_iter().map(job).collect()),
        events: match may(AUDITOR) {
            true => Some(events(app).await?),
            false => None,
        },
        tokens: own_tokens(app, principal),
        new_token: None,
        failed: None,
    };
    with(&mut home);
    let headers = [(CACHE_CONTROL, "no-store")];
    Ok((status, headers, Html(home.html().0)).into_response())
}

async fn parts(app: &App) -> Vec<Part> {
    let now = detailed::look(app).await;
    let fact = |name, value: String| Fact { name, value };
    let bytes = |bytes: Option<u64>| bytes.map_or("unknown".to_owned(), size);
    let services = now.services;
    let digest = now.release.digest.unwrap_or_else(|| "none".to_owned());
    vec![
        Part {
            name: "Release",
            status: now.status.word(),
            facts: vec![
                fact("Version", now.version.to_owned()),
                fact("Commit", now.release.commit.unwrap_or("unknown").to_owned()),
                fact("Image", digest.chars().take(19).collect()),
                fact("Up for", span(now.uptime_secs)),
            ],
        },
        certificate(app, &services.tls).await,
        Part {
            name: "Store",
            status: services.store.status.word(),
            facts: vec![
                fact("Writes", services.store.writes.to_owned()),
                fact("Database", bytes(services.store.file_bytes)),
                fact("Write-ahead log", bytes(services.store.wal_bytes)),
                fact("Free on disk", bytes(services.disk.free_bytes)),
                fact("Schema", now.schema.to_string()),
            ],
        },
        last_snapshot(app).await,
    ]
}

/// The one that this server serves; where a proxy serves it, the one that is installed for that.
async fn certificate(app: &App, tls: &detailed::Tls) -> Part {
    let part = |status, facts| Part {
        name: "Certificate",
        status,
        facts,
    };
    let facts = |until: &str, days: Option<i64>, sha256: &str| {
        let days = days.map_or("unknown".to_owned(), |days| days.to_string());
        let sha256: String = sha256.chars().take(16).collect();
        let fact = |name, value| Fact { name, value };
        vec![
            fact("Until", until.to_owned()),
            fact("Days left", days),
            fact("SHA-256", format!("{sha256}…")),
        ]
    };
    if let (Some(until), Some(sha256)) = (&tls.not_after, &tls.sha256) {
        return part(tls.status.word(), facts(until, tls.days_left, sha256));
    }
    let dir = app.settings.state_dir.join("certs");
    let installed = tokio::task::spawn_blocking(move || pair::installed(&dir)).await;
    let served = |how: &str| Fact {
        name: "Served",
        value: how.to_owned(),
    };
    match installed.ok().flatten() {
        Some(leaf) => {
            let mut facts = facts(
                &leaf.not_after,
                detailed::days_left(&leaf.not_after),
                &leaf.sha256,
            );
            facts.push(served("by a proxy"));
            part("installed", facts)
        }
        None => part("off", vec![served("not by this server")]),
    }
}

/// How the names of copies end that are not whole, or not ours to show (docs/host-contract.md).
const UNFINISHED: [&str; 4] = [".part", ".making", ".pulling", ".removing"];

async fn last_snapshot(app: &App) -> Part {
    let dir = app.snapshots_dir();
    let newest = tokio::task::spawn_blocking(move || newest_in(&dir)).await;
    let (status, facts) = match newest.ok().flatten() {
        Some((name, at)) => {
            let age = (agnes_store::clock::now() - at).whole_seconds();
            let age = span(u64::try_from(age).unwrap_or_default());
            let facts = vec![
                Fact {
                    name: "Made",
                    value: moment(at),
                },
                Fact {
                    name: "Age",
                    value: age,
                },
                Fact {
                    name: "Name",
                    value: name,
                },
            ];
            ("ok", facts)
        }
        None => (
            "off",
            vec![Fact {
                name: "Made",
                value: "never".to_owned(),
            }],
        ),
    };
    Part {
        name: "Last snapshot",
        status,
        facts,
    }
}

fn newest_in(dir: &FilePath) -> Option<(String, OffsetDateTime)> {
    let entries = std::fs::read_dir(dir).ok()?.filter_map(Result::ok);
    let whole = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let copy = entry.path().join(agnes_store::DATABASE);
        let made = std::fs::metadata(copy).ok()?.modified().ok()?;
        let whole = !UNFINISHED.iter().any(|end| name.ends_with(end));
        whole.then(|| (name, OffsetDateTime::from(made)))
    });
    whole.max_by_key(|(_, at)| *at)
}

fn job(job: jobs::Shown) -> Job {
    let at = |time: Option<OffsetDateTime>| time.map_or("never".to_owned(), moment);
    Job {
        name: job.name,
        schedule: job.schedule,
        last: at(job.last_finished_at),
        outcome: match (job.running, job.last_outcome) {
            (true, _) => "running".to_owned(),
            (false, outcome) => outcome.unwrap_or_default(),
        },
        next: at(job.next_run_at),
    }
}

async fn events(app: &App) -> Answer<Vec<Event>> {
    let (filter, first) = (Filter::default(), Cursor::default());
    let (rows, _) = app.store.audit_page(filter, first, EVENTS).await?;
    let events = rows.into_iter().map(|row| Event {
        at: moment(row.at),
        actor: row.actor,
        action: row.action,
        resource: row.resource,
        outcome: row.outcome,
    });
    Ok(events.collect())
}

fn own_tokens(app: &App, principal: &Principal) -> Vec<Token> {
    let all = app.store.directory().tokens_of(principal.user.id);
    let now = agnes_store::clock::now();
    let shown = all.iter().rev().map(|token| Token {
        id: token.id.to_string(),
        name: token.name.clone(),
        scopes: match token.scopes.is_empty() {
            true => "all that you may".to_owned(),
            false => token.scopes.join(", "),
        },
        expires: moment(token.expires_at),
        last_used: app
            .store
            .last_use(token)
            .map_or("never".to_owned(), |(at, _)| moment(at)),
        works: token.is_valid(now),
    });
    shown.collect()
}

/// UTC, to the second.
fn moment(at: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");
    at.format(format).unwrap_or_default()
}

/// The two largest units.
fn span(secs: u64) -> String {
    match secs {
        0..60 => format!("{secs} s"),
        60..3600 => format!("{} min {} s", secs / 60, secs % 60),
        3600..86_400 => format!("{} h {} min", secs / 3600, secs % 3600 / 60),
        _ => format!("{} d {} h", secs / 86_400, secs % 86_400 / 3600),
    }
}

fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut size = (bytes, "B");
    for unit in UNITS {
        if size.0 < 10_240 {
            break;
        }
        size = (size.0 / 1024, unit);
    }
    format!("{} {}", size.0, size.1)
}
