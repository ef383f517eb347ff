//! Mail: one message for each person and piece of news.
//!
//! Always true: no call outlives its deadline, however slowly the server speaks; a way that is to be protected is, or nothing is
//! said on it; what was found stands in no header but as one line of the subject.
//!
//! Does not: queue (the outbox does).

use std::sync::mpsc;
use std::time::Duration;

use agnes_config::{Mail, MailTls};
use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{Message, SmtpTransport, Transport as _};

use super::super::Kept;
use super::{Failed, News};
use crate::outcome::one_line;
use crate::sha256::sha256;

/// Of one step of a conversation.
const ANSWERS: Duration = Duration::from_secs(10);
/// Of all of it.
const DEADLINE: Duration = Duration::from_secs(20);

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

/// Writes one person.
///
/// # Errors
/// Why the server did not take it.
pub(super) fn send(mail: &Mail, to: &str, kept: &Kept, news: News) -> Result<(), Failed> {
    let refused = |why: String| Failed {
        why,
        receiver_is_away: false,
    };
    let message = message(mail, to, kept, news).map_err(refused)?;
    within(mail, move |transport| match transport.send(&message) {
        Ok(_) => Ok(()),
        // what is refused for good is about this message or person; the next may be taken
        Err(why) => Err(Failed {
            receiver_is_away: !why.is_permanent(),
            why: in_words(&why),
        }),
    })
}

/// Whether the server would take mail: connects, protects the way, signs in, and writes nobody.
///
/// # Errors
/// Why it would not.
pub fn reach(mail: &Mail) -> Result<(), String> {
    let answered = within(mail, |transport| match transport.test_connection() {
        Ok(true) => Ok(()),
        Ok(false) => Err(away("the server does not answer".to_owned())),
        Err(why) => Err(away(in_words(&why))),
    });
    answered.map_err(|failed| failed.why)
}

/// The work on a thread of its own: a server may answer byte by byte, each in time.
fn within(
    mail: &Mail,
    work: impl FnOnce(SmtpTransport) -> Result<(), Failed> + Send + 'static,
) -> Result<(), Failed> {
    let transport = transport(mail).map_err(away)?;
    let (done, result) = mpsc::channel();
    std::thread::spawn(move || done.send(work(transport)));
    result
        .recv_timeout(DEADLINE)
        .unwrap_or_else(|_| Err(away(format!("no answer in {} s", DEADLINE.as_secs()))))
}

fn away(why: String) -> Failed {
    Failed {
        why,
        receiver_is_away: true,
    }
}

