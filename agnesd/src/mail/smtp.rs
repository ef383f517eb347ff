//! One conversation with the mail server.
//!
//! Always true: it ends within its deadline, however slowly the server speaks; a way that is to be protected is, or nothing is
//! said on it.
//!
//! Does not: try again.

use std::time::Duration;

use agnes_config::{Mail, MailTls};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

/// Of one step of the conversation.
const ANSWERS: Duration = Duration::from_secs(10);
/// Of all of it.
const DEADLINE: Duration = Duration::from_secs(20);

/// Why the server did not take a letter.
pub(super) struct Failed {
    /// On one line.
    pub(super) text: String,
    /// Another try may succeed.
    pub(super) may_pass: bool,
}

/// Hands one letter over.
///
/// # Errors
/// [`Failed`].
pub(super) async fn send(mail: &Mail, letter: Message) -> Result<(), Failed> {
    let transport = transport(mail)?;
    match tokio::time::timeout(DEADLINE, transport.send(letter)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(why)) => Err(in_words(&why)),
        Err(_) => Err(Failed {
            text: format!("no answer in {} s", DEADLINE.as_secs()),
            may_pass: true,
        }),
    }
}

fn transport(mail: &Mail) -> Result<AsyncSmtpTransport<Tokio1Executor>, Failed> {
    let parameters = || TlsParameters::new(mail.host.clone()).map_err(|why| in_words(&why));
    let tls = match mail.tls {
        MailTls::None => Tls::None,
        MailTls::Starttls => Tls::Required(parameters()?),
        MailTls::Tls => Tls::Wrapper(parameters()?),
    };
    let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&mail.host)
        .port(mail.port)
        .tls(tls)
        .hello_name(ClientId::Domain(letter_domain(mail).to_owned()))
        .timeout(Some(ANSWERS));
    Ok(match &mail.login {
        Some((user, password)) => {
            let password = password.expose().to_owned();
            builder.credentials(Credentials::new(user.clone(), password))
        }
        None => builder,
    }
    .build())
}

/// By which name this host introduces itself, and letters are told apart: that of whom they are from, which the mail server
/// expects; this host's own may be one that nobody knows.
pub(super) fn letter_domain(mail: &Mail) -> &str {
    let domain = mail.from.rsplit_once('@');
    domain.map_or("localhost", |(_, domain)| domain)
}

/// The innermost words: the outer ones say only that it is about a connection.
fn in_words(why: &Error) -> Failed {
    let mut inner: &dyn std::error::Error = why;
    while let Some(source) = inner.source() {
        inner = source;
    }
    let text = match why.status() {
        Some(code) => format!("{code} {inner}"),
        None => inner.to_string(),
    };
    // what a server says stands in our log: on one line
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(300)
        .collect();
    Failed {
        text,
        may_pass: !why.is_permanent(),
    }
}
