//! When something may happen: `Mon..Fri 02:00-05:00`, in a time zone.
//!
//! Always true: a window that ends before it begins runs over midnight and belongs to the day on which it begins; while clocks
//! are put forward or back, the local time on the wall decides.
//!
//! Does not: look at a clock.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};

const MINUTES_A_DAY: u16 = 24 * 60;
const DAYS: [(&str, Weekday); 7] = [
    ("Mon", Weekday::Monday),
    ("Tue", Weekday::Tuesday),
    ("Wed", Weekday::Wednesday),
    ("Thu", Weekday::Thursday),
    ("Fri", Weekday::Friday),
    ("Sat", Weekday::Saturday),
    ("Sun", Weekday::Sunday),
];

/// Days of the week and a time of day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    text: String,
    /// From Monday.
    days: [bool; 7],
    /// Minutes after midnight.
    from: u16,
    /// Minutes after midnight, not included; not above `from`: it ends on the next day.
    to: u16,
}

/// Why a text is no window; on one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WindowError(String);

/// A time zone of the IANA database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

impl Zone {
    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self {
            name: "UTC".to_owned(),
            rules: TimeZone::UTC,
        }
    }
}

impl FromStr for Zone {
    type Err = WindowError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let rules = TimeZone::get(name)
            .map_err(|_| WindowError(format!("{name:?} is no time zone that is known here")))?;
        Ok(Self {
            name: name.to_owned(),
            rules,
        })
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Window {
    /// Whether it is open at `at`, in seconds since 1970-01-01T00:00:00Z.
    pub fn is_open(&self, at: i64, zone: &Zone) -> bool {
        let Ok(at) = Timestamp::from_second(at) else {
            return false;
        };
        let local = at.to_zoned(zone.rules.clone());
        let minute = minute_of(local.hour(), local.minute());
        let today = usize::try_from(local.weekday().to_monday_zero_offset()).unwrap_or_default();
        let yesterday = (today + 6) % 7;
        let on = |day: usize| self.days.get(day).copied().unwrap_or(false);
        if self.from < self.to {
            return on(today) && (self.from..self.to).contains(&minute);
        }
        on(today) && minute >= self.from || on(yesterday) && minute < self.to
    }

    /// The first minute from `at` on at which it is open, in seconds since 1970-01-01T00:00:00Z; `None`: not within eight days,
    /// which is so only where clocks are put forward over all of it.
    pub fn next_open(&self, at: i64, zone: &Zone) -> Option<i64> {
        if self.is_open(at, zone) {
            return Some(at);
        }
        let start = Timestamp::from_second(at).ok()?;
        let local = start.to_zoned(zone.rules.clone());
        (0..=8)
            .filter_map(|days| {
                let day = local.date().checked_add(i64::from(days).days()).ok()?;
                let hour = i8::try_from(self.from / 60).ok()?;
                let minute = i8::try_from(self.from % 60).ok()?;
                let opens = day
                    .at(hour, minute, 0, 0)
                    .to_zoned(zone.rules.clone())
                    .ok()?;
                Some(opens.timestamp().as_second())
            })
            .find(|opens| *opens >= at && self.is_open(*opens, zone))
    }

    /// How long it is open at a time, where clocks are not changed.
    pub fn length(&self) -> SignedDuration {
        let minutes = match self.from < self.to {
            true => self.to - self.from,
            false => MINUTES_A_DAY - self.from + self.to,
        };
        SignedDuration::from_mins(i64::from(minutes))
    }
}

fn minute_of(hour: i8, minute: i8) -> u16 {
    u16::try_from(i16::from(hour) * 60 + i16::from(minute)).unwrap_or_default()
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Window {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let (days, times) = match words.as_slice() {
            [times] => ([true; 7], *times),
            [days, times] => (days_of(days)?, *times),
            _ => return Err(WindowError(format!("{text:?} is no window"))),
        };
        let (from, to) = times
            .split_once('-')
            .ok_or_else(|| WindowError(format!("{times:?} is no span of time")))?;
        let (from, to) = (time_of(from, false)?, time_of(to, true)?);
        if from == to {
            return Err(WindowError(format!("{times:?} is never open")));
        }
        Ok(Self {
            text: words.join(" "),
            days,
            from,
            to: to % MINUTES_A_DAY,
        })
    }
}

fn days_of(text: &str) -> Result<[bool; 7], WindowError> {
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once("..").unwrap_or((part, part));
        let (first, last) = (day_of(first)?, day_of(last)?);
        let mut at = first;
        loop {
            if let Some(day) = days.get_mut(at) {
                *day = true;
            }
            if at == last {
                break;
            }
            at = (at + 1) % 7;
        }
    }
    Ok(days)
}

