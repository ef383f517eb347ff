//! How often one caller may call: at most N requests in any 60 seconds, counted exactly.
//!
//! Always true: a window slides, so no two bursts meet at its edge; refused calls are not counted, so a caller who waits
//! what it was told gets in; memory is bounded, and strangers can push out other strangers, never a principal's count.
//!
//! Does not: know which routes are exempt, read a clock, survive a restart.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use agnes_store::Id;

const WINDOW: Duration = Duration::from_secs(60);

/// Locks for each kind of key: enough that two requests seldom meet.
const SHARDS: usize = 16;

/// Keys in a shard. 16 × 1024 addresses at 100 calls each are 26 MB when all of them are at their limit at once.
const KEYS_IN_SHARD: usize = 1024;

/// Who is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// Somebody who is known.
    Principal(Id),
    /// Anybody else. Made by [`Key::address`].
    Address(IpAddr),
}

impl Key {
    /// The key of a stranger. IPv6 counts by /64: one customer has all of it.
    pub(crate) fn address(ip: IpAddr) -> Self {
        Self::Address(match ip.to_canonical() {
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
            v4 => v4,
        })
    }

    /// The word of metrics and of the control socket.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Principal(_) => "principal",
            Self::Address(_) => "address",
        }
    }

    /// The id, the address, or the /64.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Principal(id) => id.to_string(),
            Self::Address(IpAddr::V4(ip)) => ip.to_string(),
            Self::Address(IpAddr::V6(ip)) => format!("{ip}/64"),
        }
    }
}

/// A call that may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowed {
    /// Calls in 60 s; 0: not limited.
    pub(crate) limit: u32,
    /// Calls left now.
    pub(crate) remaining: u32,
}

/// A call that came too soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limited {
    /// Calls in 60 s.
    pub(crate) limit: u32,
    /// After this a call is let in again, if nobody else uses the same key. At least 1.
    pub(crate) retry_after_secs: u64,
}

/// One key whose next call would be refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AtLimit {
    /// Who.
    pub(crate) key: Key,
    /// Calls in 60 s.
    pub(crate) limit: u32,
    /// Calls refused since the last one that was let in.
    pub(crate) refused: u64,
    /// As [`Limited`] has it.
    pub(crate) retry_after_secs: u64,
}

/// More for one principal, until a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Raised {
    /// Calls in 60 s; what everybody may is never made less by it.
    pub(crate) limit: u32,
    /// From then on it is over.
    pub(crate) until: Instant,
}

/// All counts.
#[derive(Debug)]
pub(crate) struct RateLimits {
    addresses: Counts,
    principals: Counts,
}

impl RateLimits {
    /// Calls in 60 s for each address and each principal; 0: not limited.
    pub(crate) fn new(unauthenticated_per_min: u32, authenticated_per_min: u32) -> Self {
        Self {
            addresses: Counts::new(unauthenticated_per_min),
            principals: Counts::new(authenticated_per_min),
        }
    }

    /// Counts a call at `now`, if it may go on.
    ///
    /// # Errors
    /// [`Limited`] when N calls were let in within the 60 s before `now`.
    pub(crate) fn check(&self, key: Key, now: Instant) -> Result<Allowed, Limited> {
        match key {
            Key::Principal(_) => self.principals.check(key, now),
            Key::Address(_) => self.addresses.check(key, now),
        }
    }

    /// What principals may in place of what everybody may; replaces what was said before.
    pub(crate) fn raise(&self, raised: HashMap<Id, Raised>) {
        let all = self.principals.raised.write();
        *all.unwrap_or_else(PoisonError::into_inner) = raised;
    }

    /// Calls in 60 s for a principal at `now`; 0: not limited.
    pub(crate) fn of_principal(&self, id: Id, now: Instant) -> u32 {
        self.principals.limit_of(&Key::Principal(id), now)
    }

    /// Whose next call would be refused, the longest wait first.
    pub(crate) fn limited(&self, now: Instant) -> Vec<AtLimit> {
        let mut all = self.principals.limited(now);
        all.extend(self.addresses.limited(now));
        all.sort_by_key(|one| std::cmp::Reverse(one.retry_after_secs));
        all
    }
}

