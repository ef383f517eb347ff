//! How the server is, part by part, for whoever is signed in.
//!
//! Always true: a server that cannot write is `unavailable` and answers 503, whatever else is well (W01); `degraded` still
//! serves and answers 200.
//!
//! Does not: reveal paths, keys or other callers.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::ToSchema;

use crate::app::{App, COMMIT, Seen, VERSION};
use crate::oidc::Provider;

/// A disk with less is degraded: this share of it, and at least this many bytes.
const FREE_SHARE: u64 = 20;
const FREE_BYTES: u64 = 256 << 20;
/// A leaf that ends sooner is degraded, in days.
const LEAF_DAYS: i64 = 14;

/// How one part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Health {
    /// Not in use.
    Off,
    /// As it should be.
    Ok,
    /// Serves, and wants a look.
    Degraded,
    /// Does not serve.
    Unavailable,
}

/// The whole.
#[derive(Serialize, ToSchema)]
pub(crate) struct Detailed {
    /// The worst of its services.
    pub(super) status: Health,
    /// This build's version.
    #[schema(value_type = String)]
    pub(super) version: &'static str,
    /// What was released.
    #[schema(inline)]
    pub(super) release: Release,
    /// The schema's version.
    pub(super) schema: u32,
    /// Seconds since it was started.
    pub(super) uptime_secs: u64,
    /// Its parts.
    #[schema(inline)]
    pub(super) services: Services,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Release {
    /// The commit, if the build knew it.
    #[schema(value_type = Option<String>)]
    pub(super) commit: Option<&'static str>,
    /// The image's digest, where one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) digest: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Services {
    #[schema(inline)]
    pub(super) store: Store,
    #[schema(inline)]
    pub(super) scheduler: Scheduler,
    #[schema(inline)]
    pub(super) disk: Disk,
    #[schema(inline)]
    pub(super) tls: Tls,
    #[schema(inline)]
    pub(super) mail: Mail,
    #[schema(inline)]
    pub(super) oidc: Oidc,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Store {
    pub(super) status: Health,
    /// `open` or `held`.
    #[schema(value_type = String)]
    pub(super) writes: &'static str,
    /// Null: the disk does not answer.
    pub(super) file_bytes: Option<u64>,
    pub(super) wal_bytes: Option<u64>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Scheduler {
    /// Off: no secret is set, so nobody can call as the scheduler; jobs run all the same.
    pub(super) status: Health,
    pub(super) jobs_running: usize,
    /// Jobs whose last run did not succeed.
    pub(super) failing: Vec<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Disk {
    /// Unavailable: it does not answer, or little is free and the store cannot write.
    pub(super) status: Health,
    /// Null: it does not answer.
    pub(super) free_bytes: Option<u64>,
    pub(super) total_bytes: Option<u64>,
    pub(super) free_inodes: Option<u64>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Tls {
    /// Off: this server terminates no TLS.
    pub(super) status: Health,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) not_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) days_left: Option<i64>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Mail {
    /// Off: no mail server is set. Degraded: it did not take the last letter.
    pub(super) status: Health,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Oidc {
    /// Off: no OpenID provider is set. Degraded: it did not answer the last time it was asked.
    pub(super) status: Health,
}

impl Health {
    /// Of a way that is used (`None`: that is not) and works, or did not the last time.
    fn of(works: Option<bool>) -> Self {
        match works {
            None => Self::Off,
            Some(true) => Self::Ok,
            Some(false) => Self::Degraded,
        }
    }

    /// As it is written.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Unavailable => "unavailable",
        }
    }
}

/// How the server is, part by part.
#[utoipa::path(get, path = "/api/health/detailed", responses(
    (status = 200, body = Detailed), (status = 503, body = Detailed, description = "it cannot write"),
))]
pub(crate) async fn detailed(State(app): State<Arc<App>>) -> Response {
    let detailed = look(&app).await;
    let code = if detailed.status == Health::Unavailable {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    // about now: no cache may repeat it
    (code, [(CACHE_CONTROL, "no-store")], Json(detailed)).into_response()
}

/// How it is now.
pub(super) async fn look(app: &App) -> Detailed {
    let (seen, can_write) = (app.look().await, app.can_write().await);
    let services = Services {
        store: store(app, seen.as_ref(), can_write),
        scheduler: scheduler(app),
        disk: disk(seen.as_ref(), can_write),
        tls: tls(app),
        mail: Mail {
            status: Health::of(app.mail.works()),
        },
        oidc: Oidc {
            status: Health::of(app.oidc.as_ref().map(Provider::works)),
        },
    };
    let parts = [
        services.store.status,
        services.scheduler.status,
        services.disk.status,
        services.tls.status,
        services.mail.status,
        services.oidc.status,
    ];
    let status = parts
        .into_iter()
        .max()
        .unwrap_or(Health::Ok)
        .max(Health::Ok);
    Detailed {
        status,
        version: VERSION,
        release: Release {
            commit: COMMIT,
            digest: app.settings.server.image_digest.clone(),
        },
        schema: app.store.schema(),
        uptime_secs: app.started.elapsed().as_secs(),
        services,
    }
}

fn store(app: &App, seen: Option<&Seen>, can_write: bool) -> Store {
    Store {
        status: if can_write {
            Health::Ok
        } else {
            Health::Unavailable
        },
        writes: if app.store.held().is_some() {
            "held"
        } else {
            "open"
        },
        file_bytes: seen.map(|seen| seen.figures.file_bytes),
        wal_bytes: seen.map(|seen| seen.figures.wal_bytes),
    }
}

fn scheduler(app: &App) -> Scheduler {
    let directory = app.store.directory();
    let failing = app.jobs.all().iter().filter(|spec| {
        let job = directory.job(&spec.name);
        job.is_some_and(|job| job.consecutive_failures > 0)
    });
    let failing: Vec<String> = failing.map(|spec| spec.name.clone()).collect();
    Scheduler {
        status: match (app.keys.has_scheduler(), failing.is_empty()) {
            (_, false) => Health::Degraded,
            (true, true) => Health::Ok,
            (false, true) => Health::Off,
        },
        jobs_running: app.jobs.running().len(),
        failing,
    }
}

fn disk(seen: Option<&Seen>, can_write: bool) -> Disk {
    let Some(disk) = seen.and_then(|seen| seen.disk) else {
        return Disk {
            status: Health::Unavailable,
            free_bytes: None,
            total_bytes: None,
            free_inodes: None,
        };
    };
    let block = disk.fragment_size();
    let (free, total) = (disk.blocks_available() * block, disk.blocks() * block);
    let enough = free >= FREE_BYTES && free >= total / FREE_SHARE;
    Disk {
        status: match (enough, can_write) {
            (true, _) => Health::Ok,
            (false, true) => Health::Degraded,
            (false, false) => Health::Unavailable,
        },
        free_bytes: Some(free),
        total_bytes: Some(total),
        free_inodes: Some(disk.files_available()),
    }
}

fn tls(app: &App) -> Tls {
    let Some(leaf) = app.tls.as_ref().map(|tls| tls.leaf()) else {
        return Tls {
            status: Health::Off,
            sha256: None,
            not_after: None,
            days_left: None,
        };
    };
    let days_left = days_left(&leaf.not_after);
    Tls {
        status: if days_left.is_some_and(|days| days >= LEAF_DAYS) {
            Health::Ok
        } else {
            Health::Degraded
        },
        sha256: Some(leaf.sha256),
        not_after: Some(leaf.not_after),
        days_left,
    }
}

/// Whole days until then.
pub(super) fn days_left(not_after: &str) -> Option<i64> {
    let end = OffsetDateTime::parse(not_after, &Rfc3339).ok();
    end.map(|end| (end - agnes_store::clock::now()).whole_days())
}
