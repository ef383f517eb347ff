//! What is done about one account, counted whether the account exists or not: attempts at its password, letters to it.
//!
//! Always true: so many in fifteen minutes are what an account takes, then it waits until the oldest is older than
//! that; a success forgets them. Addresses alone would not do: a flood has many. What is no e-mail address at all is no account
//! and is not counted: it would be one entry for everybody; the limit of calls of each client bounds that.
//!
//! Does not: lock an account for good, or tell whether it exists.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Wrong passwords that an account takes.
const PASSWORDS: usize = 10;
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Accounts that are remembered at once; beyond it the ones that are over go first, then anyone.
const ACCOUNTS: usize = 50_000;

/// Recent times by account.
#[derive(Debug)]
pub(crate) struct Throttle {
    most: usize,
    recent: Mutex<HashMap<String, VecDeque<Instant>>>,
}

impl Throttle {
    /// For wrong passwords.
    pub(crate) fn of_passwords() -> Self {
        Self::of(PASSWORDS)
    }

    /// At most so many in fifteen minutes.
    pub(crate) fn of(most: usize) -> Self {
        Self {
            most,
            recent: Mutex::default(),
        }
    }

    fn recent(&self) -> MutexGuard<'_, HashMap<String, VecDeque<Instant>>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another attempt may be made; `Err`: after this long.
    pub(crate) fn check(&self, account: &str, now: Instant) -> Result<(), Duration> {
        let mut recent = self.recent();
        let Some(times) = recent.get_mut(account) else {
            return Ok(());
        };
        forget_old(times, now);
        match times.front() {
            Some(oldest) if times.len() >= self.most => {
                Err(WINDOW.saturating_sub(now.saturating_duration_since(*oldest)))
            }
            _ => Ok(()),
        }
    }

    /// Counts one more.
    pub(crate) fn count(&self, account: &str, now: Instant) {
        let mut recent = self.recent();
        if recent.len() >= ACCOUNTS && !recent.contains_key(account) {
            recent.retain(|_, times| {
                forget_old(times, now);
                !times.is_empty()
            });
            if recent.len() >= ACCOUNTS
                && let Some(any) = recent.keys().next().cloned()
            {
                recent.remove(&any);
            }
        }
        let times = recent.entry(account.to_owned()).or_default();
        times.push_back(now);
        // more than count are of no use
        while times.len() > self.most {
            times.pop_front();
        }
    }

    /// Forgets an account's recent.
    pub(crate) fn forget(&self, account: &str) {
        let mut recent = self.recent();
        recent.remove(account);
    }
}

fn forget_old(times: &mut VecDeque<Instant>, now: Instant) {
    while times
        .front()
        .is_some_and(|time| now.saturating_duration_since(*time) >= WINDOW)
    {
        times.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_failures_close_an_account_until_the_oldest_is_old_and_a_success_opens_it() {
        let throttle = Throttle::of_passwords();
        let start = Instant::now();
        for n in 0..10 {
            assert_eq!(throttle.check("a", start), Ok(()), "{n}");
            throttle.count("a", start + Duration::from_secs(n));
        }
        let now = start + Duration::from_secs(60);
        assert_eq!(
            throttle.check("a", now),
            Err(WINDOW - Duration::from_secs(60))
        );
        assert_eq!(throttle.check("b", now), Ok(()));
        assert_eq!(throttle.check("a", start + WINDOW), Ok(()));
        throttle.count("a", start + WINDOW);
        assert!(throttle.check("a", start + WINDOW).is_err());
        throttle.forget("a");
        assert_eq!(throttle.check("a", start + WINDOW), Ok(()));
    }
}
