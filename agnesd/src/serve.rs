//! The life of the server: claim, load, bind, open the store, announce, serve, reload, drain, close.
//!
//! Always true: nothing is bound before the state directory is claimed and the certificate is sound; the pid file appears
//! only when a signal to that pid does what `--help` says; a reload never ends a connection.
//!
//! Does not: answer requests (the router does), read certificate files itself (`tls` does).

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use agnes_config::Settings;
use agnes_store::audit::Origin;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::app::{App, Deployment};
use crate::connection::Limits;
use crate::control::Socket;
use crate::reload;
use crate::router::router;
use crate::scheduler;
use crate::tls::Served;

mod contents;
mod instance;
mod listen;
mod metrics;
mod notify;

pub(crate) use contents::run_dir;
use instance::Instance;
use listen::Listener;

/// How long a stop waits for letters that a mail server is about to take.
const LETTERS: Duration = Duration::from_secs(5);

/// Why the server did not start, or did not stop as asked: one line, and at most one line of advice.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) what: String,
    pub(crate) hint: Option<&'static str>,
    /// 1, or 78 where no restart can help.
    pub(crate) exit: u8,
}

impl Failed {
    /// A failure without advice.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            hint: None,
            exit: 1,
        }
    }

    /// A failure and what to do about it.
    pub(crate) fn with_hint(what: impl Into<String>, hint: &'static str) -> Self {
        Self {
            what: what.into(),
            hint: Some(hint),
            exit: 1,
        }
    }
}

/// Serves until a signal asks for a stop; `Ok` when every request in flight was finished.
///
/// # Errors
/// [`Failed`] when the server could not start (nothing is left bound or written), or when the stop cut requests off.
pub(crate) fn run(settings: Settings, deployment: Deployment) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failed::new(format!("start the runtime: {e}; nothing was started")))?;
    let result = runtime.block_on(live(settings, deployment));
    // connections that outlived the drain end here
    runtime.shutdown_background();
    result
}

async fn live(settings: Settings, deployment: Deployment) -> Result<(), Failed> {
    let mut signals = Signals::catch()?;
    let instance = Instance::claim(&settings.state_dir)?;
    let tls = load_tls(&settings)?;
    let server = settings.server.clone();
    let mut listeners = vec![bind("AGNES_LISTEN", server.listen, None).await?];
    if let (Some(address), Some(tls)) = (server.tls_listen, &tls) {
        listeners.push(bind("AGNES_TLS_LISTEN", address, Some(Arc::clone(tls))).await?);
    }
    let scraped = metrics::listen(server.metrics).await?;
    let app = contents::open(settings, deployment, tls.clone()).await?;
    let control = Socket::bind(&contents::run_dir(&app.settings))
        .map_err(|why| Failed::new(format!("control socket: {why}; nothing is served")))?;
    let bound = listeners.iter().chain(&scraped).map(Listener::bound);
    let _ = app.listeners.set(bound.collect());
    instance.publish()?;

    let serving = describe(&listeners);
    tracing::info!(
        version = crate::app::VERSION,
        pid = std::process::id(),
        "{serving}"
    );
    let (stop, stopping) = watch::channel(());
    let routes = router(Arc::clone(&app));
    let mut accepting = tokio::task::JoinSet::new();
    for listener in listeners {
        accepting.spawn(listener.accept(routes.clone(), stopping.clone()));
    }
    if let Some(listener) = scraped {
        let routes = metrics::router(Arc::clone(&app.metrics));
        accepting.spawn(listener.accept(routes, stopping.clone()));
    }
    // not among those that only accept: it ends when its last request does, which the drain bounds
    tokio::spawn(control.serve(Arc::clone(&app), stopping.clone()));
    drop(stopping);
    scheduler::start(&app, routes).await;
    let upkeep = tokio::spawn(contents::keep_up(Arc::clone(&app)));
    notify::ready(&serving);
    let watchdog = notify::spawn_watchdog();

    let name = until_stop(&app, &mut signals, tls.as_ref(), &serving).await;
    app.start_draining();
    tracing::info!(
        "{name}: listeners close, requests in flight finish, at most {:?}",
        server.drain
    );
    notify::stopping("draining");
    let _ = stop.send(());
    while accepting.join_next().await.is_some() {}
    let ending = Arc::clone(&app);
    let ending = tokio::spawn(async move { ending.jobs.drain(server.drain).await });
    let drained = drain(&stop, server.drain, &mut signals).await;
    let interrupted = drain_jobs(&app, ending, drained.is_err(), &mut signals).await;
    upkeep.abort();
    if let Some(watchdog) = watchdog {
        watchdog.abort();
    }
    let unsent = app.mail.drain(LETTERS).await;
    if unsent > 0 {
        tracing::warn!(
            "stop: {unsent} letter(s) were not sent: their links can be asked for again"
        );
    }
    let closed = contents::close(&app).await;
    instance.retire();
    drained?;
    interrupted?;
    closed?;
    tracing::info!("stopped, nothing was cut off");
    Ok(())
}

