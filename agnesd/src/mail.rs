//! Mail with one-time links, sent behind the back of who asked.
//!
//! Always true: whoever asks gets the same answer in the same time, whether there is such an account, a mail server, or room
//! left; the secret stands in the mail alone, behind the `#` of its link, which no browser sends to a server; the link
//! begins with the configured address and never with what a client said. What could not be sent is in the log, the metrics,
//! the audit log and `/api/health/detailed`.
//!
//! Does not: keep letters across a restart: a link lives for fifteen minutes, and can be asked for again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use agnes_config::Settings;
use agnes_store::audit::{Event, Origin, Outcome};
use agnes_store::links::Purpose;
use agnes_store::users::{User, normal_email};
use agnes_store::{Error, Store, clock};
use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

use crate::auth::secrets;
use crate::auth::throttle::Throttle;
use crate::metrics::Metrics;

mod letter;
mod smtp;

/// How long a link lives that was asked for, in seconds.
pub(crate) const LINK_SECS: i64 = 900;

/// Requests at once that wait or are looked into; whoever asks beyond that gets the same answer and no letter.
const ON_THE_WAY: u32 = 1024;
/// Of them letters to somebody who is there; further ones wait for these. Strangers who ask for nobody's address take no place.
const LETTERS: usize = 64;

/// Letters of one kind to one address in fifteen minutes: more would be somebody else's doing.
const TO_ONE_ADDRESS: usize = 3;

/// After how long a letter that the server did not take for now is tried again. Then it is given up.
const AGAIN: [Duration; 3] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
];

/// While writes are held no link can be made; an upgrade holds them for seconds, a forgotten hold for longer.
const WHILE_HELD: Duration = Duration::from_secs(1);
const HELD_AT_MOST: Duration = Duration::from_secs(300);

/// Writes the letters.
#[derive(Debug)]
pub(crate) struct Mail {
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    /// `None`: no letter is ever sent. Its password is another one after a reload.
    server: Option<ArcSwap<agnes_config::Mail>>,
    /// What links begin with.
    public_url: String,
    places: Arc<Semaphore>,
    letters: Semaphore,
    recent: Throttle,
    /// The last letter was given up, or its server does not take it now.
    failing: AtomicBool,
}

impl Mail {
    /// Nothing on its way.
    pub(crate) fn new(store: Arc<Store>, metrics: Arc<Metrics>, settings: &Settings) -> Self {
        Self {
            store,
            metrics,
            server: settings.mail.clone().map(ArcSwap::from_pointee),
            public_url: settings.server.public_url.clone(),
            places: Arc::new(Semaphore::new(ON_THE_WAY as usize)),
            letters: Semaphore::new(LETTERS),
            recent: Throttle::of(TO_ONE_ADDRESS),
            failing: AtomicBool::new(false),
        }
    }

    /// Whether letters can be sent at all.
    pub(crate) fn is_on(&self) -> bool {
        self.server.is_some()
    }

    /// From here on the server is signed in at with these; `false`: with the same as before.
    pub(crate) fn take_up(&self, mail: Option<&agnes_config::Mail>) -> bool {
        let (Some(server), Some(new)) = (&self.server, mail) else {
            return false;
        };
        let old = server.load_full();
        let text = |mail: &agnes_config::Mail| {
            let login = mail.login.as_ref();
            login.map(|(user, password)| (user.clone(), password.expose().to_owned()))
        };
        let is_another = text(&old) != text(new);
        if is_another {
            server.store(Arc::new(agnes_config::Mail {
                login: new.login.clone(),
                ..agnes_config::Mail::clone(&old)
            }));
        }
        is_another
    }

    /// Whether letters are taken, as far as is known; `None`: none are sent.
    pub(crate) fn works(&self) -> Option<bool> {
        self.is_on().then(|| !self.failing.load(Ordering::Relaxed))
    }

    /// Waits until all that was asked for is sent or given up, at most this long; says how many were not.
    pub(crate) async fn drain(&self, patience: Duration) -> usize {
        let all = self.places.acquire_many(ON_THE_WAY);
        match tokio::time::timeout(patience, all).await {
            Ok(_) => 0,
            Err(_) => ON_THE_WAY as usize - self.places.available_permits(),
        }
    }

