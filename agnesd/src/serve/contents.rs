//! What the server serves from: the store, opened, kept up and closed.
//!
//! Always true: the store is open before anything is announced; what is buffered is written every few seconds and before the
//! end; a stop that could not fold the WAL in says so and exits 1 (S05), and so does one because the engine gave the database
//! up.
//!
//! Does not: open files itself (`agnes-store` does).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agnes_config::Settings;
use agnes_store::audit::query::{Cursor, Filter, LARGEST_PAGE};
use agnes_store::audit::{Event, Origin, Outcome, Row};
use agnes_store::{Observer, OpenError, Options, Store};

use super::Failed;
use crate::app::{App, Deployment, VERSION};
use crate::auth::roles::ROLES;
use crate::events::Events;
use crate::files::{Files, Told, Unsettled};
use crate::metrics::Metrics;
use crate::tls::Served;
use crate::tls::pair::{self, Leaf};

/// How often buffers are looked at. Shorter than the minute that refusals are counted in.
const UPKEEP: Duration = Duration::from_secs(5);

/// Opens the store and everything over it.
pub(super) async fn open(
    settings: Settings,
    deployment: Deployment,
    tls: Option<Arc<Served>>,
) -> Result<Arc<App>, Failed> {
    let program = std::env::current_exe()
        .map_err(|e| Failed::new(format!("find this program: {e}; nothing was started")))?;
    let options = Options {
        state_dir: settings.state_dir.clone(),
        memory_limit_bytes: settings.store.memory_limit,
        threads: settings.store.threads,
        program,
        release: VERSION.to_owned(),
    };
    let run_dir = run_dir(&settings);
    let store = tokio::task::spawn_blocking(move || Store::open(&options, &run_dir))
        .await
        .map_err(|crash| Failed::new(format!("open the store: {crash}")))?
        .map_err(|why| refused(&why))?;
    for note in store.notes() {
        tracing::info!("store: {note}");
    }
    let store = Arc::new(store);
    let state_dir = settings.state_dir.clone();
    let files_dir = files_dir(&settings);
    let (files, unsettled) = {
        let (dir, named) = (files_dir.clone(), files_dir.display());
        let opened = tokio::task::spawn_blocking(move || Files::open(&dir)).await;
        let opened = opened.map_err(|crash| Failed::new(format!("{named}: {crash}")))?;
        opened.map_err(|e| {
            Failed::new(format!("{named}: open the files: {e}; nothing was started"))
        })?
    };
    let app =
        tokio::task::spawn_blocking(move || App::new(store, settings, deployment, files, tls))
            .await
            .map_err(|crash| Failed::new(format!("set up: {crash}")))?
            .map_err(|why| Failed::new(format!("{why}; nothing was started")))?;
    app.store.observe(Arc::new(Counting {
        metrics: Arc::clone(&app.metrics),
        events: Arc::clone(&app.events),
    }));
    seed(&app)
        .await
        .map_err(|why| Failed::new(format!("seed the store: {why}")))?;
    settle(&app, unsettled).await.map_err(|why| {
        let dir = files_dir.display();
        Failed::new(format!(
            "{dir}: finish what a kill interrupted: {why}; nothing was started"
        ))
    })?;
    if let Err(why) = tell_recovery(&app, &state_dir).await {
        tracing::error!(
            "store: the note of an accepted loss is not in the audit log yet, the next start tries again: {why}"
        );
    }
    warn(&app);
    app.take_up_raised_limits();
    Ok(Arc::new(app))
}

/// `$DATA_DIR/run`; where there is no data disk, below the state directory that was named instead.
pub(crate) fn run_dir(settings: &Settings) -> PathBuf {
    if settings.data_dir.is_dir() {
        settings.data_dir.join("run")
    } else {
        settings.state_dir.join("run")
    }
}

/// Where files are: beside `run`.
fn files_dir(settings: &Settings) -> PathBuf {
    run_dir(settings).with_file_name("files")
}

/// Files that were on their way in or out when the process was killed: the audit log has the last word. Their row, if there is
/// one, is among the last of its action, for nothing was published after it.
async fn settle(app: &App, unsettled: Vec<Unsettled>) -> Result<(), String> {
    for one in unsettled {
        let (action, name) = one.row();
        let filter = Filter {
            action: Some(action.to_owned()),
            outcome: Some(Outcome::Success.as_str().to_owned()),
            ..Filter::default()
        };
        let page = app
            .store
            .audit_page(filter, Cursor::default(), LARGEST_PAGE);
        let (rows, _) = page.await.map_err(|why| why.to_string())?;
        let (resource, version) = (format!("data:{}", name.id), name.version_digits());
        let written = rows.iter().any(|row| {
            let of = row.metadata.get("version").and_then(|of| of.as_str());
            row.resource == resource && of == Some(&version)
        });
        let told = if written { Told::Yes } else { Told::No };
        tracing::warn!("files: a kill interrupted {one:?}; its row is there: {told:?}");
        let settled = app.files.settle(one, told).await;
        settled.map_err(|why| why.to_string())?;
    }
    Ok(())
}

