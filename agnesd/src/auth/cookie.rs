//! The cookie of a browser's session: its text, and where it may come from.
//!
//! Always true: a cookie names a session and an epoch and is signed with `SESSION_SECRET`; whether the session is there is asked
//! of the directory at every request. Of what a request does by cookie alone the browser has to say that one of our own pages
//! asked for it, for a browser adds cookies to everybody's requests.
//!
//! Does not: set cookies (`sign_in` does).

use agnes_store::Id;
use aws_lc_rs::hmac;
use axum::http::header::{COOKIE, HOST, HeaderMap, ORIGIN};
use axum::http::{Method, Uri};

use super::secrets;
use crate::client_address::Way;

/// On plain HTTP.
pub(crate) const NAME: &str = "agnes_session";
/// Everywhere else: a browser takes it from this very host alone, and over TLS.
pub(crate) const HOST_NAME: &str = "__Host-agnes_session";

/// The cookie of a sign-in at an OpenID provider that is on its way.
pub(crate) const FLOW: &str = "agnes_oidc";
/// The same where it can be `Secure`.
pub(crate) const HOST_FLOW: &str = "__Host-agnes_oidc";

/// What a cookie says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claims {
    /// The session.
    pub(crate) sid: Id,
    /// The user's epoch when it was issued.
    pub(crate) epoch: i64,
}

/// The cookie's text under this key.
pub(super) fn sign(key: &hmac::Key, claims: Claims) -> String {
    let said = format!("{}.{}", claims.sid, claims.epoch);
    let mark = hmac::sign(key, said.as_bytes());
    format!("{said}.{}", secrets::hex(mark.as_ref()))
}

/// What a cookie says, if this key signed it.
pub(super) fn verify(key: &hmac::Key, text: &str) -> Option<Claims> {
    let (said, mark) = text.rsplit_once('.')?;
    let mark = unhex(mark)?;
    hmac::verify(key, said.as_bytes(), &mark).ok()?;
    let (sid, epoch) = said.split_once('.')?;
    Some(Claims {
        sid: sid.parse().ok()?,
        epoch: epoch.parse().ok()?,
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    // a digest's length, so that what is longer costs nothing
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let digits = (0..text.len()).step_by(2);
    let bytes = digits.map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok());
    bytes.collect()
}

/// Which of two names a cookie has: where TLS protects the way, only the one that this very host can have set counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Everything is on plain HTTP, as far as is known.
    Plain,
    /// `Secure`, with the prefix `__Host-`.
    Host,
}

impl Kind {
    /// For who came this way to a server that people reach at this address.
    pub(crate) fn of(way: Way, public_url: &str) -> Self {
        match way == Way::Https || public_url.starts_with("https:") {
            true => Self::Host,
            false => Self::Plain,
        }
    }
}

/// The text of our cookie among those that a browser sent.
pub(super) fn among(headers: &HeaderMap, kind: Kind) -> Option<&str> {
    find(
        headers,
        match kind {
            Kind::Plain => NAME,
            Kind::Host => HOST_NAME,
        },
    )
}

/// The same of the cookie of a flow.
pub(crate) fn flow_among(headers: &HeaderMap, kind: Kind) -> Option<&str> {
    find(
        headers,
        match kind {
            Kind::Plain => FLOW,
            Kind::Host => HOST_FLOW,
        },
    )
}

fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter();
    let texts = lines.filter_map(|line| line.to_str().ok());
    let mut pairs = texts.flat_map(|text| text.split(';'));
    let found = pairs.find_map(|pair| {
        let (found, value) = pair.trim().split_once('=')?;
        (found == name).then_some(value)
    });
    found.filter(|value| !value.is_empty())
}

/// Whether one of our own pages asked for this, as the browser says: a browser of today by `Sec-Fetch-Site`, an older one by
/// `Origin`. One that says neither is not believed.
pub(crate) fn is_of_our_own_page(headers: &HeaderMap, uri: &Uri, public_url: &str) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    headers.contains_key(ORIGIN) && !is_foreign(headers, uri, public_url)
}

