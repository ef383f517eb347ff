//! A bucket of Google Cloud Storage, over its JSON API.
//!
//! Always true: an object is sent and read piece by piece; it appears whole or not at all; a token never leaves this host over
//! plain http.
//!
//! Does not: make or configure buckets, or compare what is read back (whoever put it does).

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use serde::Deserialize;
use url::Url;

use super::google::{self, Endpoint};
use super::objects::Moved;
use super::{Options, Reason, Refusal, innermost};

/// Google's own.
const ENDPOINT: &str = "https://storage.googleapis.com";
/// Who may do all that is asked here.
const GRANT: &str = "grant roles/storage.objectUser on the bucket to the VM's service account";
/// Of a file that is sent.
const PIECE: usize = 256 << 10;
/// Of one call that lists or removes.
const CALL: Duration = Duration::from_secs(60);
/// No byte for so long is no connection.
const SILENCE: Duration = Duration::from_secs(60);
/// How often a file is sent.
const TRIES: u32 = 3;
/// Before it is sent again.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest page of a list that is read, in bytes.
const PAGE: usize = 8 << 20;

/// An open bucket.
pub(super) struct Bucket {
    name: String,
    calls: reqwest::Client,
    endpoint: Url,
    token: Option<agnes_config::Secret>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    items: Vec<Item>,
    #[serde(default)]
    prefixes: Vec<String>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    name: String,
}

impl Bucket {
    /// # Errors
    /// `forbidden` without usable credentials, `malformed` on an unusable endpoint.
    pub(super) async fn open(options: &Options, name: &str) -> Result<Self, Refusal> {
        let endpoint = Endpoint::parse("AGNES_GCS_ENDPOINT", options.gcs_endpoint.as_deref())?;
        let token = google::bearer(&options.environment, endpoint.as_ref()).await?;
        let calls = reqwest::Client::builder()
            .connect_timeout(options.connect_timeout)
            .timeout(CALL)
            .read_timeout(SILENCE)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("agnes-ops/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| Refusal::new(Reason::Transient, innermost(&e)))?;
        let address = endpoint.as_ref().map_or(ENDPOINT, |one| one.as_str());
        let endpoint = Url::parse(address)
            .map_err(|e| Refusal::new(Reason::Malformed, format!("AGNES_GCS_ENDPOINT: {e}")))?;
        Ok(Self {
            name: name.to_owned(),
            calls,
            endpoint,
            token,
        })
    }

    /// `…/storage/v1/b/<bucket>/o[/<object>]`.
    fn address(&self, object: Option<&str>) -> Url {
        let mut url = self.endpoint.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear()
                .extend(["storage", "v1", "b", &self.name, "o"])
                .extend(object);
        }
        url
    }

    /// Names directly below `directory`: those that others are below, and objects.
    pub(super) async fn list(
        &self,
        directory: &str,
    ) -> Result<(Vec<String>, Vec<String>), Refusal> {
        let prefix = match directory {
            "" => String::new(),
            some => format!("{some}/"),
        };
        let (mut directories, mut files) = (Vec::new(), Vec::new());
        let mut token: Option<String> = None;
        loop {
            let mut url = self.address(None);
            url.query_pairs_mut()
                .append_pair("prefix", &prefix)
                .append_pair("delimiter", "/")
                .append_pair("fields", "items(name),prefixes,nextPageToken");
            if let Some(token) = &token {
                url.query_pairs_mut().append_pair("pageToken", token);
            }
            let mut response = self.sent(self.calls.get(url)).await?;
            let mut bytes = Vec::new();
            while let Some(piece) = response.chunk().await.map_err(|e| broken(&e))? {
                if bytes.len() + piece.len() > PAGE {
                    return Err(Refusal::new(Reason::TooLarge, "the list is too long"));
                }
                bytes.extend_from_slice(&piece);
            }
            let page: Page = serde_json::from_slice(&bytes)
                .map_err(|e| Refusal::new(Reason::Malformed, format!("the list: {e}")))?;
            let last = |name: &str| {
                let rest = name.strip_prefix(&prefix)?.trim_end_matches('/');
                (!rest.is_empty()).then(|| rest.to_owned())
            };
            directories.extend(page.prefixes.iter().filter_map(|name| last(name)));
            files.extend(page.items.iter().filter_map(|item| last(&item.name)));
            token = page.next_page_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok((directories, files));
            }
        }
    }

    /// Puts all of a file; again from its beginning when the connection breaks.
    pub(super) async fn put(&self, object: &str, file: File, moved: Moved) -> Result<(), Refusal> {
        let read =
            |why: std::io::Error| Refusal::new(Reason::Malformed, format!("read {object}: {why}"));
        let size = file.metadata().map_err(read)?.len();
        let mut tried = 0;
        loop {
            tried += 1;
            let mut from = file.try_clone().map_err(read)?;
            from.seek(SeekFrom::Start(0)).map_err(read)?;
            let source = Source {
                file: from,
                left: size,
                moved: Arc::clone(&moved),
            };
            match self.put_once(object, source).await {
                Err(why) if why.reason == Reason::Transient && tried < TRIES => {
                    tokio::time::sleep(PAUSE * tried).await;
                }
                other => return other,
            }
        }
    }

    async fn put_once(&self, object: &str, source: Source) -> Result<(), Refusal> {
        let mut url = self.endpoint.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear()
                .extend(["upload", "storage", "v1", "b", &self.name, "o"]);
        }
        url.query_pairs_mut()
            .append_pair("uploadType", "media")
            .append_pair("name", object);
        let request = self
            .calls
            .post(url)
            .timeout(patience(source.left))
            .header("content-type", "application/octet-stream")
            .body(reqwest::Body::wrap(source));
        self.sent(request).await.map(drop)
    }

    /// All bytes of an object, piece by piece.
    pub(super) async fn get(
        &self,
        object: &str,
        take: &mut dyn FnMut(&[u8]) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let mut url = self.address(Some(object));
        url.query_pairs_mut().append_pair("alt", "media");
        // how large it is is known from the answer
        let request = self.calls.get(url).timeout(patience(u64::MAX));
        let mut response = self.sent(request).await?;
        while let Some(piece) = response.chunk().await.map_err(|e| broken(&e))? {
            take(&piece)?;
        }
        Ok(())
    }

    pub(super) async fn remove(&self, object: &str) -> Result<(), Refusal> {
        let request = self.calls.delete(self.address(Some(object)));
        self.sent(request).await.map(drop)
    }

    async fn sent(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, Refusal> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        };
        let response = request.send().await.map_err(|e| broken(&e))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let refusal = Refusal::status(response.status().as_u16());
        Err(match refusal.reason {
            Reason::Forbidden => refusal.hint(GRANT),
            _ => refusal,
        })
    }
}

fn broken(error: &reqwest::Error) -> Refusal {
    Refusal::new(Reason::Transient, innermost(error))
}

/// A minute, and as long as so many bytes take at 64 KiB/s; a day at most.
fn patience(bytes: u64) -> Duration {
    Duration::from_secs((60 + bytes / (64 << 10)).min(86_400))
}

/// What is left of a file that is sent.
struct Source {
    file: File,
    left: u64,
    moved: Moved,
}

impl Body for Source {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut piece = vec![0; PIECE];
        Poll::Ready(match self.file.read(&mut piece) {
            Ok(0) => None,
            Ok(read) => {
                piece.truncate(read);
                self.left = self.left.saturating_sub(read as u64);
                (self.moved)(read as u64);
                Some(Ok(Frame::data(piece.into())))
            }
            Err(error) => Some(Err(error)),
        })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
