//! `[mail]`.
//!
//! Always true: as its parent; a password that would travel in clear is a problem.
//!
//! Does not: ask the server.

use super::Builder;
use crate::env_keys as keys;
use crate::secret::Secret;
use crate::settings::{Domain, Mail, MailTls};
use crate::values;

/// Who signs in at the mail server.
enum Login {
    /// Nobody.
    Nobody,
    /// Somebody, whose password is a reference still.
    Unresolved,
    /// With this name and password.
    As(String, Secret),
}

impl Builder {
    /// `None`: no mail is sent, or what it takes is not known yet.
    pub(super) fn mail(&mut self, domain: &Domain) -> Option<Mail> {
        let host = self.take(&keys::SMTP_HOST, values::mail::host);
        let port = self.take(&keys::SMTP_PORT, values::mail::port);
        let tls = self.take(&keys::SMTP_TLS, values::mail::tls);
        let user = self.take(&keys::SMTP_USER, values::mail::user);
        let from = self.take(&keys::SMTP_FROM, values::network::email);
        let from = from.unwrap_or_else(|| format!("agnes@{}", domain.as_str()));
        let login = self.login(user);
        let host = host?;
        let port = port.unwrap_or(587);
        let loopback = values::mail::is_loopback(&host);
        let tls = tls.unwrap_or(match (port, loopback) {
            (465, _) => MailTls::Tls,
            (_, true) => MailTls::None,
            (_, false) => MailTls::Starttls,
        });
        if !self.is_set(&keys::SMTP_TLS) {
            self.show(&keys::SMTP_TLS, tls.as_str());
        }
        if !self.is_set(&keys::SMTP_FROM) {
            self.show(&keys::SMTP_FROM, from.clone());
        }
        if tls == MailTls::None && !loopback {
            match login {
                Login::Nobody => self.warn(&keys::SMTP_TLS, "is none: mail leaves the host in clear"),
                Login::Unresolved | Login::As(..) => self.fault(
                    &keys::SMTP_TLS,
                    "is none, and SMTP_PASSWORD would leave the host in clear (expected starttls or tls)",
                ),
            }
        }
        if !self.is_set(&keys::DOMAIN) && !self.is_set(&keys::PUBLIC_URL) {
            self.warn(
                &keys::SMTP_HOST,
                "is set, and neither PUBLIC_URL nor DOMAIN is: links in mail lead to localhost",
            );
        }
        let login = match login {
            Login::Nobody => None,
            Login::As(user, password) => Some((user, password)),
            Login::Unresolved => return None,
        };
        Some(Mail {
            host,
            port,
            tls,
            login,
            from,
        })
    }

    fn login(&mut self, user: Option<String>) -> Login {
        let password = self.secret(&keys::SMTP_PASSWORD);
        let (user, password) = match (user, password) {
            (Some(user), Some(password)) => (user, password),
            (Some(_), None) => {
                self.warn(
                    &keys::SMTP_USER,
                    "is set, and SMTP_PASSWORD is not: nobody signs in",
                );
                return Login::Nobody;
            }
            (None, Some(_)) if !self.is_wrong(&keys::SMTP_USER) => {
                self.warn(
                    &keys::SMTP_PASSWORD,
                    "is set, and SMTP_USER is not: nobody signs in",
                );
                return Login::Nobody;
            }
            (None, _) => return Login::Nobody,
        };
        if password.expose().starts_with("sm://") {
            self.warn(
                &keys::SMTP_PASSWORD,
                "is a reference that nobody has resolved (`agnes-ops secrets ensure` does)",
            );
            return Login::Unresolved;
        }
        Login::As(user, password)
    }
}
