//! Whether somebody is told.
//!
//! Always true: that messages wait is a finding of its own, told by whichever way still works; it is none because of itself.
//!
//! Does not: tell.

use super::{Found, Patient, Seen};
use crate::alerts::{self, Outbox};

/// The check itself: its own message may wait without that being news.
const UNDELIVERED: &str = "alerts.undelivered";

/// Messages that should have been taken by now.
pub(super) fn undelivered(patient: &Patient<'_>) -> Seen {
    let settings = patient.settings();
    let outbox = Outbox {
        deployment: settings.tls.domain.as_str(),
        dir: &settings.dir,
        state_dir: Some(&settings.state_dir),
    };
    if !alerts::has_receivers(settings) {
        return Seen::Unchecked("nobody is to be told".to_owned());
    }
    let overdue = alerts::overdue(patient.host(), settings, &outbox, UNDELIVERED);
    let found = overdue.into_iter().map(|(receiver, waits)| Found {
        evidence: format!(
            "{} messages wait, the first since {}",
            waits.messages, waits.since
        ),
        next: format!(
            "agnes-ops -C {} watch says why; see that {receiver} takes it, or change who is told",
            settings.dir.display()
        ),
        object: receiver,
    });
    Seen::of(found.collect())
}

/// The mail server: asked to take mail, and given none.
pub(super) fn mail(patient: &Patient<'_>) -> Seen {
    let settings = patient.settings();
    let Some(mail) = &settings.mail else {
        return Seen::Unchecked("no mail is sent".to_owned());
    };
    match alerts::reach_mail(mail) {
        Ok(()) => Seen::Passed,
        Err(why) => Seen::found(
            format!("{}:{}", mail.host, mail.port),
            why,
            "set SMTP_HOST, SMTP_PORT, SMTP_TLS, SMTP_USER and SMTP_PASSWORD right",
        ),
    }
}
