//! `[mail]`: the server that takes mail for the world.
//!
//! Always true: a password goes nowhere that is not protected, loopback aside.
//!
//! Does not: send.

use crate::secret::Secret;

/// `[mail]`.
#[derive(Debug, Clone)]
pub struct Mail {
    /// `SMTP_HOST`: a name or an address.
    pub host: String,
    /// `SMTP_PORT` (default 587).
    pub port: u16,
    /// `SMTP_TLS`.
    pub tls: MailTls,
    /// `SMTP_USER` and `SMTP_PASSWORD`; `None`: nobody signs in.
    pub login: Option<(String, Secret)>,
    /// `SMTP_FROM` (default `agnes@DOMAIN`).
    pub from: String,
}

/// How the way to the server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailTls {
    /// Begins without TLS and insists on it before anything is said.
    Starttls,
    /// Begins with TLS.
    Tls,
    /// Not at all.
    None,
}

impl MailTls {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Starttls, Self::Tls, Self::None];

    /// The word of the settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starttls => "starttls",
            Self::Tls => "tls",
            Self::None => "none",
        }
    }
}
