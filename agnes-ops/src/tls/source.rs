//! Asking the sources: key and chain, fetched and read, and what is remembered from one run to the next.
//!
//! Always true: a failed fetch is a value with a reason, never an empty chain; an entity tag is believed only while the
//! chain it belonged to is the one installed.
//!
//! Does not: judge a chain (that is `chain`) or decide (that is `plan`).

use agnes_config::SourceUrl;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::chain::Chain;
use super::generations::{Disk, Pair};
use super::key::PrivateKey;
use super::plan::{ChainSource, KeySource, Situation};
use super::request::Identity;
use crate::deployment::Deployment;
use crate::fetch::{Failure, Fetched};
use crate::sha256::sha256;

/// What one run of `tls rotate` leaves for the next, in its status record.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// The reload way that last proved itself.
    pub last_way: Option<String>,
    /// Fetches that failed in a row.
    pub failures: u64,
    /// Since when they do, RFC 3339.
    pub failing_since: Option<String>,
    /// The source's entity tag, for one URL and one chain.
    tag: Option<Tag>,
}

#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
struct Tag {
    url_sha256: String,
    etag: String,
    chain_sha256: String,
}

impl Memory {
    /// From a status record; what is not understood is forgotten.
    pub fn from_json(memory: Option<&Value>) -> Self {
        memory
            .and_then(|memory| serde_json::from_value(memory.clone()).ok())
            .unwrap_or_default()
    }

    /// Keeps the tag of a chain that is installed now.
    pub fn remember(&mut self, tag: &Option<(String, String)>, chain_pem: &str) {
        self.tag = tag.as_ref().map(|(url_sha256, etag)| Tag {
            url_sha256: url_sha256.clone(),
            etag: etag.clone(),
            chain_sha256: sha256(chain_pem.as_bytes()),
        });
    }

    /// Counts this run's failure, or ends the row of them.
    pub fn count(&mut self, sources: &Sources, now: OffsetDateTime) {
        if sources.failure.is_some() {
            self.failures = self.failures.saturating_add(1);
            self.failing_since
                .get_or_insert_with(|| now.format(&Rfc3339).unwrap_or_default());
        } else if sources.asked {
            self.failures = 0;
            self.failing_since = None;
        }
    }

    fn tag_for(&self, url: &SourceUrl, disk: &Disk) -> Option<&str> {
        let tag = self.tag.as_ref()?;
        let (_, chain) = disk.pair.as_ref().and_then(Pair::sound)?;
        let installed = sha256(chain.to_pem().as_bytes());
        (tag.url_sha256 == fingerprint(url) && tag.chain_sha256 == installed)
            .then_some(tag.etag.as_str())
    }
}

/// What came of asking.
#[derive(Debug)]
pub struct Sources {
    /// The key's source.
    pub key: KeySource,
    /// The chain's source.
    pub chain: ChainSource,
    /// The chain's entity tag, with the fingerprint of its URL.
    pub etag: Option<(String, String)>,
    /// Was anybody asked?
    asked: bool,
    /// The URL asked for the chain, redacted.
    url: Option<String>,
    /// The source has what is installed.
    not_modified: bool,
    /// Reason and redacted URL of the fetch that failed.
    failure: Option<(String, String)>,
}

impl Sources {
    /// Nobody was asked.
    pub fn not_asked() -> Self {
        Self {
            key: KeySource::Host,
            chain: ChainSource::Nowhere,
            etag: None,
            asked: false,
            url: None,
            not_modified: false,
            failure: None,
        }
    }

    /// Asks for the key (when it is provisioned) and the chain.
    pub fn ask(deployment: Deployment<'_>, memory: &Memory, disk: &Disk, idle: bool) -> Self {
        let mut sources = Self::not_asked();
        if idle {
            return sources;
        }
        let tls = &deployment.settings.tls;
        if let Some(url) = &tls.privkey_url {
            sources.asked = true;
            sources.key = match deployment.fetcher.fetch(url, None) {
                Ok(Fetched::Body { bytes, .. }) => match PrivateKey::parse(&bytes) {
                    Ok(key) => KeySource::Fetched(key),
                    Err(why) => KeySource::Refused(format!("{url}: {why}")),
                },
                Ok(Fetched::NotModified) => {
                    KeySource::Refused(format!("{url}: answered without a body"))
                }
                Err(failure) => {
                    sources.fail(&failure);
                    KeySource::Failed(failure)
                }
            };
        }
        if let Some(url) = &tls.fullchain_url {
            sources.asked = true;
            sources.url = Some(url.to_string());
            sources.chain = sources.ask_chain(deployment, url, memory.tag_for(url, disk));
            let installed = disk
                .pair
                .as_ref()
                .and_then(Pair::sound)
                .map(|(_, chain)| chain);
            sources.not_modified = match &sources.chain {
                ChainSource::NotModified => true,
                ChainSource::Fetched(chain) => installed == Some(chain),
                _ => false,
            };
        }
        sources
    }

    fn ask_chain(
        &mut self,
        deployment: Deployment<'_>,
        url: &SourceUrl,
        tag: Option<&str>,
    ) -> ChainSource {
        match deployment.fetcher.fetch(url, tag) {
            Ok(Fetched::NotModified) => ChainSource::NotModified,
            Ok(Fetched::Body { bytes, etag }) => {
                self.etag = etag.map(|etag| (fingerprint(url), etag));
                match Chain::parse(&bytes) {
                    Ok(chain) => ChainSource::Fetched(chain),
                    Err(refused) => ChainSource::Refused(refused),
                }
            }
            Err(failure) => {
                self.fail(&failure);
                ChainSource::Failed(failure)
            }
        }
    }

    fn fail(&mut self, failure: &Failure) {
        self.failure = Some((failure.reason.as_str().to_owned(), failure.url.clone()));
    }

    /// All that a plan rests on: the answers are handed over, what is told of them stays.
    pub fn situation<'a>(
        &mut self,
        deployment: Deployment<'_>,
        identity: &'a Identity,
        disk: &'a Disk,
    ) -> Situation<'a> {
        Situation {
            identity,
            key_type: deployment.settings.tls.key_type,
            now: deployment.host.now(),
            disk,
            key: std::mem::replace(&mut self.key, KeySource::Host),
            chain: std::mem::replace(&mut self.chain, ChainSource::Nowhere),
            allow_older: false,
            ensure: false,
        }
    }

    /// The reason of the fetch that failed.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_ref().map(|(reason, _)| reason.as_str())
    }

    /// `details.fetch`.
    pub fn to_json(&self, memory: &Memory) -> Value {
        let (reason, url) = match &self.failure {
            Some((reason, url)) => (Some(reason), Some(url)),
            None => (None, self.url.as_ref()),
        };
        json!({
            "reason": reason,
            "url": url,
            "not_modified": self.not_modified,
            "failures": memory.failures,
            "failing_since": memory.failing_since,
        })
    }
}

/// Which URL a tag belongs to, without keeping its query or userinfo on disk.
fn fingerprint(url: &SourceUrl) -> String {
    match url {
        SourceUrl::Https(url) => sha256(url.as_str().as_bytes()),
        other => sha256(other.to_string().as_bytes()),
    }
}