fn refused(why: &OpenError) -> Failed {
    Failed {
        exit: if why.is_config() {
            crate::EXIT_CONFIG
        } else {
            1
        },
        hint: why.hint(),
        ..Failed::new(format!("{why}"))
    }
}

/// What has to be there before anybody calls.
async fn seed(app: &App) -> agnes_store::Result<()> {
    app.store.ensure(ROLES).await?;
    if let Some(email) = &app.settings.server.seed_admin_email {
        app.store.ensure_seeded_admin(email).await?;
    }
    Ok(())
}

/// That somebody accepted a loss (`agnesd db recover`) becomes a row of the log, and only then is forgotten. A note that
/// cannot be read is a row too, and is kept aside: it must not stand in the way of a start.
async fn tell_recovery(app: &App, state_dir: &Path) -> Result<(), String> {
    let event = Event::done("store.recovered", "store");
    match agnes_store::take_recovery_note(state_dir) {
        Ok(None) => Ok(()),
        Ok(Some(note)) => {
            tracing::warn!("store: an operator accepted the loss of a write-ahead log: {note:?}");
            let event = event.with("note", serde_json::to_value(&note).unwrap_or_default());
            record(app, event).await?;
            note.acknowledge()
                .map_err(|e| format!("recovered.json: {e}"))
        }
        Err(unreadable) => {
            tracing::error!(
                "store: an operator accepted the loss of a write-ahead log, and recovered.json, which says what was lost, cannot be read: {unreadable}"
            );
            let event = event
                .ended(Outcome::Failure)
                .with("unreadable", unreadable.to_string());
            record(app, event).await?;
            let aside = agnes_store::set_recovery_note_aside(state_dir)
                .map_err(|e| format!("recovered.json: put it aside: {e}"))?;
            tracing::warn!("store: it is kept as {}", aside.display());
            Ok(())
        }
    }
}

async fn record(app: &App, event: Event) -> Result<(), String> {
    let recorded = app.store.record(Origin::server(), event).await;
    recorded.map_err(|why| why.to_string())
}

/// The store's work as metrics and events.
#[derive(Debug)]
struct Counting {
    metrics: Arc<Metrics>,
    events: Arc<Events>,
}

impl Observer for Counting {
    fn audit_row(&self, row: &Row) {
        self.metrics.audit_event(&row.action, &row.outcome);
        self.events.audit(row);
    }

    fn held_write_refused(&self) {
        self.metrics.held_write_refused();
    }

    fn engine_took(&self, kind: &'static str, took: Duration) {
        self.metrics.db_query(kind, took);
    }
}

/// What is allowed and should not stay so.
fn warn(app: &App) {
    if !app.store.directory().has_admin_who_can_sign_in() {
        let guarded = if app.keys.wants_bootstrap_token() {
            "with the bootstrap token of this host"
        } else {
            "without a bootstrap token"
        };
        let who = match &app.settings.server.seed_admin_email {
            Some(email) => email.as_str(),
            None => "whoever calls first",
        };
        tracing::warn!("POST /auth/bootstrap is open {guarded}: {who} becomes administrator");
    }
    if app.settings.secrets.jwt.current.is_none() {
        tracing::warn!("JWT_SECRET_KEY is not set: access tokens end with this process");
    }
    if let Some(hold) = app.store.held() {
        tracing::warn!(
            id = hold.id,
            since = hold.since,
            "writes are held by {}",
            hold.by
        );
    }
}

/// Writes what is buffered, and keeps the figures.
pub(super) async fn keep_up(app: Arc<App>) {
    let mut installed = installed(&app).await;
    let mut tick = tokio::time::interval(UPKEEP);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let written = [
            app.store.write_last_uses().await,
            app.store.write_refusals().await,
            app.store.keep_audit_witness().await,
        ];
        for why in written.into_iter().filter_map(Result::err) {
            tracing::warn!("store: buffered writes wait: {why}");
        }
        if let Some(seen) = app.look().await {
            app.metrics.wal_bytes(seen.figures.wal_bytes);
        }
        app.metrics.writes_held(app.store.held().is_some());
        let now = self::installed(&app).await;
        if let Some(leaf) = now.as_ref().filter(|leaf| {
            let before = installed.as_ref();
            before.is_none_or(|before| before.sha256 != leaf.sha256)
        }) {
            app.events
                .certificate("installed", &leaf.sha256, &leaf.not_after);
        }
        installed = now.or(installed);
    }
}

/// The leaf that a proxy serves in this server's place; where it serves its own, a reload says what there is to say.
async fn installed(app: &App) -> Option<Leaf> {
    if app.tls.is_some() {
        return None;
    }
    let dir = app.settings.state_dir.join("certs");
    let leaf = tokio::task::spawn_blocking(move || pair::installed(&dir)).await;
    leaf.ok().flatten()
}

/// Finishes what was accepted and folds the WAL in.
pub(super) async fn close(app: &App) -> Result<(), Failed> {
    app.store.close().await.map_err(|why| {
        Failed::new(format!(
            "stop: {why}; every acknowledged write is in the write-ahead log, the next start folds it in"
        ))
    })
}
