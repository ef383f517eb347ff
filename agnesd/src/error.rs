//! The bodies of every answer that is not a success: RFC 9457 problem documents.
//!
//! Always true: the content type is `application/problem+json`, the status line and the `status` member agree, the request's
//! id is in it, and nothing that the client sent is repeated in a body. 401 carries `WWW-Authenticate`, 429 and a held write
//! `Retry-After`.
//!
//! Does not: decide when something is an error (routes do), log what a caller did wrong.

use std::borrow::Cow;
use std::io::ErrorKind;

use agnes_store::{Error, Fault};
use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::access::Denied;
use crate::auth::passwords;
use crate::files::Refused;
use crate::guard;

/// What a handler returns.
pub(crate) type Answer<T> = Result<T, Problem>;

/// One refused request (RFC 9457).
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Always `about:blank`: the status says what kind of problem it is.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "about:blank")]
    kind: Kind,
    /// The status in words.
    #[schema(value_type = String)]
    title: &'static str,
    /// The status as a number.
    #[serde(serialize_with = "as_number")]
    #[schema(value_type = u16)]
    status: StatusCode,
    /// What is wrong, for people.
    #[schema(value_type = String)]
    detail: Cow<'static, str>,
    /// What is wrong, for programs, where the status leaves that open.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    reason: Option<&'static str>,
    /// The role that is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    role: Option<&'static str>,
    /// Why the server wants no work.
    #[serde(skip_serializing_if = "no_reasons")]
    #[schema(value_type = Vec<String>)]
    reasons: Box<[&'static str]>,
    #[serde(skip)]
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The only kind of problem there is: the status says the rest.
#[derive(Debug, Clone, Copy, Serialize)]
enum Kind {
    #[serde(rename = "about:blank")]
    AboutBlank,
}

fn no_reasons(reasons: &[&'static str]) -> bool {
    reasons.is_empty()
}

/// After this many seconds a held write is worth another try.
const HELD_RETRY_SECS: u64 = 2;
/// A supervisor needs a moment to start the server again.
const LOST_RETRY_SECS: u64 = 10;

impl Problem {
    /// 404: no route has this address.
    pub(crate) fn no_such_route() -> Self {
        Self::of(StatusCode::NOT_FOUND, "nothing is served at this address")
    }

    /// 405: the address exists, the method does not.
    pub(crate) fn method_not_allowed() -> Self {
        Self::of(
            StatusCode::METHOD_NOT_ALLOWED,
            "this address does not take this method",
        )
    }

    /// 503: the server runs and wants no new work, for `reasons`.
    pub(crate) fn not_ready(reasons: Vec<&'static str>) -> Self {
        Self {
            reasons: reasons.into(),
            ..Self::of(
                StatusCode::SERVICE_UNAVAILABLE,
                "this server wants no new work",
            )
        }
    }

    /// 503: too many wait for the same thing.
    pub(crate) fn busy() -> Self {
        Self::of(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many sign-ins are waiting; come again",
        )
        .retry_after(5)
    }

    /// 503: as many watch as there is room for.
    pub(crate) fn too_many_watch() -> Self {
        Self::of(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many watch already; come again",
        )
        .retry_after(30)
    }

    /// 404: there is no such thing.
    pub(crate) fn not_found(detail: &'static str) -> Self {
        Self::of(StatusCode::NOT_FOUND, detail)
    }

    /// 409: it collides with what is there.
    pub(crate) fn conflict(detail: &'static str) -> Self {
        Self::of(StatusCode::CONFLICT, detail)
    }

    /// 422: the body is understood and cannot be done.
    pub(crate) fn unprocessable(detail: &'static str) -> Self {
        Self::of(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// 400: the request is not what the address takes.
    pub(crate) fn bad_request(detail: &'static str) -> Self {
        Self::of(StatusCode::BAD_REQUEST, detail)
    }

    /// 403: another site's page made a browser send this.
    pub(crate) fn cross_site() -> Self {
        Self::of(
            StatusCode::FORBIDDEN,
            "a browser's session changes nothing for a page of another site: Sec-Fetch-Site or Origin must say that it is ours",
        )
        .because("cross-site")
    }

    /// 403 for a stated reason.
    pub(crate) fn forbidden(detail: &'static str) -> Self {
        Self::of(StatusCode::FORBIDDEN, detail)
    }

    /// 401: what was shown does not sign anybody in.
    pub(crate) fn wrong_credentials() -> Self {
        Self::of(
            StatusCode::UNAUTHORIZED,
            "the credentials are not those of anybody who may sign in",
        )
        .challenge("Bearer realm=\"agnes\"")
    }

    /// 401: a credential is missing, or the one that was shown is not valid.
    pub(crate) fn unauthenticated(shown: bool) -> Self {
        let problem = Self::of(
            StatusCode::UNAUTHORIZED,
            if shown {
                "the credential is not valid: unknown, expired, revoked, or of a session that has ended"
            } else {
                "this address wants a bearer token"
            },
        );
        if shown {
            problem
                .because("session-invalid")
                .challenge("Bearer realm=\"agnes\", error=\"invalid_token\"")
        } else {
            problem
                .because("session-missing")
                .challenge("Bearer realm=\"agnes\"")
        }
    }

    /// 429: too often.
    pub(crate) fn too_many(detail: &'static str, retry_after_secs: u64) -> Self {
        Self::of(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(retry_after_secs)
    }

    /// 408: the body did not arrive in time.
    pub(crate) fn body_too_slow() -> Self {
        Self::of(
            StatusCode::REQUEST_TIMEOUT,
            "the request's body did not arrive in time",
        )
    }

    /// 413: the body is larger than this address takes.
    pub(crate) fn body_too_large() -> Self {
        Self::of(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the request's body is larger than this server takes",
        )
    }

    /// 414: the address itself is too long.
    pub(crate) fn url_too_long() -> Self {
        Self::of(StatusCode::URI_TOO_LONG, "the address is too long")
    }

    /// 431: too many bytes of header fields.
    pub(crate) fn header_too_large() -> Self {
        Self::of(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "the request's header fields are too large",
        )
    }

    /// A body that cannot be read.
    pub(crate) fn limit(status: StatusCode, detail: &'static str) -> Self {
        Self::of(status, detail)
    }

    /// 500: not the caller's fault; what it is stands in the log under the request's id.
    pub(crate) fn internal(why: &str) -> Self {
        tracing::error!("{why}");
        Self::of(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the server could not do this; its log says why",
        )
    }

    /// 507 or 503: the disk takes no write; which one it is stands in the log.
    fn disk(fault: Fault, why: &str) -> Self {
        tracing::error!("{why}");
        match fault {
            Fault::Full => Self::of(
                StatusCode::INSUFFICIENT_STORAGE,
                "the server's disk is full: nothing was written, reads go on",
            )
            .because("disk-full"),
            Fault::Unwritable => Self::of(
                StatusCode::SERVICE_UNAVAILABLE,
                "the server's disk takes no write: nothing was written, reads go on",
            )
            .because("disk-unwritable"),
        }
    }

    /// The same with more to say, in the server's own words: never with what a client sent.
    pub(crate) fn saying(mut self, more: impl AsRef<str>) -> Self {
        self.detail = Cow::Owned(format!("{}: {}", self.detail, more.as_ref()));
        self
    }

    /// What kind of problem it is.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// What is wrong, for people.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// Adds the headers that say more to those of a page.
    pub(crate) fn put_headers(self, headers: &mut HeaderMap) {
        headers.extend(self.headers);
    }

    /// The same with a word for programs.
    pub(crate) fn because(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    fn retry_after(self, secs: u64) -> Self {
        self.header(RETRY_AFTER, HeaderValue::from(secs))
    }

    fn challenge(self, challenge: &'static str) -> Self {
        self.header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    fn of(status: StatusCode, detail: &'static str) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self {
            kind: Kind::AboutBlank,
            title,
            status,
            detail: Cow::Borrowed(detail),
            reason: None,
            role: None,
            reasons: Box::default(),
            headers: Vec::new(),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound(what) => Self::not_found(match what {
                "user" => "there is no such user",
                "group" => "there is no such group",
                "role" => "there is no such role",
                "member" => "the user is not a member of this group",
                "token" => "there is no such token",
                "group mapping" => "there is no such group mapping",
                _ => "there is no such thing",
            }),
            Error::Exists(what) => Self::conflict(match what {
                "user" => "there is a user with this address already",
                "group" => "there is a group of this name already",
                "role" => "there is a role of this name already",
                "snapshot" => "there is a snapshot of this name already",
                _ => "this exists already",
            }),
            Error::AlreadyBootstrapped => Self::conflict("an administrator can sign in already")
                .because("already-bootstrapped"),
            Error::NotTheSeededAddress => {
                Self::forbidden("another address was chosen for the first administrator")
            }
            Error::LastAdmin => {
                Self::conflict("the last person who is an administrator and can sign in stays one")
                    .because("last-admin")
            }
            Error::BuiltIn(_) => {
                Self::conflict("this is part of the server and stays as it is").because("built-in")
            }
            Error::Invalid(why) => Self::unprocessable(why),
            Error::Credential => Self::wrong_credentials(),
            Error::Held(_) => Self::of(
                StatusCode::SERVICE_UNAVAILABLE,
                "writes are held for a moment; reads go on",
            )
            .because("writes-held")
            .retry_after(HELD_RETRY_SECS),
            Error::Closed => Self::not_ready(vec!["stopping"]).retry_after(HELD_RETRY_SECS),
            Error::Disk { fault, why } => Self::disk(fault, &why),
            Error::Lost(why) => {
                tracing::error!("{why}");
                Self::of(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the database has to be opened anew: this server stops and is started again; nothing was written",
                )
                .because("store-lost")
                .retry_after(LOST_RETRY_SECS)
            }
            Error::Engine(why) => Self::internal(&why),
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Missing => Self::not_found("there is no such file"),
            Refused::Busy => Self::of(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many files are being received; come again",
            )
            .because("uploads-busy")
            .retry_after(5),
            Refused::Store(why) => why.into(),
            Refused::Disk(why) => match why.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                    Self::disk(Fault::Full, &format!("files: {why}"))
                }
                ErrorKind::ReadOnlyFilesystem => {
                    Self::disk(Fault::Unwritable, &format!("files: {why}"))
                }
                _ => Self::internal(&format!("files: {why}")),
            },
        }
    }
}

impl From<passwords::Failed> for Problem {
    fn from(failed: passwords::Failed) -> Self {
        match failed {
            passwords::Failed::Busy => Self::busy(),
            passwords::Failed::Broken => Self::internal("argon2 failed"),
            passwords::Failed::Length => Self::unprocessable("a password has 12 to 128 characters")
                .because("password-length"),
        }
    }
}

impl From<guard::Refused> for Problem {
    fn from(refused: guard::Refused) -> Self {
        Self::unprocessable("the URL leads where this server does not go")
            .because(refused.reason.word())
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Unauthenticated => Self::unauthenticated(false),
            Denied::SessionRequired => {
                Self::forbidden("this takes a session that a person began, not a personal token")
                    .because("session-required")
            }
            Denied::Scheduler => {
                Self::forbidden("the scheduler may not do this").because("scheduler-refused")
            }
            Denied::Role(role) => Self {
                role: Some(role.unwrap_or("admin")),
                ..Self::forbidden("a role is missing").because("role-missing")
            },
            Denied::Scope(_) => {
                Self::forbidden("the token's scopes do not include this").because("scope-missing")
            }
        }
    }
}

impl IntoResponse for Problem {
    /// Without a request id: [`finish`] puts it in.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        write(&mut response, &self, None);
        response.headers_mut().extend(self.headers.iter().cloned());
        response.extensions_mut().insert(self);
        response
    }
}

/// The last hand on every answer: problem documents get the request's id, and an error that a framework put into plain
/// words, or into none, becomes a problem document. Pages for people stay as they are.
pub(crate) fn finish(mut response: Response, request_id: &str) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let made_here = response.extensions_mut().remove::<Problem>();
    let in_plain_words = || {
        response
            .headers()
            .get(CONTENT_TYPE)
            .is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"))
    };
    let problem = match made_here {
        Some(problem) => problem,
        None if in_plain_words() => Problem::of(status, "this server does not take the request"),
        None => return response,
    };
    write(&mut response, &problem, Some(request_id));
    response
}

/// A problem and whom it concerns.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    problem: &'a Problem,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

/// Replaces the body; headers that say more (`Allow`, `Retry-After`, `WWW-Authenticate`) stay.
fn write(response: &mut Response, problem: &Problem, request_id: Option<&str>) {
    let document = Document {
        problem,
        request_id,
    };
    // strings and a number: there is nothing in it that JSON cannot say
    *response.body_mut() = Body::from(serde_json::to_vec(&document).unwrap_or_default());
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

fn as_number<S: serde::Serializer>(status: &StatusCode, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_u16(status.as_u16())
}