fn transport(mail: &Mail) -> Result<SmtpTransport, String> {
    let parameters = || TlsParameters::new(mail.host.clone()).map_err(|why| in_words(&why));
    let tls = match mail.tls {
        MailTls::None => Tls::None,
        MailTls::Starttls => Tls::Required(parameters()?),
        MailTls::Tls => Tls::Wrapper(parameters()?),
    };
    let builder = SmtpTransport::builder_dangerous(&mail.host)
        .port(mail.port)
        .tls(tls)
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

/// The innermost words: the outer ones say only that it is about a connection.
fn in_words(why: &lettre::transport::smtp::Error) -> String {
    let mut inner: &dyn std::error::Error = why;
    while let Some(source) = inner.source() {
        inner = source;
    }
    one_line(&match why.status() {
        Some(code) => format!("{code} {inner}"),
        None => inner.to_string(),
    })
}

fn message(mail: &Mail, to: &str, kept: &Kept, news: News) -> Result<Message, String> {
    let host = mail
        .from
        .rsplit_once('@')
        .map_or("localhost", |(_, host)| host);
    // all that is told of one finding is one conversation
    let conversation = sha256(
        format!(
            "{} {} {}",
            kept.dir.display(),
            kept.alert.id,
            kept.alert.object
        )
        .as_bytes(),
    );
    let conversation = format!(
        "<{}.{}@{host}>",
        conversation.get(..16).unwrap_or_default(),
        kept.first_at.replace(':', "")
    );
    let builder = Message::builder()
        .from(
            mail.from
                .parse()
                .map_err(|_| format!("{}: is no sender", mail.from))?,
        )
        .to(to.parse().map_err(|_| format!("{to}: is no recipient"))?)
        .subject(subject(kept, news))
        .header(AutoSubmitted)
        .header(ContentType::TEXT_PLAIN);
    let builder = match news {
        News::Open => builder.message_id(Some(conversation)),
        News::Reminder | News::Resolved => builder
            .message_id(None)
            .in_reply_to(conversation.clone())
            .references(conversation),
    };
    builder
        .body(body(kept, news))
        .map_err(|why| why.to_string())
}

fn subject(kept: &Kept, news: News) -> String {
    let alert = &kept.alert;
    let word = match news {
        News::Open => alert.severity.as_str(),
        News::Reminder => "still",
        News::Resolved => "resolved",
    };
    let subject = format!(
        "[{}] {word}: {} {}",
        kept.deployment, alert.id, alert.object
    );
    one_line(subject.trim_end()).chars().take(200).collect()
}

fn body(kept: &Kept, news: News) -> String {
    let alert = &kept.alert;
    let object = match alert.object.is_empty() {
        true => String::new(),
        false => format!("{}: ", alert.object),
    };
    let mut lines = vec![format!("{}: {object}{}", alert.id, alert.evidence)];
    lines.push(String::new());
    match (&kept.resolved_at, news) {
        (Some(at), News::Resolved) => lines.push(format!(
            "over since {at}; it was there since {}",
            kept.first_at
        )),
        _ => {
            lines.push(format!("next:    {}", alert.next));
            lines.push(format!("runbook: {}", alert.runbook));
            lines.push(format!(
                "since:   {}, seen {} times",
                kept.first_at, kept.times
            ));
        }
    }
    lines.push(format!(
        "host:    {}, {}",
        kept.deployment,
        kept.dir.display()
    ));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::super::tests::kept;
    use super::*;

    fn mail() -> Mail {
        Mail {
            host: "smtp.example.com".to_owned(),
            port: 587,
            tls: MailTls::Starttls,
            login: None,
            from: "agnes@example.com".to_owned(),
        }
    }

    fn text(kept: &Kept, news: News) -> String {
        let message = message(&mail(), "oncall@example.com", kept, news).unwrap();
        String::from_utf8(message.formatted()).unwrap()
    }

    #[test]
    fn a10_what_was_found_forges_no_header() {
        let mut kept = kept();
        kept.alert.object = "/data\r\nBcc: everybody@example.com\r\n\r\nhello".to_owned();
        let text = text(&kept, News::Open);
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        assert!(!head.contains("\r\nBcc:"), "{head}");
        assert!(head.contains("Auto-Submitted: auto-generated"), "{head}");
    }

    #[test]
    fn what_is_told_of_one_finding_is_one_conversation() {
        let mut kept = kept();
        let line = |text: &str, name: &str| {
            let found = text.lines().find_map(|line| line.strip_prefix(name));
            found.map(str::to_owned)
        };
        let first = line(&text(&kept, News::Open), "Message-ID: ").unwrap();
        let reminder = text(&kept, News::Reminder);
        assert_eq!(line(&reminder, "In-Reply-To: ").as_ref(), Some(&first));
        assert_ne!(line(&reminder, "Message-ID: ").unwrap(), first);
        kept.resolved_at = Some("2026-11-28T05:30:00Z".to_owned());
        let over = text(&kept, News::Resolved);
        assert_eq!(line(&over, "References: ").as_ref(), Some(&first));
        assert!(
            over.contains("Subject: [agnes.example.com] resolved: disk.space /data"),
            "{over}"
        );
        // the same fault another day is another conversation
        kept.first_at = "2026-11-29T00:00:00Z".to_owned();
        assert_ne!(
            line(&text(&kept, News::Open), "Message-ID: ").unwrap(),
            first
        );
    }
}
