//! Which snapshots may go.
//!
//! Always true: the newest proven one stays (S03); what nobody has looked at stays; what was found damaged is bounded by itself, so
//! that it never pushes a good one out.
//!
//! Does not: look at anything.

use time::{Duration, OffsetDateTime};

use super::proven::Standing;

/// So many that were found damaged are kept, to be looked at.
const KEPT_DAMAGED: usize = 3;

/// A snapshot as retention sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aged {
    /// Its name.
    pub id: String,
    /// When it was made.
    pub at: OffsetDateTime,
    /// How it stands.
    pub standing: Standing,
}

/// The rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// At least so many proven ones, however old.
    pub keep_last: u32,
    /// Those that are younger.
    pub keep_days: u32,
}

/// The names of those that may go, the oldest first.
pub fn surplus(snapshots: &[Aged], rule: Rule, now: OffsetDateTime) -> Vec<String> {
    let mut newest_first: Vec<&Aged> = snapshots.iter().collect();
    newest_first.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
    let young = |one: &Aged| now - one.at < Duration::days(i64::from(rule.keep_days));
    let keep_last = usize::try_from(rule.keep_last.max(1)).unwrap_or(usize::MAX);
    let (mut proven, mut damaged) = (0, 0);
    let mut gone = Vec::new();
    for one in newest_first {
        let stays = match one.standing {
            Standing::Proven(_) => {
                proven += 1;
                proven <= keep_last || young(one)
            }
            Standing::Failed => {
                damaged += 1;
                damaged <= KEPT_DAMAGED
            }
            Standing::Unknown => true,
        };
        if !stays {
            gone.push(one.id.clone());
        }
    }
    gone.reverse();
    gone
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-26 12:00 UTC);

    fn made(days_ago: i64, standing: Standing) -> Aged {
        Aged {
            id: format!("{days_ago:03}"),
            at: NOW - Duration::days(days_ago),
            standing,
        }
    }

    fn proven(days_ago: i64) -> Aged {
        made(days_ago, Standing::Proven(NOW))
    }

    #[test]
    fn s03_a_week_of_failures_never_deletes_the_last_good_one() {
        let rule = Rule {
            keep_last: 0,
            keep_days: 0,
        };
        let mut all = vec![proven(40), proven(41)];
        all.extend((0..7).map(|day| made(day, Standing::Failed)));
        let gone = surplus(&all, rule, NOW);
        assert_eq!(gone, ["041", "006", "005", "004", "003"]);
    }

    #[test]
    fn what_is_young_or_among_the_last_stays_and_what_is_unknown_always_does() {
        let rule = Rule {
            keep_last: 2,
            keep_days: 30,
        };
        let all = [
            proven(1),
            made(2, Standing::Unknown),
            proven(29),
            proven(31),
            made(90, Standing::Unknown),
        ];
        assert_eq!(surplus(&all, rule, NOW), ["031"]);
        let old = [proven(40), proven(50), proven(60)];
        assert_eq!(surplus(&old, rule, NOW), ["060"]);
        // a clock that was put back makes nothing old
        let future = [proven(-1), proven(-2), proven(-3)];
        assert_eq!(surplus(&future, rule, NOW), Vec::<String>::new());
    }
}
