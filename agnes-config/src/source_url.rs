//! Where bytes are fetched from: the four schemes, parsed once.
//!
//! Always true: `Display` and `Debug` are redacted (no userinfo, no query), so a `SourceUrl` may be logged.
//!
//! Does not: fetch (that is `agnes-ops/src/fetch`).

use std::path::PathBuf;

/// A fetchable location.
#[derive(Clone, PartialEq, Eq)]
pub enum SourceUrl {
    /// `https://…`
    Https(url::Url),
    /// `sm://secret`, `sm://project/secret`, `sm://projects/P/secrets/S/versions/V`.
    SecretManager {
        /// `None`: `GOOGLE_CLOUD_PROJECT`, else the metadata server's.
        project: Option<String>,
        /// Secret id.
        secret: String,
        /// Version number or alias; `latest` unless given.
        version: String,
    },
    /// `gs://bucket/object[#generation]`.
    Gcs {
        /// Bucket name, without `projects/_/buckets/`.
        bucket: String,
        /// Object name.
        object: String,
        /// A fixed generation; `None`: the live one.
        generation: Option<i64>,
    },
    /// `file:///path`.
    File(PathBuf),
}
