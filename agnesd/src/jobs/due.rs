//! When a job runs next: values in, a value out.
//!
//! Always true: however many runs were missed, one is due, not several; a start that lies in the future counts as now; a
//! retry never comes later than the regular run would.
//!
//! Does not: look at a clock, start anything, draw random numbers.

use agnes_config::Schedule;

/// The wait before the first retry; each further one waits twice as long.
const FIRST_RETRY_SECS: i64 = 10;
/// No retry waits longer.
const LONGEST_RETRY_SECS: i64 = 3600;
/// No start is moved further than this.
const MOST_JITTER_SECS: i64 = 10;

/// What repeats.
#[derive(Debug, Clone)]
pub(crate) enum Rhythm {
    /// Seconds from one start to the next.
    Every(i64),
    /// As configured.
    Scheduled(Schedule),
}

impl Rhythm {
    /// The first time after `after`, in seconds since 1970.
    fn next(&self, after: i64) -> i64 {
        match self {
            Self::Every(secs) => after.saturating_add(*secs),
            Self::Scheduled(schedule) => schedule.next(after),
        }
    }

    /// A job that never ran: an interval has no time of day to wait for, and waiting a whole one after each start would
    /// starve the job of a server that restarts more often.
    fn first(&self, serving_since: i64) -> i64 {
        match self {
            Self::Every(_) => serving_since,
            Self::Scheduled(schedule) if schedule.to_string().starts_with("every ") => {
                serving_since
            }
            Self::Scheduled(schedule) => schedule.next(serving_since),
        }
    }
}

impl std::fmt::Display for Rhythm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Every(secs) if secs % 3600 == 0 => write!(f, "every {}h", secs / 3600),
            Self::Every(secs) if secs % 60 == 0 => write!(f, "every {}m", secs / 60),
            Self::Every(secs) => write!(f, "every {secs}s"),
            Self::Scheduled(schedule) => schedule.fmt(f),
        }
    }
}

/// How a job last went, all times in seconds since 1970.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Last {
    /// When it last began; `None`: never.
    pub(crate) started: Option<i64>,
    /// When that run ended.
    pub(crate) finished: Option<i64>,
    /// How many runs in a row did not succeed.
    pub(crate) failures: i64,
}

/// The time at which the job is due. `draw` is any number: the same one gives the same time.
pub(crate) fn next(
    rhythm: &Rhythm,
    retries: u32,
    last: Last,
    serving_since: i64,
    now: i64,
    draw: u64,
) -> i64 {
    let Some(started) = last.started.map(|at| at.min(now)) else {
        let first = rhythm.first(serving_since.min(now));
        return first.saturating_add(below(draw, MOST_JITTER_SECS));
    };
    let regular = rhythm.next(started);
    let interval = regular.saturating_sub(started);
    let regular = regular.saturating_add(below(draw, (interval / 10).min(MOST_JITTER_SECS)));
    let finished = last.finished.map_or(started, |at| at.min(now)).max(started);
    match backoff(last.failures, retries) {
        Some(wait) => regular.min(finished.saturating_add(wait + below(draw, wait / 4))),
        None => regular,
    }
}

/// How long to wait before the retry; `None`: nothing failed, or this round of retries is used up.
fn backoff(failures: i64, retries: u32) -> Option<i64> {
    let round = i64::from(retries) + 1;
    let nth = failures.checked_sub(1).filter(|n| *n >= 0)? % round;
    let doublings = u32::try_from(nth).unwrap_or(u32::MAX).min(20);
    (nth < i64::from(retries)).then(|| (FIRST_RETRY_SECS << doublings).min(LONGEST_RETRY_SECS))
}

/// A number from 0 to `most`.
fn below(draw: u64, most: i64) -> i64 {
    let most = u64::try_from(most).unwrap_or(0);
    i64::try_from(draw % (most + 1)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-02T00:00:00Z.
    const MIDNIGHT: i64 = 1_767_312_000;
    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;

    fn daily() -> Rhythm {
        Rhythm::Scheduled("daily 03:00".parse().unwrap())
    }

    fn ran(started: i64, failures: i64) -> Last {
        Last {
            started: Some(started),
            finished: Some(started + 5),
            failures,
        }
    }

    #[test]
    fn a12_a_restart_fires_nothing_that_ran_and_a_missed_day_once() {
        let three = MIDNIGHT + 3 * HOUR;
        for (what, last, since, now, due) in [
            (
                "ran today, restarted at noon",
                ran(three, 0),
                three + 9 * HOUR,
                three + 9 * HOUR,
                three + DAY,
            ),
            (
                "down for a week",
                ran(three - 7 * DAY, 0),
                three + 5,
                three + 5,
                three - 6 * DAY,
            ),
            (
                "once it caught up",
                ran(three + 6, 0),
                three + 5,
                three + 7,
                three + DAY,
            ),
            (
                "never ran",
                Last::default(),
                three + 1,
                three + 1,
                three + DAY,
            ),
            (
                "a start in the year after",
                ran(three + 365 * DAY, 0),
                three - 1,
                three - 1,
                three,
            ),
        ] {
            assert_eq!(next(&daily(), 0, last, since, now, 0), due, "{what}");
        }
    }

    #[test]
    fn a12_an_interval_counts_from_the_last_start_also_over_clock_jumps() {
        let every = Rhythm::Every(15 * 60);
        let at = MIDNIGHT;
        for (what, last, now, due) in [
            ("never ran: at once", Last::default(), at, at),
            ("counts from the start", ran(at - 60, 0), at, at + 14 * 60),
            (
                "a jump ahead: one is due",
                ran(at - 90 * 60, 0),
                at,
                at - 75 * 60,
            ),
            ("which is all", ran(at, 0), at, at + 15 * 60),
            ("a jump back: from now", ran(at + DAY, 0), at, at + 15 * 60),
        ] {
            assert_eq!(next(&every, 0, last, at, now, 0), due, "{what}");
        }
    }

    #[test]
    fn a12_a_failed_daily_job_does_not_wait_24_hours() {
        let three = MIDNIGHT + 3 * HOUR;
        let waits: Vec<_> = (0..=8)
            .map(|failures| next(&daily(), 3, ran(three, failures), three, three + 5, 0) - three)
            .collect();
        let (first, second, third) = (15, 25, 45);
        assert_eq!(
            waits,
            [DAY, first, second, third, DAY, first, second, third, DAY]
        );
        assert_eq!(backoff(1, 0), None);
        assert_eq!(backoff(60, 100), Some(LONGEST_RETRY_SECS));
        assert!(backoff(i64::MAX, u32::MAX).is_some_and(|w| w <= LONGEST_RETRY_SECS));
    }

    #[test]
    fn a12_jitter_is_bounded_and_a_retry_never_later_than_the_regular_run() {
        let every = Rhythm::Every(10);
        for draw in 0..100 {
            let due = next(&every, 5, ran(MIDNIGHT, 5), MIDNIGHT, MIDNIGHT + 5, draw);
            assert!((MIDNIGHT + 10..=MIDNIGHT + 11).contains(&due), "{due}");
            let due = next(&daily(), 0, ran(MIDNIGHT, 0), MIDNIGHT, MIDNIGHT, draw);
            assert!((0..=MOST_JITTER_SECS).contains(&(due - MIDNIGHT - 3 * HOUR)));
        }
    }
}
