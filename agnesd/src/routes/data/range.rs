//! Which part of a file is asked for (RFC 9110, sections 13 and 14).
//!
//! Always true: a part that is given lies within the file and is not empty. What cannot be understood, and several ranges at
//! once, ask for the whole file, as the RFC allows.
//!
//! Does not: know of dates: an `If-Range` with one asks for the whole file.

use axum::http::HeaderMap;
use axum::http::header::{IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE};

/// What to answer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it.
    Whole,
    /// From the first to the last of these bytes, counted from 0.
    Part { first: u64, last: u64 },
    /// 416: no byte of the file.
    Nothing,
    /// 304: the caller has it.
    NotModified,
    /// 412: the caller wants another content.
    Other,
}

impl Wanted {
    /// What `headers` ask for of a file of this many bytes; `tag` is its entity tag.
    pub(super) fn of(headers: &HeaderMap, tag: &str, bytes: u64) -> Self {
        if headers.contains_key(IF_MATCH) && !lists(headers, &IF_MATCH, tag, Weak::Differ) {
            return Self::Other;
        }
        if lists(headers, &IF_NONE_MATCH, tag, Weak::Match) {
            return Self::NotModified;
        }
        let same = headers
            .get(IF_RANGE)
            .is_none_or(|wanted| wanted.as_bytes() == tag.as_bytes());
        let mut ranges = headers.get_all(RANGE).iter();
        match (ranges.next(), ranges.next()) {
            (Some(range), None) if same => range
                .to_str()
                .ok()
                .and_then(|text| part(text, bytes))
                .unwrap_or(Self::Whole),
            _ => Self::Whole,
        }
    }
}

/// Whether a weak tag may stand for the strong one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weak {
    Match,
    Differ,
}

fn lists(headers: &HeaderMap, name: &axum::http::HeaderName, tag: &str, weak: Weak) -> bool {
    // our tags have no comma: one that has is none of them, wherever it is cut
    let listed = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    listed.map(str::trim).any(|one| {
        let plain = one.strip_prefix("W/").filter(|_| weak == Weak::Match);
        one == "*" || plain.unwrap_or(one) == tag
    })
}

/// `None`: not understood, or several.
fn part(text: &str, bytes: u64) -> Option<Wanted> {
    let (unit, range) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = range.trim().split_once('-')?;
    let end = bytes.checked_sub(1);
    Some(match (first.trim(), last.trim()) {
        ("", last) => match (number(last)?, end) {
            (0, _) | (_, None) => Wanted::Nothing,
            (count, Some(end)) => Wanted::Part {
                first: bytes.saturating_sub(count),
                last: end,
            },
        },
        (first, last) => {
            let first = number(first)?;
            let last = if last.is_empty() {
                u64::MAX
            } else {
                number(last)?
            };
            if last < first {
                return None;
            }
            match end {
                Some(end) if first <= end => Wanted::Part {
                    first,
                    last: last.min(end),
                },
                _ => Wanted::Nothing,
            }
        }
    })
}

/// Digits alone; one that no file reaches is the largest there is.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    const TAG: &str = "\"abc\"";

    fn asked(headers: &[(HeaderName, &str)], bytes: u64) -> Wanted {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        Wanted::of(&map, TAG, bytes)
    }

    fn bytes(first: u64, last: u64) -> Wanted {
        Wanted::Part { first, last }
    }

    #[test]
    fn ranges() {
        for (range, wanted) in [
            ("bytes=0-0", bytes(0, 0)),
            ("bytes=0-", bytes(0, 9)),
            ("bytes=3-5", bytes(3, 5)),
            ("Bytes = 3 - 5", bytes(3, 5)),
            ("bytes=9-9", bytes(9, 9)),
            ("bytes=9-100", bytes(9, 9)),
            ("bytes=-1", bytes(9, 9)),
            ("bytes=-10", bytes(0, 9)),
            ("bytes=-11", bytes(0, 9)),
            ("bytes=0-99999999999999999999999", bytes(0, 9)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=10-11", Wanted::Nothing),
            ("bytes=99999999999999999999999-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=5-3", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=", Wanted::Whole),
            ("bytes", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("lines=0-1", Wanted::Whole),
            ("", Wanted::Whole),
        ] {
            assert_eq!(asked(&[(RANGE, range)], 10), wanted, "{range}");
        }
        for range in ["bytes=0-", "bytes=-1", "bytes=0-0"] {
            assert_eq!(
                asked(&[(RANGE, range)], 0),
                Wanted::Nothing,
                "{range} of nothing"
            );
        }
        let twice = [(RANGE, "bytes=0-1"), (RANGE, "bytes=3-4")];
        assert_eq!(asked(&twice, 10), Wanted::Whole);
    }

    #[test]
    fn conditions() {
        let range = (RANGE, "bytes=0-1");
        for (name, value, wanted) in [
            (IF_NONE_MATCH, TAG, Wanted::NotModified),
            (IF_NONE_MATCH, "W/\"abc\"", Wanted::NotModified),
            (IF_NONE_MATCH, "\"x\", \"abc\"", Wanted::NotModified),
            (IF_NONE_MATCH, "*", Wanted::NotModified),
            (IF_NONE_MATCH, "\"x\"", bytes(0, 1)),
            (IF_NONE_MATCH, "abc", bytes(0, 1)),
            (IF_MATCH, TAG, bytes(0, 1)),
            (IF_MATCH, "*", bytes(0, 1)),
            (IF_MATCH, "W/\"abc\"", Wanted::Other),
            (IF_MATCH, "\"x\"", Wanted::Other),
            (IF_RANGE, TAG, bytes(0, 1)),
            (IF_RANGE, "W/\"abc\"", Wanted::Whole),
            (IF_RANGE, "\"x\"", Wanted::Whole),
            (IF_RANGE, "Sat, 29 Oct 1994 19:43:31 GMT", Wanted::Whole),
        ] {
            let headers = [(name.clone(), value), range.clone()];
            assert_eq!(asked(&headers, 10), wanted, "{name}: {value}");
        }
    }

    proptest! {
        #[test]
        fn a_part_lies_within_the_file(text in "bytes=[0-9]{0,22}-[0-9]{0,22}|[ -~]{0,40}", length: u64) {
            if let Wanted::Part { first, last } = asked(&[(RANGE, &text)], length) {
                prop_assert!(first <= last && last < length);
            }
        }
    }
}
