//! One name for each request: in the answer's `x-request-id`, in problem documents, in audit rows and the log.
//!
//! Always true: it is ours, a UUID of version 7, unless a trusted proxy sent one that is short and plain; so it can be
//! written anywhere as it is.
//!
//! Does not: take a client's word.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

const HEADER: HeaderName = HeaderName::from_static("x-request-id");
const LONGEST: usize = 64;

/// The id of one request. An extension of every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// A new id, or the one in `headers` if a trusted proxy (`trusted`) sent one that is fit.
    pub(crate) fn of(headers: &HeaderMap, trusted: bool) -> Self {
        let mut sent = headers.get_all(HEADER).iter();
        match (sent.next(), sent.next()) {
            (Some(one), None) if trusted && is_fit(one.as_bytes()) => Self(one.clone()),
            _ => Self::new(),
        }
    }

    fn new() -> Self {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let text = Uuid::now_v7().hyphenated().encode_lower(&mut text);
        Self(HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("-")))
    }

    /// 1 to 64 characters of `[A-Za-z0-9._-]`.
    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    pub(crate) fn set(self, headers: &mut HeaderMap) {
        headers.insert(HEADER, self.0);
    }
}

fn is_fit(sent: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    (1..=LONGEST).contains(&sent.len()) && sent.iter().all(plain)
}
