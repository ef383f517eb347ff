//! The server's secrets, and whether they are any good.
//!
//! Always true: no message holds any of a secret's text; a key that can be guessed keeps the server from starting and
//! nobody else.
//!
//! Does not: read files (that is `environment`).

use std::collections::BTreeMap;

use super::super::Source;
use super::super::layers::Item;
use super::Builder;
use crate::env_keys::{self as keys, Key};
use crate::secret::Secret;
use crate::settings::{FileOwner, Keys, Provision, Runtime, Secrets};
use crate::values::{self, soundness};

/// The user of the image.
const IMAGE_USER: FileOwner = FileOwner { uid: 999, gid: 999 };

type Named = (&'static Key, Option<Secret>);

impl Builder {
    pub(super) fn secrets(&mut self) -> Secrets {
        let jwt = self.signing(&keys::JWT_SECRET_KEY, &keys::JWT_SECRET_KEY_PREVIOUS);
        let session = self.signing(&keys::SESSION_SECRET, &keys::SESSION_SECRET_PREVIOUS);
        let scheduler = Keys {
            current: self.scheduler(&keys::SCHEDULER_API_TOKEN),
            previous: self.scheduler(&keys::SCHEDULER_API_TOKEN_PREVIOUS),
        };
        let bootstrap = self.bootstrap();
        let secrets = Secrets {
            jwt,
            session,
            scheduler,
            bootstrap,
        };
        self.told_apart(&secrets);
        secrets
    }

    /// `[secrets.NAME]`, by name.
    pub(super) fn provisions(
        &mut self,
        named: BTreeMap<String, Item<Provision>>,
    ) -> Vec<Provision> {
        let first = named.values().next().map(|item| item.source.clone());
        let provisions: Vec<Provision> = named.into_values().map(|item| item.value).collect();
        let shown: Vec<String> = provisions.iter().map(shown).collect();
        let source = first.unwrap_or(Source::Default);
        self.shown
            .insert(keys::SECRETS.name(), (shown.join("; "), source));
        provisions
    }

    pub(super) fn server_owner(&mut self, runtime: Runtime) -> Option<FileOwner> {
        let of_image = (runtime == Runtime::Compose).then_some(IMAGE_USER);
        self.take(&keys::SERVER_OWNER, values::owner).or(of_image)
    }

    pub(super) fn secret(&self, key: &'static Key) -> Option<Secret> {
        self.raws.get(key.name())?.secret.clone()
    }

    fn signing(&mut self, current: &'static Key, previous: &'static Key) -> Keys {
        for key in [current, previous] {
            let verdict = self
                .secret(key)
                .and_then(|secret| soundness::against_key(secret.expose()));
            if let Some(what) = verdict {
                self.server_fault(key, what);
            }
        }
        Keys {
            current: self.secret(current),
            previous: self.secret(previous),
        }
    }

    /// A short token is no token: the path is off rather than easy.
    fn scheduler(&mut self, key: &'static Key) -> Option<Secret> {
        let secret = self.secret(key)?;
        if let Some(what) = soundness::against_opening(secret.expose()) {
            self.warn(key, format!("{what}, so it opens nothing"));
            return None;
        }
        if let Some(what) = soundness::guessable(secret.expose()) {
            self.warn(key, what);
        }
        Some(secret)
    }

    fn bootstrap(&mut self) -> Option<Secret> {
        let secret = self.secret(&keys::BOOTSTRAP_TOKEN)?;
        if let Some(what) = soundness::against_code(secret.expose()) {
            self.server_fault(&keys::BOOTSTRAP_TOKEN, what);
        }
        Some(secret)
    }

    /// One value in two places: whoever learns one has the other.
    fn told_apart(&mut self, secrets: &Secrets) {
        let named: [Named; 7] = [
            (&keys::JWT_SECRET_KEY, secrets.jwt.current.clone()),
            (&keys::JWT_SECRET_KEY_PREVIOUS, secrets.jwt.previous.clone()),
            (&keys::SESSION_SECRET, secrets.session.current.clone()),
            (
                &keys::SESSION_SECRET_PREVIOUS,
                secrets.session.previous.clone(),
            ),
            (
                &keys::SCHEDULER_API_TOKEN,
                secrets.scheduler.current.clone(),
            ),
            (
                &keys::SCHEDULER_API_TOKEN_PREVIOUS,
                secrets.scheduler.previous.clone(),
            ),
            (&keys::BOOTSTRAP_TOKEN, secrets.bootstrap.clone()),
        ];
        for (at, (key, secret)) in named.iter().enumerate() {
            let Some(secret) = secret else { continue };
            let same = named.iter().take(at).find(|(_, earlier)| {
                earlier
                    .as_ref()
                    .is_some_and(|earlier| earlier.expose() == secret.expose())
            });
            if let Some((earlier, _)) = same {
                let message = if key.is_previous() && key.name().starts_with(earlier.name()) {
                    format!("is the same as {}, so nothing was rotated", earlier.name())
                } else {
                    format!(
                        "is the same as {} (expected a secret of its own)",
                        earlier.name()
                    )
                };
                self.warn(key, message);
            }
        }
    }
}

/// A table for people.
fn shown(provision: &Provision) -> String {
    let source = provision.source.as_ref();
    let mut text = match source {
        Some(source) => format!("{} from {source}", provision.name),
        None => provision.name.clone(),
    };
    if !provision.required {
        text.push_str(", not required");
    }
    if let Some(publish) = &provision.publish {
        text.push_str(&format!(", published to {publish}"));
    }
    text
}