    /// Takes a request for a link; all that depends on the account happens after the answer.
    pub(crate) fn ask(self: &Arc<Self>, origin: Origin, purpose: Purpose, email: &str) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.metrics.letter(letter::kind(purpose), "dropped");
            tracing::warn!(
                "mail: {ON_THE_WAY} letters were asked for at once, one more was not begun"
            );
            return;
        };
        let (mail, email) = (Arc::clone(self), email.to_owned());
        tokio::spawn(async move {
            let _place = place;
            mail.write_to(origin, purpose, &email).await;
        });
    }

    async fn write_to(&self, origin: Origin, purpose: Purpose, email: &str) {
        let kind = letter::kind(purpose);
        let Ok(email) = normal_email(email) else {
            return;
        };
        let Some(server) = &self.server else {
            self.metrics.letter(kind, "off");
            tracing::debug!("mail: a link was asked for, and SMTP_HOST is not set");
            return;
        };
        // counted whether there is such an account or not
        let counted = format!("{kind} {email}");
        if self.recent.check(&counted, Instant::now()).is_err() {
            self.metrics.letter(kind, "throttled");
            return;
        }
        self.recent.count(&counted, Instant::now());
        // nobody can time by their own next call whether this one had something to write
        tokio::time::sleep(some_time()).await;
        if self.store.directory().user_by_email(&email).is_none() {
            return;
        }
        let Ok(_letter) = self.letters.acquire().await else {
            return;
        };
        let secret = match secrets::random() {
            Ok(secret) => secret,
            Err(why) => return self.gave_up(kind, &why.to_string()),
        };
        match self.make_link(&origin, purpose, &email, &secret).await {
            Ok(user) => self.deliver(server, origin, purpose, &user, &secret).await,
            // nobody, or nobody who may: no letter, and no trace that could be asked for
            Err(Error::NotFound(_)) => {}
            Err(why) => self.gave_up(kind, &format!("no link could be made: {why}")),
        }
    }

    async fn make_link(
        &self,
        origin: &Origin,
        purpose: Purpose,
        email: &str,
        secret: &str,
    ) -> agnes_store::Result<Arc<User>> {
        let began = Instant::now();
        loop {
            let hash = secrets::sha256(secret);
            let expires_at = clock::now() + time::Duration::seconds(LINK_SECS);
            let made = self
                .store
                .ask_for_link(origin.clone(), purpose, email, hash, expires_at)
                .await;
            match made {
                Err(Error::Held(_)) if began.elapsed() < HELD_AT_MOST => {
                    tokio::time::sleep(WHILE_HELD).await;
                }
                other => return other,
            }
        }
    }

    async fn deliver(
        &self,
        server: &ArcSwap<agnes_config::Mail>,
        origin: Origin,
        purpose: Purpose,
        user: &User,
        secret: &str,
    ) {
        let kind = letter::kind(purpose);
        let letter = letter::write(&server.load(), &self.public_url, purpose, user, secret);
        let letter = match letter {
            Ok(letter) => letter,
            Err(why) => return self.failed(origin, kind, user, &why).await,
        };
        let mut pauses = AGAIN.into_iter();
        loop {
            let to = server.load_full();
            let why = match smtp::send(&to, letter.clone()).await {
                Ok(()) => {
                    self.failing.store(false, Ordering::Relaxed);
                    self.metrics.letter(kind, "sent");
                    return;
                }
                Err(why) => why,
            };
            self.failing.store(true, Ordering::Relaxed);
            match pauses.next().filter(|_| why.may_pass) {
                Some(pause) => {
                    tracing::warn!(
                        "mail: {kind}: {}: {}; tried again in {pause:?}",
                        to.host,
                        why.text
                    );
                    tokio::time::sleep(pause).await;
                }
                None => {
                    let why = format!("{}:{}: {}", to.host, to.port, why.text);
                    return self.failed(origin, kind, user, &why).await;
                }
            }
        }
    }

    fn gave_up(&self, kind: &'static str, why: &str) {
        self.failing.store(true, Ordering::Relaxed);
        self.metrics.letter(kind, "failed");
        tracing::error!("mail: {kind}: {why}; no letter was sent");
    }

    /// Somebody who may sign in waits for a letter that does not come: the operator's to know.
    async fn failed(&self, origin: Origin, kind: &'static str, user: &User, why: &str) {
        self.gave_up(kind, why);
        let event = Event::done("mail.failed", format!("user:{}", user.email))
            .ended(Outcome::Failure)
            .with("kind", kind)
            .with("why", why);
        if let Err(why) = self.store.record(origin, event).await {
            tracing::error!("mail: {kind}: that no letter was sent is not in the audit log: {why}");
        }
    }
}

/// Up to two seconds.
fn some_time() -> Duration {
    let random = secrets::bytes().unwrap_or_default();
    let [low, high, ..] = random;
    Duration::from_millis(u64::from(u16::from_le_bytes([low, high])) % 2000)
}