/// Whether the browser says that somebody else's page asked for this.
pub(crate) fn is_foreign(headers: &HeaderMap, uri: &Uri, public_url: &str) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site != "same-origin" && site != "none";
    }
    let Some(origin) = headers.get(ORIGIN) else {
        return false;
    };
    let Ok(origin) = origin.to_str() else {
        return true;
    };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    // HTTP/2 has it in the address
    let host = uri.authority().map(|text| text.as_str()).or(host);
    let asked = origin.split_once("://").map(|(_, host)| host);
    origin != public_url && (asked.is_none() || asked != host)
}

/// Whether a request of this method changes nothing.
pub(crate) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: &[u8]) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, secret)
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_cookie_that_was_changed_or_signed_by_somebody_else_says_nothing() {
        let claims = Claims {
            sid: Id::new(),
            epoch: 7,
        };
        let text = sign(&key(b"one"), claims);
        assert_eq!(verify(&key(b"one"), &text), Some(claims));
        assert_eq!(verify(&key(b"two"), &text), None);
        let (said, mark) = text.rsplit_once('.').unwrap();
        let later = format!("{}.8.{mark}", claims.sid);
        for wrong in [
            "",
            ".",
            "..",
            &later,
            said,
            &format!("{said}."),
            &format!("{said}.ä{mark}"),
        ] {
            assert_eq!(verify(&key(b"one"), wrong), None, "{wrong}");
        }
    }

    #[test]
    fn where_tls_protects_the_way_only_the_cookie_that_this_host_set_counts() {
        for (line, plain, host) in [
            ("agnes_session=a", Some("a"), None),
            ("x=1; agnes_session=a; y=2", Some("a"), None),
            (
                "agnes_session=a; __Host-agnes_session=b",
                Some("a"),
                Some("b"),
            ),
            ("xagnes_session=a", None, None),
            ("agnes_session=", None, None),
            ("agnes_session", None, None),
            (";;=;", None, None),
        ] {
            let headers = headers(&[("cookie", line)]);
            assert_eq!(among(&headers, Kind::Plain), plain, "{line}");
            assert_eq!(among(&headers, Kind::Host), host, "{line}");
        }
        let mut two = headers(&[("cookie", "x=1"), ("cookie", "agnes_session=a")]);
        assert_eq!(among(&two, Kind::Plain), Some("a"));
        let bytes = axum::http::HeaderValue::from_bytes(b"agnes_session=\xff").unwrap();
        two.insert("cookie", bytes);
        assert_eq!(among(&two, Kind::Plain), None);
        for (way, url, kind) in [
            (Way::Http, "http://localhost:8000", Kind::Plain),
            (Way::Https, "http://localhost:8000", Kind::Host),
            (Way::Http, "https://agnes.example.com", Kind::Host),
        ] {
            assert_eq!(Kind::of(way, url), kind);
        }
    }

    #[test]
    fn a_page_of_somebody_else_is_told_from_ours() {
        let uri = Uri::from_static("/auth/tokens");
        let ours = "https://agnes.example.com";
        let host = ("host", "127.0.0.1:8000");
        type Said = &'static [(&'static str, &'static str)];
        let cases: [(Said, bool, bool); 12] = [
            (&[("sec-fetch-site", "same-origin")], true, false),
            (&[("sec-fetch-site", "none")], false, false),
            (&[("sec-fetch-site", "same-site")], false, true),
            (&[("sec-fetch-site", "cross-site")], false, true),
            // the first word counts
            (
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "https://agnes.example.com"),
                ],
                false,
                true,
            ),
            (&[("origin", "https://agnes.example.com")], true, false),
            (&[("origin", "http://127.0.0.1:8000")], true, false),
            (&[("origin", "http://127.0.0.1:8001")], false, true),
            (
                &[("origin", "https://agnes.example.com.example.net")],
                false,
                true,
            ),
            (&[("origin", "null")], false, true),
            (&[("origin", "")], false, true),
            (&[], false, false),
        ];
        for (said, of_ours, foreign) in cases {
            let all: Vec<_> = std::iter::once(host).chain(said.iter().copied()).collect();
            let headers = headers(&all);
            assert_eq!(
                is_of_our_own_page(&headers, &uri, ours),
                of_ours,
                "{said:?}"
            );
            assert_eq!(is_foreign(&headers, &uri, ours), foreign, "{said:?}");
        }
    }
}