/// Returns why the server stops: a signal asked for it, or the engine has given the database up after a sync or a checkpoint
/// that failed. Only another process may open it again; what that one reads is true.
async fn until_stop(
    app: &Arc<App>,
    signals: &mut Signals,
    tls: Option<&Arc<Served>>,
    serving: &str,
) -> &'static str {
    tokio::select! {
        name = signals.until_stop(app, tls, serving) => name,
        why = app.store.lost() => {
            tracing::error!(
                "the database has to be opened anew: {why}; this process ends, its supervisor starts the next one"
            );
            app.jobs.interrupt();
            "store lost"
        }
    }
}

/// With TLS configured there is a sound pair or no server: one that came up without its TLS goes unnoticed.
fn load_tls(settings: &Settings) -> Result<Option<Arc<Served>>, Failed> {
    if settings.server.tls_listen.is_none() {
        return Ok(None);
    }
    let served = Served::load(&settings.state_dir.join("certs")).map_err(|why| {
        Failed::with_hint(
            format!("AGNES_TLS_LISTEN is set and there is no certificate to serve: {why}; nothing was started"),
            "`agnes-ops tls rotate` makes or repairs the pair; `agnes-ops tls check` says more",
        )
    })?;
    log_leaf(&served.leaf(), "certificate in use");
    Ok(Some(Arc::new(served)))
}

async fn bind(
    setting: &str,
    address: SocketAddr,
    tls: Option<Arc<Served>>,
) -> Result<Listener, Failed> {
    let failed = |e: std::io::Error| {
        let what = format!(
            "{setting}: listen on {address}: {}; nothing was started",
            plain(&e)
        );
        match e.kind() {
            std::io::ErrorKind::AddrInUse => {
                Failed::with_hint(what, "`ss -ltnp` shows who listens there")
            }
            std::io::ErrorKind::PermissionDenied => {
                Failed::with_hint(what, "ports below 1024 need root or CAP_NET_BIND_SERVICE")
            }
            _ => Failed::new(what),
        }
    };
    let socket = TcpListener::bind(address).await.map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    Ok(Listener {
        socket,
        address,
        tls,
        serves: "api",
        limits: Limits::default(),
    })
}

/// The commonest errors in words, the others as the system says it.
fn plain(e: &std::io::Error) -> String {
    match e.kind() {
        std::io::ErrorKind::AddrInUse => "the port is taken by another process".to_owned(),
        std::io::ErrorKind::AddrNotAvailable => {
            "no interface of this host has that address".to_owned()
        }
        _ => e.to_string(),
    }
}

fn describe(listeners: &[Listener]) -> String {
    let mut text = String::from("serving");
    for listener in listeners {
        let _ = write!(text, " {}://{}", listener.scheme(), listener.address);
    }
    text
}

/// The signals that have a meaning here, caught before anybody can know our pid.
struct Signals {
    usr1: Signal,
    hup: Signal,
    term: Signal,
    int: Signal,
}

