//! Bringing a file: as a form, or as the body itself.
//!
//! Always true: what arrives goes to the disk as it comes; a file is published whole, or nothing is left of it. A name is
//! checked before a byte of the file is taken.
//!
//! Does not: look into files.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use agnes_store::Error as StoreError;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, ETAG, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::Body as HttpBody;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::form::{Form, FormFile};
use super::{Shown, event};
use crate::app::App;
use crate::error::{Answer, Problem};
use crate::files::{DataId, PUBLISHED, Part, Stored};
use crate::request::{Asker, Params};

/// What stands behind the `?`.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// What the file is to be called: a letter or digit, then at most 127 letters, digits, `.`, `_` and `-`. A form's file has a
    /// name of its own, which counts where this one is not given.
    name: Option<String>,
}

/// The most that stands around the file in a form, in bytes: more is refused at the edge.
const AROUND: u64 = 64 << 10;

/// A form with one file.
#[derive(ToSchema)]
#[schema(as = Upload)]
#[expect(dead_code, reason = "only described: the form is read part by part")]
pub(crate) struct Described {
    /// The file, with its name.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// The file itself.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "only described: the body is read as it comes")]
pub(crate) struct Raw(Vec<u8>);

/// Takes a file and publishes it under its name, in place of what is there.
#[utoipa::path(post, path = "/api/uploads", params(Wanted), request_body(content(
    (Described = "multipart/form-data"), (Raw = "application/octet-stream"),
)), responses(
    (status = 200, description = "It is published, in place of an older one", body = Shown),
    (status = 201, description = "It is published", body = Shown),
    (status = 400, description = "The form or the query is broken, or the body ended early", body = Problem),
    (status = 408, description = "The body did not go on in time", body = Problem),
    (status = 413, description = "The file is larger than this server takes", body = Problem),
    (status = 415, description = "The body is neither a form nor application/octet-stream", body = Problem),
    (status = 422, description = "There is no name, or one that no file can have; or no file or several", body = Problem),
    (status = 507, description = "There is no room for it", body = Problem),
))]
pub(crate) async fn receive(
    State(app): State<Arc<App>>,
    asker: Asker,
    Params(wanted): Params<Wanted>,
    request: Request,
) -> Answer<Response> {
    // before gigabytes were sent for nothing; what counts is what is held when it is published
    if let Some(hold) = app.store.held() {
        app.metrics.held_write_refused();
        return Err(StoreError::Held(hold).into());
    }
    let (parts, body) = request.into_parts();
    let kind = parts
        .headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let _share = app.files.share(asker.principal()?.user.id).await?;
    let kind = kind.unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    let (id, part) = if essence.eq_ignore_ascii_case("multipart/form-data") {
        from_form(&app, wanted.name.as_deref(), kind, body).await?
    } else if essence.eq_ignore_ascii_case("application/octet-stream") {
        let name = wanted.name.as_deref();
        let id = checked(name.ok_or_else(|| unnamed("the query has no name"))?)?;
        let part = take(&app, length(&body), &mut Source::Raw(body)).await?;
        (id, part)
    } else {
        return Err(Problem::limit(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body must be multipart/form-data or application/octet-stream",
        ));
    };
    publish(app, asker, id, part).await
}

/// To its end, also when the caller goes away: between the file and its row nothing may stop.
async fn publish(app: Arc<App>, asker: Asker, id: DataId, part: Part) -> Answer<Response> {
    let published = tokio::spawn(async move {
        let tell = |stored: &Stored, before: Option<&Stored>| {
            let mut event = event(PUBLISHED, stored);
            if let Some(before) = before {
                event = event.with("replaced_sha256", before.name.sha256.clone());
            }
            app.store.record_act(asker.origin, event)
        };
        app.files.publish(id, part, tell).await
    });
    let (stored, before) = published
        .await
        .map_err(|crash| Problem::internal(&format!("files: publish: {crash}")))??;
    let status = match before {
        Some(_) => StatusCode::OK,
        None => StatusCode::CREATED,
    };
    let mut response = (status, Json(Shown::from(&*stored))).into_response();
    // both of letters, digits and a few signs
    let location = format!("/api/data/{}/download", stored.name.id);
    let tag = format!("\"{}\"", stored.name.sha256);
    let headers = response.headers_mut();
    headers.extend(HeaderValue::try_from(location).map(|value| (LOCATION, value)));
    headers.extend(HeaderValue::try_from(tag).map(|value| (ETAG, value)));
    Ok(response)
}

async fn from_form(
    app: &App,
    name: Option<&str>,
    kind: &str,
    body: Body,
) -> Answer<(DataId, Part)> {
    // what stands around the file is little: enough to see that there is no room for it
    let expected = length(&body).saturating_sub(AROUND);
    let mut form = Form::of(kind, body)?;
    let none = || Problem::unprocessable("the form has no file").because("no-file");
    let file = form.file().await?.ok_or_else(none)?;
    let id = match name {
        Some(name) => checked(name)?,
        None => checked(file.name().unwrap_or_default())?,
    };
    let part = take(app, expected, &mut Source::Form(Box::new(file))).await?;
    // what comes behind is read, so that a form that was cut off is told from one that has ended
    match form.file().await? {
        None => Ok((id, part)),
        Some(_) => {
            Err(Problem::unprocessable("the form has more than one file").because("several-files"))
        }
    }
}

/// Where a file comes from.
enum Source {
    Raw(Body),
    Form(Box<FormFile>),
}

impl Source {
    /// More of it; `None` at its end.
    async fn next(&mut self) -> Answer<Option<Bytes>> {
        match self {
            Self::Form(file) => file.chunk().await,
            Self::Raw(body) => loop {
                let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await;
                let Some(frame) = frame else {
                    return Ok(None);
                };
                let frame = frame.map_err(|_| Problem::bad_request("the body is not complete"))?;
                // trailers say nothing
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            },
        }
    }
}

/// All of it, on the disk; `expected` bytes or more.
async fn take(app: &App, expected: u64, source: &mut Source) -> Answer<Part> {
    let most = app.settings.server.max_upload;
    if expected > most {
        return Err(Problem::body_too_large());
    }
    let mut part = app.files.begin(expected).await?;
    while let Some(data) = source.next().await? {
        if part.bytes() + data.len() as u64 > most {
            return Err(Problem::body_too_large());
        }
        app.metrics.file_bytes("in", data.len() as u64);
        part.write(&data)
            .await
            .map_err(crate::files::Refused::from)?;
    }
    Ok(part)
}

/// What the client says that it sends; 0 where it does not say.
fn length(body: &Body) -> u64 {
    body.size_hint().lower()
}

fn checked(name: &str) -> Answer<DataId> {
    name.parse().map_err(|_| {
        unnamed("a name is a letter or digit, then at most 127 letters, digits, '.', '_' or '-'")
    })
}

fn unnamed(why: &'static str) -> Problem {
    Problem::unprocessable(why).because("bad-name")
}
