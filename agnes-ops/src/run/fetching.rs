//! What a fetch needs to know of the settings and of the environment.
//!
//! Always true: values in, values out.
//!
//! Does not: fetch.

use std::path::PathBuf;

use agnes_config::Settings;

use super::Environment;
use crate::fetch;

pub(super) fn fetch_options(settings: &Settings, environment: &Environment) -> fetch::Options {
    let endpoint = |url: &Option<url::Url>| {
        url.as_ref()
            .map(|url| url.as_str().trim_end_matches('/').to_owned())
    };
    fetch::Options {
        connect_timeout: settings.fetch.connect_timeout,
        timeout: settings.fetch.timeout,
        max_bytes: settings.fetch.max_bytes,
        ca_bundle: settings.tls.ca_bundle.clone(),
        sm_endpoint: endpoint(&settings.fetch.sm_endpoint),
        gcs_endpoint: endpoint(&settings.fetch.gcs_endpoint),
        google_project: settings.fetch.google_project.clone(),
        environment: google(environment),
    }
}

/// What says whether this is a Google machine, and where its credentials are.
pub(super) fn google(environment: &Environment) -> fetch::Environment {
    let path = |name| environment.get(name).map(PathBuf::from);
    fetch::Environment {
        google_application_credentials: path("GOOGLE_APPLICATION_CREDENTIALS"),
        gce_metadata_host: environment.get("GCE_METADATA_HOST").map(str::to_owned),
        home: path("HOME"),
        ..fetch::Environment::default()
    }
}
