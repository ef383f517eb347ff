//! Schedules of jobs.
//!
//! Always true: a schedule that is read says when, always later, never beyond its longest gap.
//!
//! Does not: compare with another cron (`agnes-config` does).

use agnes_config::Schedule;
use agnes_config::schedule::LONGEST_GAP_SECS;

/// Before and after 1970, a leap day, the year 2096, and the ends of every calendar.
const TIMES: [i64; 6] = [0, -1, 1_709_164_800, 3_981_312_000, i64::MIN, i64::MAX - 1];

/// # Panics
/// When a promise of `agnes_config::schedule` does not hold.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let schedule = match text.parse::<Schedule>() {
        Ok(schedule) => schedule,
        Err(why) => {
            let why = why.to_string();
            assert!(!why.chars().any(char::is_control), "{why:?}");
            return;
        }
    };
    assert_eq!(schedule.to_string().parse().as_ref(), Ok(&schedule));
    for after in TIMES {
        let next = schedule.next(after);
        assert!(next > after, "{next} is not after {after}");
        assert!(next.saturating_sub(after) <= LONGEST_GAP_SECS);
    }
}
