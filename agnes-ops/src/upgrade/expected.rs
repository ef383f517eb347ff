//! How long writes would be held.
//!
//! Always true: every part is measured on this host, or named as assumed.
//!
//! Does not: measure.

use serde_json::{Value, json};

/// Stopping the old version, starting the new one and its first passed look, where nothing was measured yet: the most that an upgrade
/// without a migration is meant to take.
const ASSUMED_MS: i64 = 3000;
/// So many of the last upgrades are looked at.
const LAST: usize = 5;

/// The parts of it, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Stop, start and the first passed look.
    pub change_ms: i64,
    /// From how many upgrades that is known; 0: it is assumed.
    pub upgrades: usize,
    /// Copying the stopped database, and comparing.
    pub copy_ms: i64,
    /// The migration and `stable_for`, when the new version migrates.
    pub migration_ms: Option<(i64, i64)>,
}

impl Expected {
    /// From what upgrades without a migration took besides the copy, the newest first, and what was measured on a copy.
    pub fn of(changes_ms: &[i64], copy_ms: i64, migration_ms: Option<(i64, i64)>) -> Self {
        let mut last: Vec<i64> = changes_ms.iter().copied().take(LAST).collect();
        last.sort_unstable();
        Self {
            change_ms: last.get(last.len() / 2).copied().unwrap_or(ASSUMED_MS),
            upgrades: last.len(),
            copy_ms,
            migration_ms,
        }
    }

    /// All of it.
    pub fn held_ms(&self) -> i64 {
        let (migration, stable) = self.migration_ms.unwrap_or_default();
        self.change_ms + self.copy_ms + migration + stable
    }

    /// How that is known.
    pub fn words(&self) -> String {
        let change = match self.upgrades {
            0 => format!(
                "{} ms for stop and start, which is assumed: no upgrade was measured here yet",
                self.change_ms
            ),
            1 => format!(
                "{} ms for stop and start, as in the last upgrade",
                self.change_ms
            ),
            many => format!(
                "{} ms for stop and start, the median of the last {many} upgrades",
                self.change_ms
            ),
        };
        let copy = format!("{} ms for the copy, as measured now", self.copy_ms);
        match self.migration_ms {
            None => format!("{change}; {copy}"),
            Some((migration, stable)) => format!(
                "{change}; {copy}; {migration} ms for the migration, as measured now; {stable} ms of upgrade.gate.stable_for, for writes are held until the commit"
            ),
        }
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        json!({
            "change_ms": self.change_ms,
            "upgrades_measured": self.upgrades,
            "copy_ms": self.copy_ms,
            "migration_ms": self.migration_ms.map(|(migration, _)| migration),
            "stable_for_ms": self.migration_ms.map(|(_, stable)| stable),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_counts_and_what_was_not_is_said() {
        let first = Expected::of(&[], 40, None);
        assert_eq!((first.held_ms(), first.upgrades), (3040, 0));
        assert!(first.words().contains("assumed"), "{}", first.words());
        let usual = Expected::of(&[2000, 9000, 2200, 2100, 1900, 70_000], 40, None);
        assert_eq!((usual.change_ms, usual.upgrades), (2100, 5));
        assert!(!usual.words().contains("assumed"), "{}", usual.words());
        let migrates = Expected::of(&[2000], 40, Some((300, 5000)));
        assert_eq!(migrates.held_ms(), 7340);
        assert!(migrates.words().contains("300 ms for the migration"));
    }
}
