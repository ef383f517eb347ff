//! One generation for another: written, flipped, proven, and committed or undone.
//!
//! Always true: the journal is open from before the first effect until the new generation is committed or the old one
//! is back; the old one is on disk all the while.
//!
//! Does not: know where key and chain come from.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::super::reload::{Convergence, Proof, converge, name, observe};
use super::{ProofTime, Rotation};

/// A generation that is being installed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Open {
    /// What was current before; `None`: nothing.
    pub(super) from: Option<u64>,
    /// What shall be.
    pub(super) to: u64,
    /// The pending key it settles.
    #[serde(default)]
    pub(super) settles: Option<u64>,
}

/// What became of the generation that was to be installed.
pub(super) enum Swap {
    /// It is served, or nothing contradicts it.
    Committed(Convergence),
    /// It was not; the pair before it is back.
    RolledBack {
        failed: Convergence,
        back: Convergence,
    },
    /// Nor is the pair before it served.
    Degraded {
        failed: Convergence,
        back: Convergence,
    },
}

impl Rotation<'_> {
    /// Finishes or undoes what a killed run had open. `Some`: it had to be undone.
    pub(super) fn recover(&mut self) -> Result<Option<Swap>> {
        let host = self.deployment.host;
        let Some(open) = self.journal.read::<Open>(host)? else {
            return Ok(None);
        };
        if self.store.current(host)? != Some(open.to) {
            // killed before the flip: nobody has seen the new generation
            self.store.remove(host, open.to)?;
            self.journal.close(host)?;
            self.step(format!(
                "remove generation {} of an interrupted run",
                open.to
            ));
            return Ok(None);
        }
        self.store.flip(host, open.to)?;
        self.step(format!(
            "finish generation {} of an interrupted run",
            open.to
        ));
        match self.prove(&open)? {
            Swap::Committed(_) => Ok(None),
            undone => Ok(Some(undone)),
        }
    }

    /// Installs a generation, makes it current and proves it.
    pub(super) fn install(&mut self, open: &Open, key: &[u8], chain: &[u8]) -> Result<Swap> {
        let host = self.deployment.host;
        self.journal.write(host, open)?;
        let made = self
            .store
            .write(host, open.to, key, chain)
            .and_then(|()| self.store.flip(host, open.to));
        if let Err(error) = made {
            // A full disk must leave the host as it was.
            self.back_to(open)?;
            return Err(error.context("the installed pair stays"));
        }
        self.step(format!("install generation {}", open.to));
        self.prove(open)
    }

    /// Proves the generation that was just made current: commits it, or goes back.
    fn prove(&mut self, open: &Open) -> Result<Swap> {
        let host = self.deployment.host;
        let expected = self.installed_leaf()?;
        let convergence = self.converge(&expected);
        if convergence.holds() {
            self.commit(open)?;
            return Ok(Swap::Committed(convergence));
        }
        self.back_to(open)?;
        let (back, proven) = match open.from {
            Some(_) => {
                let old = self.installed_leaf()?;
                let back = self.converge(&old);
                let proven = back.holds() || (back.proof == Proof::NothingListens);
                (back, proven)
            }
            // There was nothing; what was served before had another source and was not touched.
            None => (observe(host, self.deployment.settings, ""), true),
        };
        self.step(match open.from {
            Some(from) => format!("go back to generation {from}"),
            None => format!("remove generation {}", open.to),
        });
        Ok(if proven {
            Swap::RolledBack {
                failed: convergence,
                back,
            }
        } else {
            Swap::Degraded {
                failed: convergence,
                back,
            }
        })
    }

    pub(super) fn converge(&mut self, expected: &str) -> Convergence {
        if self.proof == ProofTime::AfterStart {
            return Convergence::not_yet();
        }
        let convergence = converge(
            self.deployment.host,
            self.deployment.settings,
            expected,
            self.memory.last_way.as_deref(),
        );
        if let Some(way) = &convergence.by {
            self.memory.last_way = self
                .deployment
                .settings
                .tls
                .reload
                .iter()
                .map(name)
                .find(|known| *known == format!("{} {}", way.kind, way.target));
        }
        convergence
    }

    fn commit(&mut self, open: &Open) -> Result<()> {
        let host = self.deployment.host;
        if let Some(number) = open.settles {
            self.store.settle_pending(host, number)?;
        }
        let disk = self.store.observe(host)?;
        // the one before, and if that is broken also the newest that is not
        let sound = disk.kept.first().map(|(number, ..)| *number);
        let keep = [Some(open.to), open.from, sound];
        for number in disk
            .generations
            .iter()
            .filter(|number| !keep.contains(&Some(**number)))
        {
            self.store.remove(host, *number)?;
        }
        self.journal.close(host)
    }

    /// Puts the files back as they were before `open`.
    fn back_to(&self, open: &Open) -> Result<()> {
        let host = self.deployment.host;
        match open.from {
            Some(from) if self.store.current(host)? != Some(from) => self.store.flip(host, from)?,
            Some(_) => {}
            None => self.store.unlink(host)?,
        }
        self.store.remove(host, open.to)?;
        self.journal.close(host)
    }

    pub(super) fn installed_leaf(&self) -> Result<String> {
        let disk = self.store.observe(self.deployment.host)?;
        let pair = disk.pair.context("no certificate is installed")?;
        pair.chain
            .map(|chain| chain.leaf().sha256.clone())
            .map_err(anyhow::Error::msg)
    }
}
