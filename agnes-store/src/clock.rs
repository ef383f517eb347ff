//! The one clock of the server and its store.
//!
//! Always true: times are UTC and whole microseconds, so that what was stored compares equal to what was meant.
//!
//! Does not: wait.

use time::OffsetDateTime;

/// Now, in UTC, cut to microseconds.
pub fn now() -> OffsetDateTime {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the server asks what time it is"
    )]
    let now = OffsetDateTime::now_utc();
    from_micros(to_micros(now))
}

/// Microseconds since 1970, as the engine stores a time.
pub(crate) fn to_micros(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1000).unwrap_or(i64::MAX)
}

/// The time of so many microseconds since 1970; the epoch itself for what no calendar holds.
pub(crate) fn from_micros(micros: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
