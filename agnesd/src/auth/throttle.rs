//! Attempts at one account's password, counted whether the account exists or not.
//!
//! Always true: ten failures in fifteen minutes are what an account takes, then it waits until the oldest is older than
//! that; a success forgets them. Addresses alone would not do: a flood has many. What is no e-mail address at all is no account
//! and is not counted: it would be one entry for everybody; the limit of calls of each client bounds that.
//!
//! Does not: lock an account for good, or tell whether it exists.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const FAILURES: usize = 10;
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Accounts that are remembered at once; beyond it the ones that are over go first, then anyone.
const ACCOUNTS: usize = 50_000;

/// Recent failures by account.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    failures: Mutex<HashMap<String, VecDeque<Instant>>>,
}

impl Throttle {
    /// Whether another attempt may be made; `Err`: after this long.
    pub(crate) fn check(&self, account: &str, now: Instant) -> Result<(), Duration> {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(times) = failures.get_mut(account) else {
            return Ok(());
        };
        forget(times, now);
        match times.front() {
            Some(oldest) if times.len() >= FAILURES => {
                Err(WINDOW.saturating_sub(now.saturating_duration_since(*oldest)))
            }
            _ => Ok(()),
        }
    }

    /// Counts a failure.
    pub(crate) fn failed(&self, account: &str, now: Instant) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= ACCOUNTS && !failures.contains_key(account) {
            failures.retain(|_, times| {
                forget(times, now);
                !times.is_empty()
            });
            if failures.len() >= ACCOUNTS
                && let Some(any) = failures.keys().next().cloned()
            {
                failures.remove(&any);
            }
        }
        let times = failures.entry(account.to_owned()).or_default();
        times.push_back(now);
        // more than count are of no use
        while times.len() > FAILURES {
            times.pop_front();
        }
    }

    /// Forgets an account's failures.
    pub(crate) fn succeeded(&self, account: &str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.remove(account);
    }
}

fn forget(times: &mut VecDeque<Instant>, now: Instant) {
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
        let throttle = Throttle::default();
        let start = Instant::now();
        for n in 0..10 {
            assert_eq!(throttle.check("a", start), Ok(()), "{n}");
            throttle.failed("a", start + Duration::from_secs(n));
        }
        let now = start + Duration::from_secs(60);
        assert_eq!(
            throttle.check("a", now),
            Err(WINDOW - Duration::from_secs(60))
        );
        assert_eq!(throttle.check("b", now), Ok(()));
        assert_eq!(throttle.check("a", start + WINDOW), Ok(()));
        throttle.failed("a", start + WINDOW);
        assert!(throttle.check("a", start + WINDOW).is_err());
        throttle.succeeded("a");
        assert_eq!(throttle.check("a", start + WINDOW), Ok(()));
    }
}
