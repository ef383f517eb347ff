//! What administrators set while the server runs.
//!
//! Always true: a URL is taken only after the address guard has looked at every address that it leads to.
//!
//! Does not: show a URL's user or query to anybody but administrators.

use std::sync::Arc;

use agnes_store::settings::Setting;
use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use url::Url;
use utoipa::ToSchema;

use super::List;
use crate::app::App;
use crate::error::{Answer, Problem};
use crate::request::{Asker, Body};

/// The keys there are. All are URLs.
const KEYS: [&str; 2] = ["data_source_url", "alert_webhook_url"];

/// A value that is wanted.
#[derive(Deserialize, ToSchema)]
#[schema(as = SettingValue)]
pub(crate) struct Wanted {
    /// An absolute http or https URL; empty: not set.
    value: String,
}

/// A setting as administrators see it.
#[derive(Serialize, ToSchema)]
#[schema(as = Setting)]
pub(crate) struct Shown {
    /// Its name.
    key: String,
    /// Its value; empty: not set.
    value: String,
    /// When it was set.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    updated_at: Option<OffsetDateTime>,
    /// By whom.
    updated_by: Option<String>,
}

impl Shown {
    fn of(key: &str, setting: Option<&Arc<Setting>>) -> Self {
        Self {
            key: key.to_owned(),
            value: setting.map(|s| s.value.clone()).unwrap_or_default(),
            updated_at: setting.map(|s| s.updated_at),
            updated_by: setting.map(|s| s.updated_by.clone()),
        }
    }
}

fn known(key: &str) -> Answer<()> {
    if KEYS.contains(&key) {
        Ok(())
    } else {
        Err(Problem::not_found("there is no such setting"))
    }
}

/// All settings.
#[utoipa::path(get, path = "/api/admin/config", responses((status = 200, body = List<Shown>)))]
pub(crate) async fn list(State(app): State<Arc<App>>) -> Json<List<Shown>> {
    let directory = app.store.directory();
    let shown = KEYS
        .iter()
        .map(|key| Shown::of(key, directory.setting(key)));
    Json(List::whole(shown.collect()))
}

/// One setting.
#[utoipa::path(get, path = "/api/admin/config/{key}", params(("key" = String, Path)), responses(
    (status = 200, body = Shown), (status = 404, body = Problem),
))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Path(key): Path<String>,
) -> Answer<Json<Shown>> {
    known(&key)?;
    Ok(Json(Shown::of(&key, app.store.directory().setting(&key))))
}

/// Sets one.
#[utoipa::path(put, path = "/api/admin/config/{key}", params(("key" = String, Path)), request_body = Wanted, responses(
    (status = 200, body = Shown), (status = 404, body = Problem), (status = 422, body = Problem),
))]
pub(crate) async fn set(
    State(app): State<Arc<App>>,
    asker: Asker,
    Path(key): Path<String>,
    Body(wanted): Body<Wanted>,
) -> Answer<Json<Shown>> {
    known(&key)?;
    let mut value = wanted.value;
    if !value.is_empty() {
        let url = Url::parse(&value)
            .map_err(|_| Problem::unprocessable("the value is no absolute URL"))?;
        app.guard.vet(&url).await?;
        // as it was judged: another reader might find another host in what was written
        value = url.into();
    }
    let setting = app.store.set_setting(asker.origin, &key, value).await?;
    Ok(Json(Shown::of(&key, Some(&setting))))
}
