//! When a job is due: `every 15m`, `daily 03:00`, `cron 0 5 * * 1`. All times are UTC.
//!
//! Always true: the next time is later than the one it was asked for, by at most 31 days (`every`), a day (`daily`) or
//! [`LONGEST_GAP_SECS`] (`cron`); a pattern that never comes is refused when it is read.
//!
//! Does not: look at a clock, know when a job ran.

use std::fmt;
use std::str::FromStr;

use chrono::DateTime;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

/// The longest time between two hits of a pattern: 29 February across a century that is no leap year.
pub const LONGEST_GAP_SECS: i64 = 2922 * DAY;

/// Nothing repeats faster.
const SHORTEST: i64 = 10;
/// Nor slower; `cron` says more about longer ones.
const LONGEST: i64 = 31 * DAY;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// 2024-02-28T00:00:00Z and 2096-03-01T00:00:00Z: the hit after each is looked for when a pattern is read.
const PROBES: [i64; 2] = [1_709_078_400, 3_981_312_000];

/// A schedule, and the text it was read from.
#[derive(Debug, Clone)]
pub struct Schedule {
    text: String,
    rule: Rule,
}

#[derive(Debug, Clone)]
enum Rule {
    /// Seconds from one start to the next.
    Every(i64),
    /// Seconds after midnight.
    Daily(i64),
    Cron(Box<Cron>),
}

/// Why a text is no schedule; on one line, with what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} (expected \"every 15m\", \"daily 03:00\" or \"cron 0 5 * * 1\", in UTC)")]
pub struct ScheduleError(String);

impl Schedule {
    /// The first time after `after` at which the job is due, both in seconds since 1970-01-01T00:00:00Z. `every` counts
    /// from `after`, which is then the last start.
    pub fn next(&self, after: i64) -> i64 {
        let wait = match &self.rule {
            Rule::Every(secs) => *secs,
            Rule::Daily(at) => match at - after.rem_euclid(DAY) {
                wait @ 1.. => wait,
                passed => passed + DAY,
            },
            // A clock beyond the calendar gets an answer too: tomorrow.
            Rule::Cron(cron) => hit(cron, after).map_or(DAY, |hit| hit.saturating_sub(after)),
        };
        after.saturating_add(wait)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Schedule {}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let rule = match words.as_slice() {
            ["every", interval] => every(interval),
            ["daily", time] => daily(time),
            ["cron", fields @ ..] => cron(fields),
            _ => Err(format!("{} is no schedule", shown(text))),
        };
        Ok(Self {
            text: words.join(" "),
            rule: rule.map_err(ScheduleError)?,
        })
    }
}

fn every(text: &str) -> Result<Rule, String> {
    let wrong = || format!("{} is no interval of s, m, h or d", shown(text));
    let unit = text.chars().last().ok_or_else(wrong)?;
    let factor = match unit {
        's' => 1,
        'm' => MINUTE,
        'h' => HOUR,
        'd' => DAY,
        _ => return Err(wrong()),
    };
    let number = text.strip_suffix(unit).and_then(digits).ok_or_else(wrong)?;
    match number.checked_mul(factor) {
        Some(secs) if secs < SHORTEST => Err(format!("{} is less than 10s", shown(text))),
        Some(secs) if secs <= LONGEST => Ok(Rule::Every(secs)),
        _ => Err(format!("{} is more than 31d", shown(text))),
    }
}

fn daily(text: &str) -> Result<Rule, String> {
    let two =
        |part: &str, below: i64| digits(part).filter(|number| part.len() == 2 && *number < below);
    text.split_once(':')
        .and_then(|(hour, minute)| Some(two(hour, 24)? * HOUR + two(minute, 60)? * MINUTE))
        .map(Rule::Daily)
        .ok_or_else(|| format!("{} is no time of day from 00:00 to 23:59", shown(text)))
}

fn cron(fields: &[&str]) -> Result<Rule, String> {
    if fields.len() != 5 {
        let count = fields.len();
        return Err(format!("a cron pattern has 5 fields, not {count}"));
    }
    if let Some(wrong) = fields.iter().find(|field| !is_plain(field)) {
        return Err(format!("{} is no field of a cron pattern", shown(wrong)));
    }
    let pattern = fields.join(" ");
    let parser = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build();
    let cron = parser
        .parse(&pattern)
        .map_err(|error| format!("{} is no cron pattern: {error}", shown(&pattern)))?;
    if PROBES.iter().any(|probe| hit(&cron, *probe).is_none()) {
        return Err(format!("{} never comes", shown(&pattern)));
    }
    Ok(Rule::Cron(Box::new(cron)))
}

/// Numbers, lists, ranges, steps and the names of days and months: what every cron knows. The letters of the dialects
/// (L, W, #, ?) mean different things in different ones.
fn is_plain(field: &str) -> bool {
    const NAMES: &[&str] = &[
        "SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "JAN", "FEB", "MAR", "APR", "MAY", "JUN",
        "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
    ];
    field.split([',', '-', '/']).all(|part| {
        part == "*"
            || digits(part).is_some()
            || NAMES.iter().any(|name| name.eq_ignore_ascii_case(part))
    })
}

fn hit(cron: &Cron, after: i64) -> Option<i64> {
    let start = DateTime::from_timestamp(after, 0)?;
    let hit = cron.find_next_occurrence(&start, false).ok()?.timestamp();
    (hit > after && hit.saturating_sub(after) <= LONGEST_GAP_SECS).then_some(hit)
}

fn digits(text: &str) -> Option<i64> {
    let sound = !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| sound)
}

fn shown(text: &str) -> String {
    let cut: String = text.chars().take(80).collect();
    format!("{cut:?}")
}

#[cfg(test)]
mod tests;
