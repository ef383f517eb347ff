//! Where bytes are fetched from.
//!
//! Always true: the input is a whole location; it is also put behind userinfo and before a query that must never be shown.
//!
//! Does not: fetch.

use agnes_config::SourceUrl;

const SECRET: &str = "zq7Hush";

/// # Panics
/// When a promise of `agnes_config::source_url` does not hold.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    one(text);
    if text.contains(SECRET) {
        return;
    }
    let behind = text.split_once("://").map_or(text, |(_, behind)| behind);
    for scheme in ["https", "sm", "gs", "file", "ftp"] {
        for with_secret in [
            format!("{scheme}://user:{SECRET}@{behind}"),
            format!("{scheme}://{SECRET}@{behind}"),
            format!("{scheme}://{behind}?token={SECRET}"),
            format!("{scheme}://{behind}#{SECRET}@"),
        ] {
            let said = one(&with_secret);
            assert!(
                !said.contains(SECRET),
                "{with_secret:?} is shown as {said:?}"
            );
        }
    }
}

/// Everything that may be logged of it.
fn one(text: &str) -> String {
    let url = match text.parse::<SourceUrl>() {
        Ok(url) => url,
        Err(why) => {
            let said = why.to_string();
            assert!(!said.chars().any(char::is_control), "{said:?}");
            assert!(said.len() < 2_000, "the whole text is repeated");
            return said;
        }
    };
    let shown = url.to_string();
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
    let again = shown.parse::<SourceUrl>();
    match &url {
        SourceUrl::Https(_) => {
            assert!(!shown.contains('?') && !shown.contains('#'), "{shown:?}");
            assert!(again.is_ok(), "{shown:?}");
        }
        _ => assert_eq!(again.as_ref(), Ok(&url)),
    }
    format!("{shown} {url:?}")
}
