//! Who calls with which of the scheduler's secrets: how a rotation sees that every caller has moved, and who has not.
//!
//! Always true: a secret is named by its id; a caller is an address with a user agent. At most 256 callers are remembered:
//! the one that was quiet longest goes first, and is counted.
//!
//! Does not: outlive the process, or know a caller that has not called.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use time::OffsetDateTime;

/// Callers that are remembered.
const MOST: usize = 256;
/// What is kept of a user agent, in characters.
const AGENT: usize = 128;

/// How often, and when last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Use {
    count: u64,
    #[serde(with = "time::serde::rfc3339")]
    last_used_at: OffsetDateTime,
}

impl Use {
    fn once_more(before: Option<&Self>, at: OffsetDateTime) -> Self {
        Self {
            count: before.map_or(0, |before| before.count) + 1,
            last_used_at: before.map_or(at, |before| before.last_used_at.max(at)),
        }
    }
}

/// One caller's use of one secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Caller {
    address: String,
    user_agent: String,
    #[serde(flatten)]
    used: Use,
}

type Id = Arc<str>;
type Uses = HashMap<Id, Use>;

#[derive(Debug, Default)]
struct Seen {
    /// By address and user agent.
    callers: HashMap<(String, String), Uses>,
    /// Of all callers, those forgotten too.
    totals: Uses,
    forgotten: u64,
}

/// Every caller since the process began.
#[derive(Debug, Default)]
pub(super) struct Callers(Mutex<Seen>);

impl Callers {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One call with the secret `id`.
    pub(super) fn note(&self, id: &Id, address: &str, user_agent: &str, at: OffsetDateTime) {
        let mut seen = self.seen();
        let total = Use::once_more(seen.totals.get(id), at);
        seen.totals.insert(Arc::clone(id), total);
        let caller = (address.to_owned(), user_agent.chars().take(AGENT).collect());
        if seen.callers.len() >= MOST && !seen.callers.contains_key(&caller) {
            seen.forget_one();
        }
        let uses = seen.callers.entry(caller).or_default();
        let used = Use::once_more(uses.get(id), at);
        uses.insert(Arc::clone(id), used);
    }

    /// From here on only these secrets are accepted.
    pub(super) fn keep(&self, accepted: &[Id]) {
        let mut seen = self.seen();
        seen.totals.retain(|id, _| accepted.contains(id));
        seen.callers.retain(|_, uses| {
            uses.retain(|id, _| accepted.contains(id));
            !uses.is_empty()
        });
    }

    /// How often a secret was used.
    pub(super) fn total(&self, id: &Id) -> Option<Use> {
        self.seen().totals.get(id).copied()
    }

    /// Who used a secret, the latest first.
    pub(super) fn of(&self, id: &Id) -> Vec<Caller> {
        self.matching(|uses| uses.get(id).copied())
    }

    /// Who used `previous` and has not used `current` since, the latest first.
    pub(super) fn not_moved(&self, previous: &Id, current: &Id) -> Vec<Caller> {
        self.matching(|uses| {
            let old = uses.get(previous)?;
            let new = uses.get(current);
            let moved = new.is_some_and(|new| new.last_used_at > old.last_used_at);
            (!moved).then_some(*old)
        })
    }

    /// Callers that were too many to remember.
    pub(super) fn forgotten(&self) -> u64 {
        self.seen().forgotten
    }

    fn matching(&self, choose: impl Fn(&Uses) -> Option<Use>) -> Vec<Caller> {
        let seen = self.seen();
        let chosen = seen.callers.iter().filter_map(|((address, agent), uses)| {
            Some(Caller {
                address: address.clone(),
                user_agent: agent.clone(),
                used: choose(uses)?,
            })
        });
        let mut callers: Vec<Caller> = chosen.collect();
        callers.sort_by_key(|caller| std::cmp::Reverse(caller.used.last_used_at));
        callers
    }
}

impl Seen {
    fn forget_one(&mut self) {
        let last = |uses: &Uses| uses.values().map(|used| used.last_used_at).max();
        let quietest = self.callers.iter().min_by_key(|(_, uses)| last(uses));
        if let Some(caller) = quietest.map(|(caller, _)| caller.clone()) {
            self.callers.remove(&caller);
            self.forgotten += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;

    const BEGAN: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn names(callers: &[Caller]) -> Vec<&str> {
        let names = callers.iter().map(|caller| caller.user_agent.as_str());
        names.collect()
    }

    #[test]
    fn a03_who_has_not_moved_is_named_and_who_has_is_not() {
        let (callers, old, new) = (Callers::default(), Id::from("old"), Id::from("new"));
        let at = |secs| BEGAN + Duration::seconds(secs);
        callers.note(&old, "192.0.2.1", "cron", at(1));
        callers.note(&old, "192.0.2.1", "cron", at(2));
        callers.note(&old, "192.0.2.2", "runner", at(3));
        assert_eq!(names(&callers.not_moved(&old, &new)), ["runner", "cron"]);
        callers.note(&new, "192.0.2.1", "cron", at(4));
        assert_eq!(names(&callers.not_moved(&old, &new)), ["runner"]);
        // it went back: a second process behind the same address still has the old one
        callers.note(&old, "192.0.2.1", "cron", at(5));
        assert_eq!(names(&callers.not_moved(&old, &new)), ["cron", "runner"]);
        assert_eq!(callers.total(&old).unwrap().count, 4);
        assert_eq!(callers.of(&old)[0].used.count, 3);
        assert_eq!(callers.of(&new)[0].used.last_used_at, at(4));
        callers.keep(&[Arc::clone(&new)]);
        assert_eq!(
            (callers.total(&old), callers.of(&old).len()),
            (None, 0),
            "a retired secret is forgotten"
        );
        assert!(callers.not_moved(&old, &new).is_empty());
    }

    #[test]
    fn a_flood_of_callers_is_bounded_and_counted() {
        let (callers, id) = (Callers::default(), Id::from("one"));
        for n in 0..300 {
            let agent = format!("{n}{}", "x".repeat(1000));
            callers.note(&id, "192.0.2.1", &agent, BEGAN + Duration::seconds(n));
        }
        let seen = callers.of(&id);
        assert_eq!((seen.len(), callers.forgotten()), (MOST, 300 - 256));
        assert!(seen[0].user_agent.starts_with("299x") && seen[255].user_agent.starts_with("44x"));
        assert_eq!(seen[0].user_agent.len(), AGENT);
        assert_eq!(callers.total(&id).unwrap().count, 300);
    }
}
