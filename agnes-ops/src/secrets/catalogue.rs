//! Which secrets there are: the server's own, those of `[secrets.NAME]`, and those that `.env` names by reference.
//!
//! Always true: each stands once, in the order of names.
//!
//! Does not: read values.

use std::collections::BTreeMap;

use agnes_config::{Runtime, Settings, SourceUrl, env_keys};

use super::env_file::EnvFile;

/// What the server cannot do without, made on the host when nobody says otherwise.
const OWN: [&str; 3] = ["JWT_SECRET_KEY", "SCHEDULER_API_TOKEN", "SESSION_SECRET"];

/// What somebody else made, and a server that does not read `.env` itself is handed.
const HANDED_ON: [&str; 3] = [
    "AGNES_BOOTSTRAP_TOKEN",
    "OIDC_CLIENT_SECRET",
    "SMTP_PASSWORD",
];

/// One secret that is looked after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Managed {
    /// Its name in `.env`.
    pub(super) name: String,
    /// Where it is fetched from.
    pub(super) source: Option<SourceUrl>,
    /// The source is a reference that stands in `.env` and has to be kept elsewhere before the value replaces it.
    pub(super) referenced: bool,
    /// One that was never fetched is a failure.
    pub(super) required: bool,
}

impl Managed {
    /// One of the server's own: it opens or signs something, so it must not be guessable.
    pub(super) fn is_own(&self) -> bool {
        OWN.contains(&self.name.as_str())
    }

    /// Where its values come from, for people.
    pub(super) fn origin(&self) -> String {
        match &self.source {
            Some(source) => source.to_string(),
            None if self.is_own() => "made on this host".to_owned(),
            None => ".env".to_owned(),
        }
    }

    /// Who reads it.
    pub(super) fn readers(&self) -> &'static [&'static str] {
        match self.name.as_str() {
            "SCHEDULER_API_TOKEN" => &["agnesd", "side-cars"],
            "AGNES_BOOTSTRAP_TOKEN" | "OIDC_CLIENT_SECRET" => &["agnesd"],
            "SMTP_PASSWORD" => &["agnes-ops", "agnesd"],
            "ALERT_WEBHOOK_URL" | "ALERT_JSON_URL" | "HEARTBEAT_URL" => &["agnes-ops"],
            _ if self.is_own() => &["agnesd"],
            _ => &["agnesd's jobs", "side-cars"],
        }
    }
}

/// All of them.
pub(super) fn catalogue(settings: &Settings, env_file: &EnvFile) -> Vec<Managed> {
    let mut all: BTreeMap<String, Managed> = BTreeMap::new();
    let mut add = |managed: Managed| {
        all.insert(managed.name.clone(), managed);
    };
    for name in OWN {
        add(Managed {
            name: name.to_owned(),
            source: None,
            referenced: false,
            required: true,
        });
    }
    for name in HANDED_ON {
        if settings.runtime == Runtime::Compose && env_file.value(name).is_some() {
            add(Managed {
                name: name.to_owned(),
                source: None,
                referenced: false,
                required: false,
            });
        }
    }
    for (name, url) in env_file.references() {
        // another setting may be a sm:// URL in its own right
        let setting = env_keys::by_env(&name).is_some_and(|key| !key.is_secret());
        if !setting {
            add(Managed {
                name,
                source: Some(url),
                referenced: true,
                required: true,
            });
        }
    }
    for provision in &settings.provisions {
        if provision.source.is_none() && OWN.contains(&provision.name.as_str()) {
            continue;
        }
        add(Managed {
            name: provision.name.clone(),
            source: provision.source.clone(),
            referenced: false,
            required: provision.required,
        });
    }
    all.into_values().collect()
}
