//! `sm://`: one secret version from Google Secret Manager, or one more there.
//!
//! Always true: what is handed on has the checksum that was stored with it, and what is written goes with one.
//!
//! Does not: list or make secrets, or bound the HTTP answer (Google caps a payload at 64 KiB; the deadline still holds).

use google_cloud_gax::client_builder::internal::with_follow_redirects;
use google_cloud_gax::retry_policy::NeverRetry;
use google_cloud_secretmanager_v1::client::SecretManagerService;
use google_cloud_secretmanager_v1::model::SecretPayload;
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use super::google::{self, Endpoint};
use super::{Body, Fetched, Options, Reason, Refusal};

const GRANT: &str =
    "grant roles/secretmanager.secretAccessor on the secret to the VM's service account";

const GRANT_WRITE: &str =
    "grant roles/secretmanager.secretVersionAdder on the secret to the VM's service account";

/// The service's client and the project that was found for secrets without one.
pub(super) struct Client {
    service: SecretManagerService,
    project: OnceCell<String>,
}

/// # Errors
/// `forbidden` without usable credentials, `malformed` on an unusable endpoint.
pub(super) async fn client(options: &Options) -> Result<Client, Refusal> {
    let endpoint = Endpoint::parse("AGNES_SM_ENDPOINT", options.sm_endpoint.as_deref())?;
    let credentials = google::credentials(&options.environment, endpoint.as_ref())?;
    // Redirects would carry the token elsewhere; retries are counted in one place.
    let builder = with_follow_redirects(SecretManagerService::builder(), false);
    let mut builder = builder
        .with_credentials(credentials)
        .with_retry_policy(NeverRetry);
    if let Some(endpoint) = &endpoint {
        builder = builder.with_endpoint(endpoint.as_str());
    }
    let service = builder.build().await.map_err(|e| google::unbuilt(&e))?;
    Ok(Client {
        service,
        project: OnceCell::new(),
    })
}

impl Client {
    async fn project<'a>(
        &'a self,
        options: &Options,
        named: Option<&'a str>,
    ) -> Result<&'a str, Refusal> {
        if let Some(project) = named {
            return Ok(project);
        }
        let found = self.project.get_or_try_init(|| google::project(options));
        Ok(found.await?.as_str())
    }

    /// One attempt to add a version, which becomes the latest; its resource name.
    ///
    /// # Errors
    /// As [`Client::access`].
    pub(super) async fn add(
        &self,
        options: &Options,
        project: Option<&str>,
        secret: &str,
        value: &[u8],
    ) -> Result<String, Refusal> {
        let project = self.project(options, project).await?;
        let payload = SecretPayload::new()
            .set_data(value.to_vec())
            .set_data_crc32c(i64::from(crc32c::crc32c(value)));
        let answer = self
            .service
            .add_secret_version()
            .set_parent(format!("projects/{project}/secrets/{secret}"))
            .set_payload(payload)
            .send()
            .await;
        Ok(answer.map_err(|e| google::refused(&e, GRANT_WRITE))?.name)
    }

    /// One attempt.
    ///
    /// # Errors
    /// `not-published`, `forbidden`, `transient`, `malformed`, `too-large` or `redirect`.
    pub(super) async fn access(
        &self,
        options: &Options,
        project: Option<&str>,
        secret: &str,
        version: &str,
    ) -> Result<Fetched, Refusal> {
        let project = self.project(options, project).await?;
        let name = format!("projects/{project}/secrets/{secret}/versions/{version}");
        let answer = self
            .service
            .access_secret_version()
            .set_name(name)
            .send()
            .await;
        let payload = answer.map_err(|e| google::refused(&e, GRANT))?.payload;
        let payload =
            payload.ok_or_else(|| Refusal::new(Reason::Malformed, "the answer has no payload"))?;
        if payload
            .data_crc32c
            .is_some_and(|stored| stored != i64::from(crc32c::crc32c(&payload.data)))
        {
            return Err(Refusal::new(
                Reason::Malformed,
                "damaged on its way: the CRC32C checksum does not match",
            ));
        }
        Body::new(Some(payload.data.len() as u64), options.max_bytes)?;
        // Nobody else holds these bytes, so this takes them over without a copy that would not be wiped.
        Ok(Fetched::Body {
            bytes: Zeroizing::new(Vec::from(payload.data)),
            etag: None,
        })
    }
}
