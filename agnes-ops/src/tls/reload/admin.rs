//! Caddy's admin API: load the running configuration again.
//!
//! Always true: the configuration is the one Caddy itself reports; nothing of it is changed.
//!
//! Does not: speak to an admin endpoint that needs a client certificate.

use std::time::Duration;

use crate::compose::Missing;

/// `GET /config/`, then `POST /load` of the same bytes, forced.
pub fn load_again(url: &url::Url, deadline: Duration) -> Result<(), Missing> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Missing::Failed(error.to_string()))?;
    runtime.block_on(async {
        let client = reqwest::Client::builder()
            .timeout(deadline)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(failed)?;
        let config = client
            .get(join(url, "config/")?)
            .send()
            .await
            .map_err(|error| {
                if error.is_connect() {
                    Missing::Absent("no admin endpoint answers".into())
                } else {
                    failed(error)
                }
            })?;
        let config = config
            .error_for_status()
            .map_err(failed)?
            .bytes()
            .await
            .map_err(failed)?;
        if config.is_empty() || config.trim_ascii() == b"null" {
            return Err(Missing::Failed("it reports no configuration".into()));
        }
        let answer = client
            .post(join(url, "load")?)
            .header("Content-Type", "application/json")
            // without this Caddy takes an unchanged configuration for no work, and keeps its certificates
            .header("Cache-Control", "must-revalidate")
            .body(config)
            .send()
            .await
            .map_err(failed)?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(Missing::Failed(format!(
                "it answered HTTP {}",
                status.as_u16()
            ))),
        }
    })
}

fn join(url: &url::Url, path: &str) -> Result<url::Url, Missing> {
    let mut base = url.clone();
    if !base.path().ends_with('/') {
        base.set_path(&format!("{}/", url.path()));
    }
    base.join(path)
        .map_err(|error| Missing::Failed(error.to_string()))
}

fn failed(error: reqwest::Error) -> Missing {
    Missing::Failed(error.without_url().to_string())
}
