//! A new value told to the place that `publish` names.
//!
//! Always true: it is told once, after it was proven and before the old one is retired.
//!
//! Does not: fetch.

use agnes_config::Provision;

use super::Work;
use super::rotation::Rotation;
use crate::fetch::{Failure, Reason};
use crate::outcome::Refusal;

impl Work<'_> {
    /// Where this secret comes from, when nothing made here would get there.
    pub(super) fn fetched_only(&self) -> Option<String> {
        let provision = self.provision()?;
        let source = provision.source.as_ref()?;
        provision.publish.is_none().then(|| source.to_string())
    }

    fn provision(&self) -> Option<&Provision> {
        let named = |provision: &&Provision| provision.name == self.kind.name();
        self.settings.provisions.iter().find(named)
    }

    /// Tells the new value where `publish` says, once.
    pub(super) fn publish(&mut self, rotation: &mut Rotation) -> Result<(), Failure> {
        let to = self
            .provision()
            .and_then(|provision| provision.publish.as_ref());
        if let Some(url) = to
            && !rotation.published
        {
            let value = self.value(rotation.new).map_err(|why| Failure {
                reason: Reason::Malformed,
                url: url.to_string(),
                message: format!("{why:#}"),
                hint: None,
            })?;
            let version = self.fetcher.publish(url, value.expose().as_bytes())?;
            self.done(format!("publish {version}"));
        }
        rotation.published = true;
        // tried again, it would only make one more version of the same value
        if let Err(why) = self.journal.write(self.host, rotation) {
            tracing::warn!("{}: published, not journalled: {why:#}", self.kind.name());
        }
        Ok(())
    }

    pub(super) fn unpublished(&self, failure: &Failure) -> Refusal {
        let message = format!(
            "{}: the new value counts here and is not published to {}: {}; the old one stays, the next run tries again",
            self.kind.name(),
            failure.url,
            failure.message
        );
        let refusal = Refusal::new("not-published-back", message);
        match &failure.hint {
            Some(hint) => refusal.hint(hint.clone()),
            None => refusal,
        }
    }
}
