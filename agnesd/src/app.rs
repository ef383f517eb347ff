//! What every request may look at: one value, built once in `serve`.
//!
//! Always true: readiness is computed from facts held here, so that no route has an opinion of its own about it.
//!
//! Does not: know HTTP, sockets or signals.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use agnes_config::Settings;
use agnes_store::sessions::Session;
use agnes_store::users::{User, normal_email};
use agnes_store::{Figures, Store, clock};
use nix::sys::statvfs::{Statvfs, statvfs};
use serde::Serialize;
use time::OffsetDateTime;
use tokio::sync::Mutex;

use crate::auth::keys::{Claims, Keys};
use crate::auth::passwords::Passwords;
use crate::auth::throttle::Throttle;
use crate::events::Events;
use crate::files::Files;
use crate::guard::Guard;
use crate::jobs::Jobs;
use crate::limits::{Raised, RateLimits};
use crate::mail::Mail;
use crate::metrics::Metrics;
use crate::oidc::Provider;
use crate::tls::Served;

/// The version this binary was built as.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit it was built from: the build sets `AGNES_COMMIT`. Not asked of git, so that a new commit rebuilds nothing.
pub(crate) const COMMIT: Option<&str> = option_env!("AGNES_COMMIT");

/// How long an answer of the store's probe stands for the next ones (S11: at most one write a second).
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// A probe that takes longer has failed: the writer is stuck.
const PROBE_DEADLINE: Duration = Duration::from_secs(2);

/// A file system that has not answered by then hangs.
const LOOK_DEADLINE: Duration = Duration::from_secs(2);

/// What the file system of the state directory says.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) figures: Figures,
    /// None: it could not be asked.
    pub(crate) disk: Option<Statvfs>,
}

/// Where the settings came from, to read the secrets again.
pub(crate) struct Deployment {
    /// `-C`.
    pub(crate) dir: PathBuf,
    /// The environment that the process was started with.
    pub(crate) env: Vec<(OsString, OsString)>,
}

impl std::fmt::Debug for Deployment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.dir.fmt(f)
    }
}

/// What the server says about its own API.
#[derive(Debug)]
pub(crate) struct Documents {
    pub(crate) openapi: String,
    pub(crate) page: String,
    pub(crate) style: String,
}

/// One address that is listened on.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Bound {
    /// As bound: with the port that the kernel gave where 0 was asked for.
    pub(crate) address: SocketAddr,
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
    /// `api` or `metrics`.
    pub(crate) serves: &'static str,
}

/// State shared by all requests.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) store: Arc<Store>,
    pub(crate) keys: Keys,
    pub(crate) passwords: Passwords,
    pub(crate) throttle: Throttle,
    pub(crate) limits: RateLimits,
    pub(crate) guard: Guard,
    pub(crate) mail: Arc<Mail>,
    pub(crate) oidc: Option<Provider>,
    pub(crate) jobs: Jobs,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) events: Arc<Events>,
    pub(crate) files: Files,
    pub(crate) settings: Settings,
    deployment: Deployment,
    pub(crate) started: Instant,
    /// The same as a date.
    pub(crate) started_at: OffsetDateTime,
    /// What is bound, set before anything is served.
    pub(crate) listeners: OnceLock<Vec<Bound>>,
    pub(crate) tls: Option<Arc<Served>>,
    /// Set by the router that is made over this value.
    pub(crate) documents: OnceLock<Documents>,
    /// Held while a snapshot is made: one at a time.
    pub(crate) snapshots: Arc<Mutex<()>>,
    /// Held while the secrets are read again: one at a time.
    pub(crate) reloading: Mutex<()>,
    draining: AtomicBool,
    probed: Mutex<Option<(Instant, bool)>>,
    /// Held by who looks at the file system.
    looking: Arc<Mutex<()>>,
}

impl App {
    /// Over an open store.
    ///
    /// # Errors
    /// A line when there is no randomness.
    pub(crate) fn new(
        store: Arc<Store>,
        mut settings: Settings,
        deployment: Deployment,
        files: Files,
        tls: Option<Arc<Served>>,
    ) -> Result<Self, String> {
        let seeded = &mut settings.server.seed_admin_email;
        if let Some(email) = seeded {
            // compared with normal addresses from here on (A07)
            *email = normal_email(email).map_err(|e| format!("SEED_ADMIN_EMAIL: {e}"))?;
        }
        let metrics = Metrics::new(VERSION, COMMIT.unwrap_or_default());
        let metrics = Arc::new(metrics.map_err(|e| format!("set up the metrics: {e}"))?);
        let limits = settings.limits;
        let public_url = &settings.server.public_url;
        let oidc = settings.oidc.as_ref();
        let oidc = oidc.map(|oidc| Provider::new(oidc, public_url));
        let oidc = oidc.transpose().map_err(|e| format!("OIDC_ISSUER: {e}"))?;
        Ok(Self {
            mail: Arc::new(Mail::new(
                Arc::clone(&store),
                Arc::clone(&metrics),
                &settings,
            )),
            oidc,
            store,
            keys: Keys::new(&settings.secrets).map_err(|e| e.to_string())?,
            passwords: Passwords::new(),
            throttle: Throttle::of_passwords(),
            limits: RateLimits::new(limits.unauthenticated_per_min, limits.authenticated_per_min),
            guard: Guard::new(settings.server.allowed_private_nets.clone()),
            jobs: Jobs::new(&settings),
            metrics,
            events: Arc::new(Events::new()),
            files,
            settings,
            deployment,
            started: Instant::now(),
            started_at: clock::now(),
            listeners: OnceLock::new(),
            tls,
            documents: OnceLock::new(),
            snapshots: Arc::new(Mutex::new(())),
            reloading: Mutex::new(()),
            draining: AtomicBool::new(false),
            probed: Mutex::new(None),
            looking: Arc::default(),
        })
    }

