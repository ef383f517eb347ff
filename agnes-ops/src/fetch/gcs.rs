//! `gs://`: one object from Google Cloud Storage.
//!
//! Always true: the object's CRC32C was compared with what arrived; the entity tag is the object's generation.
//!
//! Does not: decompress (an object stored with `Content-Encoding: gzip` is refused), list or write.

use google_cloud_gax::retry_policy::NeverRetry;
use google_cloud_storage::client::Storage;
use google_cloud_storage::read_resume_policy::NeverResume;

use super::google::{self, Endpoint};
use super::{Body, Fetched, Options, Reason, Refusal};

pub(super) use google_cloud_storage::client::Storage as Client;

/// Without the right to list, Cloud Storage answers 403 also for an object that is not there yet.
const GRANT: &str = "grant roles/storage.objectViewer on the bucket to the VM's service account";

/// # Errors
/// `forbidden` without usable credentials, `malformed` on an unusable endpoint.
pub(super) async fn client(options: &Options) -> Result<Client, Refusal> {
    let endpoint = Endpoint::parse("AGNES_GCS_ENDPOINT", options.gcs_endpoint.as_deref())?;
    let credentials = google::credentials(&options.environment, endpoint.as_ref())?;
    let mut builder = Storage::builder()
        .with_credentials(credentials)
        .with_retry_policy(NeverRetry)
        .with_read_resume_policy(NeverResume)
        .with_grpc_subchannel_count(1);
    if let Some(endpoint) = &endpoint {
        builder = builder.with_endpoint(endpoint.as_str());
    }
    builder.build().await.map_err(|e| google::unbuilt(&e))
}

/// One attempt.
///
/// # Errors
/// `not-published`, `forbidden`, `transient`, `malformed`, `too-large` or `redirect`.
pub(super) async fn read(
    client: &Client,
    bucket: &str,
    object: &str,
    generation: Option<i64>,
    if_none_match: Option<&str>,
    max_bytes: u64,
) -> Result<Fetched, Refusal> {
    let mut request = client.read_object(format!("projects/_/buckets/{bucket}"), object);
    if let Some(generation) = generation {
        request = request.set_generation(generation);
    }
    let known: Option<i64> = if_none_match.and_then(|etag| etag.parse().ok());
    if let Some(known) = known {
        request = request.set_if_generation_not_match(known);
    }
    let mut response = match request.send().await {
        Ok(response) => response,
        Err(e) if known.is_some() && e.http_status_code() == Some(304) => {
            return Ok(Fetched::NotModified);
        }
        Err(e) => return Err(google::refused(&e, GRANT)),
    };
    let about = response.object();
    if about.content_encoding == "gzip" {
        return Err(
            Refusal::new(Reason::Malformed, "the object is stored compressed")
                .hint("upload it without Content-Encoding"),
        );
    }
    let mut body = Body::new(u64::try_from(about.size).ok(), max_bytes)?;
    while let Some(piece) = response.next().await {
        body.push(&piece.map_err(|e| google::refused(&e, GRANT))?)?;
    }
    Ok(Fetched::Body {
        bytes: body.bytes,
        etag: Some(about.generation.to_string()),
    })
}
