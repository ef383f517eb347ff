//! Times are written out, so that a wrong day shows.

use chrono::DateTime;
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> i64 {
    DateTime::parse_from_rfc3339(text).unwrap().timestamp()
}

fn next(schedule: &str, after: &str) -> String {
    let next = schedule.parse::<Schedule>().unwrap().next(at(after));
    let text = DateTime::from_timestamp(next, 0).unwrap().to_rfc3339();
    text.replace("+00:00", "Z")
}

#[test]
fn the_next_time_is_the_first_after() {
    for (schedule, after, expected) in [
        ("every 10s", "2025-01-01T00:00:05Z", "2025-01-01T00:00:15Z"),
        ("every 15m", "2025-01-01T23:50:00Z", "2025-01-02T00:05:00Z"),
        ("every 2h", "2025-01-01T00:00:00Z", "2025-01-01T02:00:00Z"),
        ("every 31d", "2025-01-01T00:00:00Z", "2025-02-01T00:00:00Z"),
        (
            "daily 03:00",
            "2025-01-01T02:59:59Z",
            "2025-01-01T03:00:00Z",
        ),
        (
            "daily 03:00",
            "2025-01-01T03:00:00Z",
            "2025-01-02T03:00:00Z",
        ),
        (
            "daily 00:00",
            "2025-12-31T12:00:00Z",
            "2026-01-01T00:00:00Z",
        ),
        (
            "daily 23:59",
            "1969-12-31T23:58:00Z",
            "1969-12-31T23:59:00Z",
        ),
        // 2025-01-01 was a Wednesday
        (
            "cron 0 5 * * 1",
            "2025-01-01T00:00:00Z",
            "2025-01-06T05:00:00Z",
        ),
        (
            "cron 0 5 * * 1",
            "2025-01-06T05:00:00Z",
            "2025-01-13T05:00:00Z",
        ),
        (
            "cron 0 5 * * 0",
            "2025-01-01T00:00:00Z",
            "2025-01-05T05:00:00Z",
        ),
        (
            "cron 0 5 * * 7",
            "2025-01-01T00:00:00Z",
            "2025-01-05T05:00:00Z",
        ),
        (
            "cron 0 5 * JAN mon-fri",
            "2025-01-31T06:00:00Z",
            "2026-01-01T05:00:00Z",
        ),
        (
            "cron */20 8-9 * * *",
            "2025-01-01T08:41:00Z",
            "2025-01-01T09:00:00Z",
        ),
        (
            "cron 0 0 29 2 *",
            "2096-02-29T00:00:00Z",
            "2104-02-29T00:00:00Z",
        ),
        // either day field is enough when both say something
        (
            "cron 0 0 3 * 1",
            "2025-01-01T00:00:00Z",
            "2025-01-03T00:00:00Z",
        ),
    ] {
        assert_eq!(next(schedule, after), expected, "{schedule} after {after}");
    }
}

#[test]
fn what_is_no_schedule_is_refused_with_its_reason() {
    for (text, part) in [
        ("", "is no schedule"),
        ("hourly", "is no schedule"),
        ("every", "is no schedule"),
        ("Every 15m", "is no schedule"),
        ("every 15 m", "is no schedule"),
        ("every 15", "is no interval"),
        ("every m", "is no interval"),
        ("every -1m", "is no interval"),
        ("every 1w", "is no interval"),
        ("every 15ü", "is no interval"),
        ("every 0s", "is less than 10s"),
        ("every 9s", "is less than 10s"),
        ("every 32d", "is more than 31d"),
        ("every 999999999d", "is more than 31d"),
        ("every 9999999999999999999d", "is no interval"),
        ("daily 3:00", "is no time of day"),
        ("daily 24:00", "is no time of day"),
        ("daily 03:60", "is no time of day"),
        ("daily 03:00:00", "is no time of day"),
        ("daily 03:00 UTC", "is no schedule"),
        ("cron 0 5 * *", "5 fields, not 4"),
        ("cron 0 0 5 * * 1", "5 fields, not 6"),
        ("cron @daily", "5 fields, not 1"),
        ("cron 60 5 * * 1", "is no cron pattern"),
        ("cron 0 5 * * 8", "is no cron pattern"),
        ("cron 0 5 L * *", "is no field"),
        ("cron 0 5 * * 1#2", "is no field"),
        ("cron 0 0 30 2 *", "never comes"),
        ("cron 0 0 31 4,6,9,11 *", "never comes"),
    ] {
        let error = text.parse::<Schedule>().unwrap_err().to_string();
        assert!(error.contains(part), "{text:?}: {error}");
        assert!(error.ends_with("in UTC)") && error.lines().count() == 1);
    }
}

#[test]
fn the_text_comes_back() {
    for text in ["every 15m", "daily 03:00", "cron 0 5 * * MON"] {
        assert_eq!(text.parse::<Schedule>().unwrap().to_string(), text);
    }
    let spaced: Schedule = "  daily \t 03:00 ".parse().unwrap();
    assert_eq!(spaced.to_string(), "daily 03:00");
    assert_eq!(spaced, "daily 03:00".parse().unwrap());
}

fn some_schedule() -> impl Strategy<Value = String> {
    prop_oneof![
        (10..2_678_400_i64).prop_map(|secs| format!("every {secs}s")),
        (0..24, 0..60).prop_map(|(hour, minute)| format!("daily {hour:02}:{minute:02}")),
        (0..60, 0..24, 1..29, 1..13)
            .prop_map(|(m, h, d, month)| format!("cron {m} {h} {d} {month} *")),
        (1..60, 0..7).prop_map(|(step, day)| format!("cron */{step} * * * {day}")),
        Just("cron 0 0 29 2 *".to_owned()),
        Just("cron * * * * *".to_owned()),
    ]
}

proptest! {
    #[test]
    fn a12_the_next_time_is_later_and_bounded(text in some_schedule(), after in -4_000_000_000_i64..200_000_000_000) {
        let schedule: Schedule = text.parse().unwrap();
        let next = schedule.next(after);
        prop_assert!(next > after);
        prop_assert!(next - after <= LONGEST_GAP_SECS);
    }

    #[test]
    fn a12_no_clock_makes_it_panic(text in some_schedule(), after in any::<i64>()) {
        let schedule: Schedule = text.parse().unwrap();
        prop_assert!(schedule.next(after) > after || after > i64::MAX - LONGEST_GAP_SECS);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "(every |daily |cron )?.{0,24}") {
        if let Err(error) = text.parse::<Schedule>() {
            prop_assert_eq!(error.to_string().lines().count(), 1);
        }
    }
}
