//! The bodies of every answer that is not a success: RFC 9457 problem documents.
//!
//! Always true: the content type is `application/problem+json`, the status line and the `status` member agree, the request's
//! id is in it, and nothing that the client sent is repeated in a body. 401 carries `WWW-Authenticate`, 429 and a held write
//! `Retry-After`.
//!
//! Does not: decide when something is an error (routes do), log what a caller did wrong.

use agnes_store::Error;
use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::access::Denied;
use crate::auth::passwords;

/// What a handler returns.
pub(crate) type Answer<T> = Result<T, Problem>;

/// One refused request (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Always `about:blank`: the status says what kind of problem it is.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "about:blank")]
    kind: &'static str,
    /// The status in words.
    #[schema(value_type = String)]
    title: &'static str,
    /// The status as a number.
    #[serde(serialize_with = "as_number")]
    #[schema(value_type = u16)]
    status: StatusCode,
    /// What is wrong, for people.
    #[schema(value_type = String)]
    detail: &'static str,
    /// What is wrong, for programs, where the status leaves that open.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    reason: Option<&'static str>,
    /// The role that is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    role: Option<&'static str>,
    /// Why the server wants no work.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    reasons: Vec<&'static str>,
    /// The request's id, also in the header `x-request-id`.
    #[serde(skip_serializing_if = "String::is_empty")]
    request_id: String,
    #[serde(skip)]
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// After this many seconds a held write is worth another try.
const HELD_RETRY_SECS: u64 = 2;

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
            reasons,
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

    /// 413, 414, 408, 431: the request is larger or slower than is taken.
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

    /// The same with a word for programs.
    pub(crate) fn because(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// The same with the id of the request.
    pub(crate) fn in_request(mut self, id: &str) -> Self {
        id.clone_into(&mut self.request_id);
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
            kind: "about:blank",
            title,
            status,
            detail,
            reason: None,
            role: None,
            reasons: Vec::new(),
            request_id: String::new(),
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
                _ => "there is no such thing",
            }),
            Error::Exists(what) => Self::conflict(match what {
                "user" => "there is a user with this address already",
                "group" => "there is a group of this name already",
                "role" => "there is a role of this name already",
                _ => "this exists already",
            }),
            Error::AlreadyBootstrapped => {
                Self::conflict("an administrator can sign in already").because("already-bootstrapped")
            }
            Error::NotTheSeededAddress => {
                Self::forbidden("another address was chosen for the first administrator")
            }
            Error::LastAdmin => Self::conflict(
                "the last person who is an administrator and can sign in stays one",
            )
            .because("last-admin"),
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
            Error::Engine(why) => Self::internal(&why),
        }
    }
}

impl From<passwords::Failed> for Problem {
    fn from(failed: passwords::Failed) -> Self {
        match failed {
            passwords::Failed::Busy => Self::busy(),
            passwords::Failed::Broken => Self::internal("argon2 failed"),
            passwords::Failed::Length => {
                Self::unprocessable("a password has 12 to 128 characters").because("password-length")
            }
        }
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Unauthenticated => Self::unauthenticated(false),
            Denied::SessionRequired => Self::forbidden(
                "this takes a session that a person began, not a personal token",
            )
            .because("session-required"),
            Denied::Scheduler => Self::forbidden("the scheduler may not do this")
                .because("scheduler-refused"),
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
    fn into_response(mut self) -> Response {
        let status = self.status;
        let own = std::mem::take(&mut self.headers);
        let mut response = (status, axum::Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(own);
        response
    }
}

fn as_number<S: serde::Serializer>(status: &StatusCode, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_u16(status.as_u16())
}
