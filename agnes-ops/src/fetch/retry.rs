//! When an attempt is made again, and when time is up.
//!
//! Always true: at most three attempts; only transient failures are followed by another; nothing runs past the deadline.
//!
//! Does not: decide what is transient.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::{Reason, Refusal};

/// One try and two retries: enough for a restarting server, too few to be a burden on one that is down.
const ATTEMPTS: u32 = 3;

/// First pause; the second is twice as long, and jitter adds up to as much again.
const PAUSE: Duration = Duration::from_millis(250);

/// Longest `Retry-After` that is waited for; the timer's next tick serves longer ones.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(5);

/// Runs `attempt` until it succeeds, fails for good, or `deadline` comes.
pub(super) async fn until<T>(
    deadline: Instant,
    attempt: impl AsyncFn() -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let started = Instant::now();
    let work = async {
        let mut made = 1;
        loop {
            let refusal = match attempt().await {
                Err(refusal) if refusal.reason == Reason::Transient => refusal,
                done => return done,
            };
            let pause = refusal
                .retry_after
                .unwrap_or_else(|| with_jitter(PAUSE * made));
            if made == ATTEMPTS || pause > LONGEST_RETRY_AFTER || Instant::now() + pause >= deadline
            {
                return Err(refusal);
            }
            tracing::debug!(
                attempt = made,
                pause_ms = pause.as_millis(),
                "{}; trying again",
                refusal.what
            );
            sleep(pause).await;
            made += 1;
        }
    };
    timeout_at(deadline, work).await.unwrap_or_else(|_| {
        let allowed = deadline.saturating_duration_since(started);
        Err(Refusal::new(
            Reason::Transient,
            format!("no complete answer within {allowed:.0?}"),
        ))
    })
}

fn with_jitter(pause: Duration) -> Duration {
    // A hasher's random keys are randomness enough to spread a fleet's retries.
    let thousandths = u32::try_from(RandomState::new().hash_one(0) % 1000).unwrap_or_default();
    pause + pause * thousandths / 1000
}