/// The counts of one kind of key.
#[derive(Debug)]
struct Counts {
    limit: u32,
    raised: RwLock<HashMap<Id, Raised>>,
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    windows: HashMap<Key, Window>,
    swept: Option<Instant>,
}

/// The calls that were let in within the last 60 s, oldest first.
#[derive(Debug, Default)]
struct Window {
    let_in: VecDeque<Instant>,
    refused: u64,
    /// The last call, let in or not: who keeps knocking is not idle.
    touched: Option<Instant>,
}

impl Counts {
    fn new(limit: u32) -> Self {
        Self {
            limit,
            raised: RwLock::default(),
            hasher: RandomState::new(),
            shards: Default::default(),
        }
    }

    fn check(&self, key: Key, now: Instant) -> Result<Allowed, Limited> {
        let limit = self.limit_of(&key, now);
        if limit == 0 {
            return Ok(Allowed {
                limit,
                remaining: u32::MAX,
            });
        }
        let mut shard = self.shard(&key);
        if !shard.windows.contains_key(&key) {
            shard.make_room(now);
        }
        shard.windows.entry(key).or_default().check(limit, now)
    }

    /// One limit for all, but for principals who were given more.
    fn limit_of(&self, key: &Key, now: Instant) -> u32 {
        let (Key::Principal(id), 1..) = (key, self.limit) else {
            return self.limit;
        };
        let raised = self.raised.read().unwrap_or_else(PoisonError::into_inner);
        match raised.get(id) {
            Some(raised) if raised.until > now => raised.limit.max(self.limit),
            _ => self.limit,
        }
    }

    fn limited(&self, now: Instant) -> Vec<AtLimit> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let shard = locked(shard);
            for (key, window) in &shard.windows {
                let limit = self.limit_of(key, now);
                if let Some(retry_after_secs) = window.full_for(limit, now) {
                    found.push(AtLimit {
                        key: *key,
                        limit,
                        refused: window.refused,
                        retry_after_secs,
                    });
                }
            }
        }
        found
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Shard> {
        let hash = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or_default();
        let [first, ..] = &self.shards;
        locked(self.shards.get(hash).unwrap_or(first))
    }
}

/// A count is never half written, so one that a panic left behind is good.
fn locked(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    /// Before a new key comes: forgets idle ones once a minute, and above the cap the one that was idle longest.
    fn make_room(&mut self, now: Instant) {
        let due = self
            .swept
            .is_none_or(|swept| now.saturating_duration_since(swept) >= WINDOW);
        if due {
            self.swept = Some(now);
            self.windows
                .retain(|_, window| window.last().is_some_and(|last| is_recent(last, now)));
        }
        if self.windows.len() < KEYS_IN_SHARD {
            return;
        }
        let idle = self.windows.iter().min_by_key(|(_, window)| window.touched);
        if let Some(key) = idle.map(|(key, _)| *key) {
            self.windows.remove(&key);
        }
    }
}

impl Window {
    fn check(&mut self, limit: u32, now: Instant) -> Result<Allowed, Limited> {
        // threads read the clock before they queue for the lock; the order here is the order of the lock
        let now = self.last().map_or(now, |last| last.max(now));
        self.touched = Some(now);
        while self.let_in.front().is_some_and(|at| !is_recent(*at, now)) {
            self.let_in.pop_front();
        }
        if let Some(retry_after_secs) = self.full_for(limit, now) {
            self.refused += 1;
            return Err(Limited {
                limit,
                retry_after_secs,
            });
        }
        self.refused = 0;
        self.let_in.push_back(now);
        let used = u32::try_from(self.let_in.len()).unwrap_or(u32::MAX);
        Ok(Allowed {
            limit,
            remaining: limit.saturating_sub(used),
        })
    }

    /// How many seconds, rounded up, until there is room; `None` when there is.
    fn full_for(&self, limit: u32, now: Instant) -> Option<u64> {
        // the call whose end of window makes room: the last but `limit`, counted from the newest
        let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0)?;
        let first = self.let_in.len().checked_sub(limit)?;
        let opens = self.let_in.get(first)?.checked_add(WINDOW)?;
        let wait = opens.checked_duration_since(now).filter(|w| !w.is_zero())?;
        Some(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
    }

    fn last(&self) -> Option<Instant> {
        self.let_in.back().copied()
    }
}

fn is_recent(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) < WINDOW
}

#[cfg(test)]
mod tests;
