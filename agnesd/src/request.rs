//! What handlers take from a request: who asks and from where, a body, a query.
//!
//! Always true: what does not fit is answered with a problem document that does not repeat it. A body is an object: an array
//! is none, though it could be read as one without names.
//!
//! Does not: judge credentials (`auth` does, before any handler runs).

use std::convert::Infallible;

use agnes_store::audit::{By, Origin, Standing};
use axum::body::Bytes;
use axum::extract::rejection::{FormRejection, JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::auth::{Caller, Credential, Principal};
use crate::client_address::ClientAddress;
pub(crate) use crate::client_address::Way;
use crate::error::Problem;

mod id;

pub(crate) use id::RequestId;

/// Who asks, and from where.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    /// As the credential was judged.
    pub(crate) caller: Caller,
    /// For the audit log.
    pub(crate) origin: Origin,
}

impl Asker {
    /// From a request's head.
    pub(crate) fn of(parts: &Parts) -> Self {
        let extensions = &parts.extensions;
        let caller = extensions
            .get::<Caller>()
            .cloned()
            .unwrap_or(Caller::Anonymous);
        let actor = caller.principal().map_or("anonymous", |p| &p.user.email);
        let user_agent = parts.headers.get(USER_AGENT);
        let user_agent = user_agent.map(|value| String::from_utf8_lossy(value.as_bytes()));
        Self {
            origin: Origin {
                actor: actor.to_owned(),
                ip: extensions
                    .get::<ClientAddress>()
                    .map(|address| address.0.to_string())
                    .unwrap_or_default(),
                user_agent: user_agent.unwrap_or_default().into_owned(),
                request_id: extensions
                    .get::<RequestId>()
                    .map(|id| id.as_str().to_owned())
                    .unwrap_or_default(),
                process: None,
                standing: caller.principal().map(|principal| Standing {
                    user: principal.user.id,
                    epoch: principal.user.epoch,
                    by: match &principal.credential {
                        Credential::Session(id, _) => By::Session(*id),
                        Credential::Personal(token) => By::Token(token.id),
                        Credential::Scheduler(_) => By::Other,
                    },
                }),
            },
            caller,
        }
    }

    /// The principal; routes behind a gate have one.
    ///
    /// # Errors
    /// 401 where there is none.
    pub(crate) fn principal(&self) -> Result<&Principal, Problem> {
        self.caller
            .principal()
            .ok_or_else(|| Problem::unauthenticated(false))
    }
}

impl<S: Sync> FromRequestParts<S> for Asker {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

impl<S: Sync> FromRequestParts<S> for Principal {
    type Rejection = Problem;

    /// For handlers that write nothing and so need no origin.
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Caller>();
        let principal = caller.and_then(Caller::principal).cloned();
        principal.ok_or_else(|| Problem::unauthenticated(false))
    }
}

impl<S: Sync> FromRequestParts<S> for Way {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts
            .extensions
            .get::<Self>()
            .copied()
            .unwrap_or(Self::Http))
    }
}

/// A form that a page of ours sent.
#[derive(Debug)]
pub(crate) struct Fields<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Fields<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match axum::Form::from_request(request, state).await {
            Ok(axum::Form(fields)) => Ok(Self(fields)),
            Err(FormRejection::InvalidFormContentType(_)) => Err(Problem::limit(
                axum::http::StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body must be application/x-www-form-urlencoded",
            )),
            Err(FormRejection::FailedToDeserializeFormBody(_)) => Err(Problem::unprocessable(
                "the form lacks a field or has one of another kind",
            )),
            Err(other) => Err(Problem::limit(other.status(), "the form cannot be read")),
        }
    }
}

/// A JSON body.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = Bytes::from_request(Request::new(body), state)
            .await
            .map_err(|why| Problem::limit(why.status(), "the body cannot be read"))?;
        let is_object = bytes.trim_ascii_start().starts_with(b"{");
        let request = Request::from_parts(parts, bytes.into());
        match axum::Json::from_request(request, state).await {
            Ok(axum::Json(body)) if is_object => Ok(Self(body)),
            Ok(_) => Err(Problem::unprocessable("the body is no JSON object")),
            Err(JsonRejection::JsonSyntaxError(_)) => {
                Err(Problem::bad_request("the body is not JSON"))
            }
            Err(JsonRejection::JsonDataError(_)) => Err(Problem::unprocessable(
                "the body lacks a field or has one of another type",
            )),
            Err(JsonRejection::MissingJsonContentType(_)) => Err(Problem::limit(
                axum::http::StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body must be application/json",
            )),
            Err(other) => Err(Problem::limit(other.status(), "the body cannot be read")),
        }
    }
}

/// What stands behind the `?`.
#[derive(Debug)]
pub(crate) struct Params<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        query
            .map(|Query(params)| Self(params))
            .map_err(|_| Problem::bad_request("the query has a parameter that does not parse"))
    }
}