    /// Reads the secrets again and takes them up in one swap: no call that was valid is refused. Says which are others now.
    /// Blocking; `reload` is the way here.
    ///
    /// # Errors
    /// Every problem in one line; the keys in use stay.
    pub(crate) fn reload_keys(&self) -> Result<Vec<&'static str>, String> {
        let deployment = &self.deployment;
        let loaded = agnes_config::load::load(&deployment.dir, deployment.env.iter().cloned(), &[]);
        let settings = loaded.into_server_settings().map_err(|invalid| {
            let problems: Vec<String> = invalid.0.iter().map(ToString::to_string).collect();
            problems.join("; ")
        })?;
        let mut changed = self.keys.replace(&settings.secrets);
        if self.mail.take_up(settings.mail.as_ref()) {
            changed.push("smtp");
        }
        let oidc = settings.oidc.as_ref();
        if self
            .oidc
            .as_ref()
            .is_some_and(|provider| provider.take_up(oidc))
        {
            changed.push("oidc");
        }
        Ok(changed)
    }

    /// An access token of a session, from now on.
    ///
    /// # Errors
    /// When it cannot be signed, which would be a defect.
    pub(crate) fn access_token(&self, session: &Session, user: &User) -> Result<String, String> {
        let claims = Claims {
            sub: user.id,
            sid: session.id,
            epoch: user.epoch,
        };
        self.keys.sign(claims, clock::now().unix_timestamp())
    }

    /// Takes up what principals were given more of.
    pub(crate) fn take_up_raised_limits(&self) {
        let now = clock::now();
        let raised = self.store.directory().raised_limits(now).into_iter();
        let raised = raised.filter_map(|raised| {
            let left = (raised.terms.until - now).try_into().ok()?;
            let until = Instant::now().checked_add(left)?;
            let limit = raised.terms.per_min;
            Some((raised.user, Raised { limit, until }))
        });
        self.limits.raise(raised.collect());
    }

    /// Where snapshots are: `$DATA_DIR/snapshots`, or below the state directory where there is no data disk.
    pub(crate) fn snapshots_dir(&self) -> PathBuf {
        let settings = &self.settings;
        let data = settings.data_dir.is_dir();
        let dir = if data {
            &settings.data_dir
        } else {
            &settings.state_dir
        };
        dir.join("snapshots")
    }

    /// From here on the server is not ready: a stop was asked for.
    pub(crate) fn start_draining(&self) {
        self.draining.store(true, Ordering::Release);
        self.events.upgrade("stopping");
        self.events.stop();
    }

    /// Why new work should go elsewhere; empty while the server is ready.
    ///
    /// A missing certificate is no reason here: with TLS configured the server does not start without a sound pair, and
    /// once it has one it never lets go of it. A hold is none either: reads go on.
    pub(crate) async fn not_ready_reasons(&self) -> Vec<&'static str> {
        let mut reasons = Vec::new();
        if self.draining.load(Ordering::Acquire) {
            reasons.push("draining");
        }
        if !self.can_write().await {
            reasons.push("store");
        }
        reasons
    }

    /// Whether a write would succeed, found out by one that is rolled back, at most once a second for all who ask.
    pub(crate) async fn can_write(&self) -> bool {
        let mut probed = self.probed.lock().await;
        if let Some((at, can)) = *probed
            && at.elapsed() < PROBE_EVERY
        {
            return can;
        }
        let probe = tokio::time::timeout(PROBE_DEADLINE, self.store.probe()).await;
        let why = match probe {
            Ok(Ok(())) => None,
            Ok(Err(why)) => Some(format!("a write was tried and failed: {why}")),
            Err(_) => Some(format!(
                "a write was tried and did not end in {PROBE_DEADLINE:?}"
            )),
        };
        let can = why.is_none();
        // once for each turn: who probes asks often
        match (why, probed.is_none_or(|(_, could)| could)) {
            (Some(why), true) => tracing::error!("not ready: {why}"),
            (None, false) => tracing::info!("ready again: a write was tried and succeeded"),
            _ => {}
        }
        *probed = Some((Instant::now(), can));
        can
    }

    /// Sizes and free space. `None`: the file system does not answer. Found out beside the runtime's threads, by one at a
    /// time: a mount that hangs must not take them.
    pub(crate) async fn look(&self) -> Option<Seen> {
        let look = async {
            let one = Arc::clone(&self.looking).lock_owned().await;
            let (store, state_dir) = (Arc::clone(&self.store), self.settings.state_dir.clone());
            let seen = tokio::task::spawn_blocking(move || {
                let _one = one;
                Seen {
                    figures: store.figures(),
                    disk: statvfs(&state_dir).ok(),
                }
            });
            seen.await.ok()
        };
        tokio::time::timeout(LOOK_DEADLINE, look).await.ok()?
    }
}