impl Signals {
    fn catch() -> Result<Self, Failed> {
        let catch = |kind| {
            signal(kind)
                .map_err(|e| Failed::new(format!("catch signals: {e}; nothing was started")))
        };
        Ok(Self {
            usr1: catch(SignalKind::user_defined1())?,
            hup: catch(SignalKind::hangup())?,
            term: catch(SignalKind::terminate())?,
            int: catch(SignalKind::interrupt())?,
        })
    }

    /// Reloads as often as asked; returns the name of the signal that asked for a stop.
    async fn until_stop(
        &mut self,
        app: &Arc<App>,
        tls: Option<&Arc<Served>>,
        serving: &str,
    ) -> &'static str {
        loop {
            let signal = tokio::select! {
                _ = self.usr1.recv() => "SIGUSR1",
                _ = self.hup.recv() => "SIGHUP",
                _ = self.term.recv() => return "SIGTERM",
                _ = self.int.recv() => return "SIGINT",
            };
            notify::reloading();
            if signal == "SIGHUP" {
                // told in the log by what is called here
                let _ = reload::secrets(app, Origin::server(), signal).await;
            }
            let outcome = reload_pair(app, signal, tls).await;
            notify::ready(&format!("{serving}; {outcome}"));
        }
    }

    async fn stop(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }
}

/// Takes up the pair on disk, or says why not; returns what the status line shows.
async fn reload_pair(app: &App, name: &str, tls: Option<&Arc<Served>>) -> String {
    let Some(tls) = tls else {
        tracing::info!("{name}: nothing to read again, AGNES_TLS_LISTEN is not set");
        return "no TLS".to_owned();
    };
    let reader = Arc::clone(tls);
    match tokio::task::spawn_blocking(move || reader.reload()).await {
        Ok(Ok(leaf)) => {
            log_leaf(&leaf, &format!("{name}: certificate taken up"));
            app.events
                .certificate("taken-up", &leaf.sha256, &leaf.not_after);
            format!("leaf {} until {}", leaf.sha256, leaf.not_after)
        }
        Ok(Err(why)) => {
            let kept = tls.leaf();
            app.events
                .certificate("refused", &kept.sha256, &kept.not_after);
            tracing::error!(
                sha256 = kept.sha256,
                "{name}: certificate refused, the one in use stays: {why}"
            );
            format!("last reload refused: {why}")
        }
        Err(crash) => {
            tracing::error!(
                "{name}: reading the certificate failed, the one in use stays: {crash}"
            );
            "last reload failed".to_owned()
        }
    }
}

fn log_leaf(leaf: &crate::tls::pair::Leaf, event: &str) {
    tracing::info!(sha256 = leaf.sha256, not_after = leaf.not_after, "{event}");
    for warning in &leaf.warnings {
        tracing::warn!("{warning}");
    }
}

/// Waits until no connection holds the other end of `stop`, the deadline passes, or a second signal comes.
async fn drain(
    stop: &watch::Sender<()>,
    deadline: Duration,
    signals: &mut Signals,
) -> Result<(), Failed> {
    let why = tokio::select! {
        () = stop.closed() => return Ok(()),
        () = tokio::time::sleep(deadline) => format!("after {deadline:?}"),
        name = signals.stop() => format!("by a second signal ({name})"),
    };
    Err(Failed::new(format!(
        "stop: {} connection(s) were cut off {why}; everything else finished",
        stop.receiver_count()
    )))
}

/// Waits for the jobs that run; `now`, or a second signal: those that still run are interrupted.
async fn drain_jobs(
    app: &App,
    mut ending: tokio::task::JoinHandle<Vec<String>>,
    now: bool,
    signals: &mut Signals,
) -> Result<(), Failed> {
    if now {
        app.jobs.interrupt();
    }
    let interrupted = tokio::select! {
        interrupted = &mut ending => interrupted,
        _ = signals.stop() => {
            app.jobs.interrupt();
            ending.await
        }
    };
    match interrupted {
        Ok(names) if names.is_empty() => Ok(()),
        Ok(names) => Err(Failed::new(format!(
            "stop: jobs were interrupted: {}; that is their outcome",
            names.join(", ")
        ))),
        Err(crash) => Err(Failed::new(format!("stop: end the jobs: {crash}"))),
    }
}
