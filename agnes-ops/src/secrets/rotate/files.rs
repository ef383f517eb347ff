//! The files of a rotation, in the order in which they may be read: the server's, then those of its callers.
//!
//! Always true: whoever reads the server's files again accepts the new value, and the old one unless it must not be; no caller
//! finds a value before the server was told of it.
//!
//! Does not: decide which value counts.

use agnes_config::Secret;
use anyhow::{Context as _, Result};

use super::notify::{Server, Wanted};
use super::proof::{self, Proof};
use super::rotation::Rotation;
use super::{EnvFile, Work, mint};

impl Work<'_> {
    /// Puts the new value in place, tells the server and then its callers, and proves what is accepted now. `before` is a
    /// token that the server signed earlier. A server that refuses to be told is a proof that failed.
    pub(super) fn settle(
        &mut self,
        server: Server,
        rotation: &Rotation,
        before: Option<&Secret>,
    ) -> Result<Proof> {
        let (old, new) = self.put(rotation)?;
        if server == Server::Absent {
            self.tell_callers(rotation, &old, &new)?;
            return Ok(Proof::nobody_to_ask());
        }
        let wanted = Wanted {
            current: &new,
            previous: (!rotation.at_once).then_some(&old),
        };
        if let Err(untold) = self.tell(&wanted) {
            if rotation.at_once {
                // no file keeps what somebody else has
                self.tell_callers(rotation, &old, &new)?;
            }
            return Ok(Proof::failing(untold));
        }
        self.tell_callers(rotation, &old, &new)?;
        let now = self.now();
        Ok(proof::of_staging(
            &self.socket,
            rotation,
            &old,
            &new,
            before,
            now,
        ))
    }

    /// The server's files: after it whoever reads them again accepts the new value, and the old one unless it must not be.
    fn put(&mut self, rotation: &Rotation) -> Result<(Secret, Secret)> {
        let (host, name) = (self.host, self.kind.name());
        let old = self.value(rotation.old)?;
        let new = match self.value(rotation.new) {
            Ok(there) => {
                self.generations.make_current(host, name, rotation.new)?;
                there
            }
            Err(_) => {
                let secret = match rotation.value_of {
                    Some(number) => self.value(number)?,
                    None => mint()?,
                };
                self.generations.add_as(host, name, rotation.new, &secret)?;
                self.done(format!("make generation {} of {name}", rotation.new));
                secret
            }
        };
        self.kept = self.generations.read(host, name)?;
        let previous = self.kind.previous();
        if rotation.at_once {
            self.live.put(host, name, &new)?;
            self.live.remove(host, &previous)?;
        } else {
            // this order: at no moment is the old value in neither file
            self.live.put(host, &previous, &old)?;
            self.live.put(host, name, &new)?;
        }
        self.done("write live files".to_owned());
        Ok((old, new))
    }

    /// Side-cars read `.env`: a token that stands there before the server knows it would be refused.
    fn tell_callers(&mut self, rotation: &Rotation, old: &Secret, new: &Secret) -> Result<()> {
        let name = self.kind.name();
        let beside = if rotation.at_once { "" } else { old.expose() };
        let previous = self.kind.previous();
        self.write_env(&[(name, new.expose()), (&previous, beside)])?;
        self.done("write .env".to_owned());
        Ok(())
    }

    /// A key without a value is taken out.
    pub(super) fn write_env(&self, pairs: &[(&str, &str)]) -> Result<()> {
        let env_file = EnvFile::read(self.host, &self.settings.dir, self.options.lookup)?;
        env_file.write(self.host, pairs)?;
        Ok(())
    }

    pub(super) fn value(&self, number: u64) -> Result<Secret> {
        let found = self.kept.values.iter().find(|(known, _)| *known == number);
        let path = self.generations.path(self.kind.name(), number);
        let (_, secret) = found.with_context(|| format!("{}: not readable", path.display()))?;
        Ok(secret.clone())
    }
}
