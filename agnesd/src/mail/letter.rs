//! What a letter with a link says.
//!
//! Always true: plain text in ASCII, so that no encoding breaks the link; nothing of what somebody typed is in it but the
//! address that it goes to.
//!
//! Does not: send.

use agnes_config::Mail;
use agnes_store::links::Purpose;
use agnes_store::users::User;
use lettre::Message;
use lettre::message::Body;
use lettre::message::header::{
    ContentTransferEncoding, ContentType, Header, HeaderName, HeaderValue,
};

use super::LINK_SECS;
use super::smtp::letter_domain;

/// Where the page is that a sign-in link opens.
const SIGN_IN_PATH: &str = "/auth/magic/verify";
/// Where the page is that a link for a new password opens.
const RESET_PATH: &str = "/auth/reset/confirm";

/// Nobody's holiday notice answers what a program wrote (RFC 3834).
#[derive(Debug, Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

/// The word of metrics and the log.
pub(super) fn kind(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::SignIn => "magic",
        Purpose::Reset => "reset",
    }
}

/// The whole message.
///
/// # Errors
/// When an address is none that mail goes to or comes from.
pub(super) fn write(
    mail: &Mail,
    public_url: &str,
    purpose: Purpose,
    user: &User,
    secret: &str,
) -> Result<Message, String> {
    let (_, host) = public_url.split_once("://").unwrap_or_default();
    let (path, subject, does) = match purpose {
        Purpose::SignIn => (SIGN_IN_PATH, format!("Sign in to {host}"), "sign in"),
        Purpose::Reset => (
            RESET_PATH,
            format!("A new password for {host}"),
            "set a new password",
        ),
    };
    let minutes = LINK_SECS / 60;
    let body = format!(
        "Somebody, most likely you, asked to {does} at {host}.\n\
         Open this address within {minutes} minutes. It works once:\n\n\
         {public_url}{path}#token={secret}\n\n\
         If it was not you, nothing has to be done: without this mail nothing happens.\n"
    );
    // as it is: the library would break a link of this length in two; ASCII and below 998 bytes a line is 7bit (RFC 2045
    // section 2.7)
    let seven_bit = body.is_ascii() && body.lines().all(|line| line.len() < 998);
    if !seven_bit {
        return Err("the configured address does not fit into a mail".to_owned());
    }
    let body = body.replace('\n', "\r\n").into_bytes();
    let body = Body::dangerous_pre_encoded(body, ContentTransferEncoding::SevenBit);
    Message::builder()
        .from(
            mail.from
                .parse()
                .map_err(|_| format!("{}: is no sender", mail.from))?,
        )
        .to(user
            .email
            .parse()
            .map_err(|_| "the user's address is none that mail goes to".to_owned())?)
        .subject(subject)
        .header(AutoSubmitted)
        .header(ContentType::TEXT_PLAIN)
        .message_id(Some(format!(
            "<{}@{}>",
            agnes_store::Id::new(),
            letter_domain(mail)
        )))
        .body(body)
        .map_err(|why| why.to_string())
}

#[cfg(test)]
mod tests {
    use agnes_config::MailTls;
    use agnes_store::users::Kind;
    use agnes_store::{Id, clock};

    use super::*;

    #[test]
    fn a_link_stands_on_one_line_whatever_its_length() {
        let mail = Mail {
            host: "smtp.example.com".to_owned(),
            port: 587,
            tls: MailTls::Starttls,
            login: None,
            from: "agnes@example.com".to_owned(),
        };
        let user = User {
            id: Id::new(),
            email: "one@example.com".to_owned(),
            name: String::new(),
            kind: Kind::Person,
            password_hash: None,
            disabled: false,
            epoch: 1,
            created_at: clock::now(),
        };
        let secret = "0123456789abcdef".repeat(4);
        let origin = format!("https://{}.example.com:8443", "a".repeat(60));
        let letter = write(&mail, &origin, Purpose::Reset, &user, &secret).unwrap();
        let text = String::from_utf8(letter.formatted()).unwrap();
        let link = format!("\r\n{origin}{RESET_PATH}#token={secret}\r\n");
        assert!(text.contains(&link), "{text}");
        assert!(
            text.contains("Content-Transfer-Encoding: 7bit\r\n"),
            "{text}"
        );
        assert!(
            text.contains("Auto-Submitted: auto-generated\r\n"),
            "{text}"
        );
        let far = format!("https://{}", "a".repeat(1000));
        assert!(write(&mail, &far, Purpose::SignIn, &user, &secret).is_err());
    }
}