fn day_of(text: &str) -> Result<usize, WindowError> {
    let found = DAYS
        .iter()
        .position(|(name, _)| name.eq_ignore_ascii_case(text));
    found.ok_or_else(|| {
        WindowError(format!(
            "{text:?} is no day of the week (expected Mon to Sun)"
        ))
    })
}

/// Minutes after midnight; `24:00` is the end of a day.
fn time_of(text: &str, end: bool) -> Result<u16, WindowError> {
    let two = |part: &str| {
        let plain = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
        part.parse::<u16>().ok().filter(|_| plain)
    };
    text.split_once(':')
        .and_then(|(hour, minute)| Some((two(hour)?, two(minute)?)))
        .filter(|(hour, minute)| *hour < 24 && *minute < 60 || end && *hour == 24 && *minute == 0)
        .map(|(hour, minute)| hour * 60 + minute)
        .ok_or_else(|| WindowError(format!("{text:?} is no time of day from 00:00 to 23:59")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second()
    }

    fn open(window: &str, zone: &str, when: &str) -> bool {
        let (window, zone): (Window, Zone) = (window.parse().unwrap(), zone.parse().unwrap());
        window.is_open(at(when), &zone)
    }

    #[test]
    fn a_window_is_open_from_its_first_minute_to_before_its_last() {
        // 2026-11-26 is a Thursday
        for (window, when, wanted) in [
            ("02:00-05:00", "2026-11-26T01:59:59Z", false),
            ("02:00-05:00", "2026-11-26T02:00:00Z", true),
            ("02:00-05:00", "2026-11-26T04:59:59Z", true),
            ("02:00-05:00", "2026-11-26T05:00:00Z", false),
            ("Mon..Fri 02:00-05:00", "2026-11-28T03:00:00Z", false),
            ("Sat,Sun 02:00-05:00", "2026-11-28T03:00:00Z", true),
            ("fri..mon 02:00-05:00", "2026-11-29T03:00:00Z", true),
            ("fri..mon 02:00-05:00", "2026-11-25T03:00:00Z", false),
            ("Thu 22:00-02:00", "2026-11-27T01:59:00Z", true),
            ("Thu 22:00-02:00", "2026-11-26T01:59:00Z", false),
            ("Thu 22:00-24:00", "2026-11-26T23:59:00Z", true),
            ("Thu 22:00-24:00", "2026-11-27T00:00:00Z", false),
            ("00:00-24:00", "2026-11-27T00:00:00Z", true),
        ] {
            assert_eq!(open(window, "UTC", when), wanted, "{window} at {when}");
        }
    }

    #[test]
    fn the_wall_s_clock_of_the_zone_counts_also_when_it_is_changed() {
        for (when, wanted) in [
            ("2026-11-26T01:30:00Z", true),
            ("2026-07-01T00:30:00Z", true),
            ("2026-07-01T03:30:00Z", false),
        ] {
            assert_eq!(open("02:00-05:00", "Europe/Berlin", when), wanted, "{when}");
        }
        // on 2026-03-29 the wall has no 02:30 there: the window begins where the hour is skipped
        let (window, zone): (Window, Zone) = (
            "02:00-04:00".parse().unwrap(),
            "Europe/Berlin".parse().unwrap(),
        );
        let opens = window.next_open(at("2026-03-29T00:00:00Z"), &zone).unwrap();
        assert_eq!(opens, at("2026-03-29T01:00:00Z"));
    }

    #[test]
    fn the_next_opening_is_told() {
        let zone = Zone::utc();
        for (window, when, wanted) in [
            (
                "02:00-05:00",
                "2026-11-26T03:00:00Z",
                "2026-11-26T03:00:00Z",
            ),
            (
                "02:00-05:00",
                "2026-11-26T06:00:00Z",
                "2026-11-27T02:00:00Z",
            ),
            (
                "Mon 22:00-02:00",
                "2026-11-26T06:00:00Z",
                "2026-11-30T22:00:00Z",
            ),
            (
                "Thu 02:00-05:00",
                "2026-11-26T06:00:00Z",
                "2026-12-03T02:00:00Z",
            ),
        ] {
            let window: Window = window.parse().unwrap();
            assert_eq!(
                window.next_open(at(when), &zone),
                Some(at(wanted)),
                "{window}"
            );
        }
    }

    #[test]
    fn what_is_no_window_is_refused_with_its_reason() {
        for (text, why) in [
            ("", "is no window"),
            ("Mon Tue 02:00-05:00", "is no window"),
            ("Mo 02:00-05:00", "no day of the week"),
            ("02:00", "no span of time"),
            ("2:00-5:00", "no time of day"),
            ("24:00-05:00", "no time of day"),
            ("02:00-25:00", "no time of day"),
            ("02:00-02:00", "never open"),
        ] {
            let error = text.parse::<Window>().unwrap_err().to_string();
            assert!(error.contains(why), "{text:?}: {error}");
        }
        assert!("Mars/Olympus".parse::<Zone>().is_err());
    }
}
