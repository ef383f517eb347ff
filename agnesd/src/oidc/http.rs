//! Asking the provider.
//!
//! Always true: no redirect is followed, no proxy of the environment is used; an answer has ten seconds and a mebibyte.
//!
//! Does not: try again: a person does.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use openidconnect::core::CoreErrorResponseType;
use openidconnect::{
    AsyncHttpClient, HttpClientError, HttpRequest, HttpResponse, StandardErrorResponse,
};

use super::Failed;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// And how large it may be, in bytes.
const LARGEST: usize = 1 << 20;

/// The client.
#[derive(Debug, Clone)]
pub(super) struct Http(reqwest::Client);

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    /// Nobody answered as HTTP does.
    #[error("{0}")]
    Http(String),
    /// The answer is larger than one of a provider.
    #[error("the answer is larger than {LARGEST} bytes")]
    TooLarge,
}

impl Http {
    /// # Errors
    /// When there are no root certificates to know a provider by, or the like.
    pub(super) fn new() -> Result<Self, String> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(PATIENCE)
            .user_agent(concat!("agnesd/", env!("CARGO_PKG_VERSION")))
            .build();
        client
            .map(Self)
            .map_err(|why| format!("a client for https: {why}"))
    }

    /// One request, and its answer whole.
    pub(super) async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, NoAnswer> {
        let plain = |why: reqwest::Error| NoAnswer::Http(plain(why));
        let request = reqwest::Request::try_from(request).map_err(plain)?;
        let mut response = self.0.execute(request).await.map_err(plain)?;
        let mut answer = axum::http::Response::new(Vec::new());
        *answer.status_mut() = response.status();
        *answer.headers_mut() = response.headers().clone();
        while let Some(chunk) = response.chunk().await.map_err(plain)? {
            if answer.body().len() + chunk.len() > LARGEST {
                return Err(NoAnswer::TooLarge);
            }
            answer.body_mut().extend_from_slice(&chunk);
        }
        Ok(answer)
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = HttpClientError<NoAnswer>;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Self::Error>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let answered = self.ask(request).await;
            answered.map_err(|why| HttpClientError::Other(why.to_string()))
        })
    }
}

/// Without the URL: a query may hold a code.
fn plain(why: reqwest::Error) -> String {
    match why.is_timeout() {
        true => format!("no answer in {} s", PATIENCE.as_secs()),
        // a name, an address or a certificate: the innermost words say which
        false => in_words(&why.without_url()),
    }
}

/// An error with what it is because of, on one line.
pub(super) fn in_words(why: &dyn std::error::Error) -> String {
    let mut words = why.to_string();
    let mut inner = why.source();
    while let Some(source) = inner {
        words = format!("{words}: {source}");
        inner = source.source();
    }
    let words = words.chars().map(|c| if c.is_control() { ' ' } else { c });
    words.take(300).collect()
}

/// A code that was not exchanged: refused by the provider, or no answer that makes sense.
pub(super) fn exchange_failed<E: std::error::Error + 'static>(
    why: &openidconnect::RequestTokenError<E, StandardErrorResponse<CoreErrorResponseType>>,
) -> Failed {
    use openidconnect::RequestTokenError::{Other, Parse, Request, ServerResponse};
    match why {
        // the code was used, is over or was never given to us; `invalid_client` is about our own settings
        ServerResponse(said) if said.error().as_ref() == "invalid_grant" => {
            Failed::Refused("the provider refuses the code".to_owned())
        }
        ServerResponse(said) => Failed::Provider(format!(
            "the code was not exchanged: {}",
            said.error().as_ref()
        )),
        Request(why) => Failed::Provider(format!("the code was not exchanged: {}", in_words(why))),
        // what was answered may hold tokens
        Parse(..) => Failed::Provider("the answer to the code does not parse".to_owned()),
        Other(why) => Failed::Provider(format!("the code was not exchanged: {why}")),
    }
}
