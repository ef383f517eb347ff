//! Every reason, by a real server that causes it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::mpsc;
use std::time::Instant as Clock;

use agnes_e2e::gcs::Gcs;
use agnes_e2e::https_source::{Answer, CURRENT, Ca, HttpsSource, Validity};
use agnes_e2e::secret_manager::{Mode, SecretManager};
use tempfile::TempDir;

use super::*;

mod file;
mod gcs;
mod google;
mod https;

const NO_PRODUCT: &str = "/nonexistent/product_name";

fn options() -> Options {
    Options {
        connect_timeout: Duration::from_secs(2),
        timeout: Duration::from_secs(10),
        max_bytes: 1 << 20,
        ca_bundle: None,
        sm_endpoint: None,
        gcs_endpoint: None,
        google_project: None,
        environment: Environment {
            product_name_file: NO_PRODUCT.into(),
            ..Environment::default()
        },
    }
}

/// An https server, a fetcher that trusts its CA, and the directory of the bundle.
struct Web {
    server: HttpsSource,
    options: Options,
    dir: TempDir,
}

impl Web {
    fn start() -> Self {
        Self::with(&["localhost"], CURRENT)
    }

    fn with(names: &[&str], validity: Validity) -> Self {
        let ca = Ca::new("Test Root");
        let dir = TempDir::new().unwrap();
        let bundle = dir.path().join("ca.pem");
        std::fs::write(&bundle, ca.pem()).unwrap();
        let server = HttpsSource::start(&ca.server(names, validity));
        Self {
            server,
            options: Options {
                ca_bundle: Some(bundle),
                ..options()
            },
            dir,
        }
    }

    fn fetch(&self) -> Result<Fetched, Failure> {
        fetch(
            &self.options,
            &self
                .server
                .url("/chain.pem?token=hunter2")
                .replace("//", "//user:hunter2@"),
        )
    }
}

fn fetch(options: &Options, url: &str) -> Result<Fetched, Failure> {
    fetch_if(options, url, None)
}

/// Runs in a thread that is given up on: a fetch that hangs fails its test instead of hanging it.
fn fetch_if(options: &Options, url: &str, etag: Option<&str>) -> Result<Fetched, Failure> {
    let (options, url, etag) = (
        options.clone(),
        url.parse::<SourceUrl>()?,
        etag.map(str::to_owned),
    );
    let (done, wait) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = done.send(Fetcher::new(options).fetch(&url, etag.as_deref()));
    });
    let fetched = wait
        .recv_timeout(Duration::from_secs(30))
        .expect("the fetch never ended");
    if let Err(failure) = &fetched {
        let shown = format!("{failure} {failure:?}");
        assert!(
            !shown.contains("hunter2") && !failure.to_string().contains('\n'),
            "{shown}"
        );
        assert!(
            failure
                .to_string()
                .starts_with(&format!("fetch {}: ", failure.url)),
            "{failure}"
        );
    }
    fetched
}

#[track_caller]
fn body(fetched: Result<Fetched, Failure>) -> Vec<u8> {
    match fetched {
        Ok(Fetched::Body { bytes, .. }) => bytes.to_vec(),
        Ok(Fetched::NotModified) => panic!("not modified"),
        Err(failure) => panic!("{failure}"),
    }
}

#[track_caller]
fn failed(fetched: Result<Fetched, Failure>, reason: Reason) -> Failure {
    match fetched {
        Err(failure) => {
            assert_eq!(failure.reason, reason, "{failure}");
            failure
        }
        Ok(_) => panic!("fetched, though {} was due", reason.as_str()),
    }
}
