//! The rows of `[mail]`: the server that takes mail for the world.
//!
//! Always true: as its parent.
//!
//! Does not: say who is written to.

use super::{BOTH, Key, Kind};

/// `SMTP_HOST`
pub static SMTP_HOST: Key = Key::new(
    Kind::MailHost,
    BOTH,
    "The mail server that takes what is sent. Not set: no mail is sent.",
)
.env("SMTP_HOST")
.toml("mail.host")
.example("smtp.example.com");
/// `SMTP_PORT`
pub static SMTP_PORT: Key = Key::new(Kind::Port, BOTH, "The port of `SMTP_HOST`.")
    .env("SMTP_PORT")
    .toml("mail.port")
    .default("587");
/// `SMTP_TLS`
pub static SMTP_TLS: Key = Key::new(
    Kind::MailTls,
    BOTH,
    "How the way to `SMTP_HOST` is protected: `starttls` begins without and insists on it, `tls` begins with it, `none` is for loopback and for relays without a password. Not set: `tls` at port 465, `none` on loopback, else `starttls`.",
)
.env("SMTP_TLS")
.toml("mail.tls")
.example("starttls");
/// `SMTP_USER`
pub static SMTP_USER: Key = Key::new(
    Kind::MailUser,
    BOTH,
    "Who signs in at `SMTP_HOST`. Not set: nobody does.",
)
.env("SMTP_USER")
.toml("mail.user")
.example("agnes@example.com");
/// `SMTP_PASSWORD`
pub static SMTP_PASSWORD: Key =
    Key::new(Kind::Secret, BOTH, "The password of `SMTP_USER`.").env("SMTP_PASSWORD");
/// `SMTP_FROM`
pub static SMTP_FROM: Key = Key::new(
    Kind::Email,
    BOTH,
    "Whom mail is from. Not set: `agnes@` and `DOMAIN`.",
)
.env("SMTP_FROM")
.toml("mail.from")
.example("agnes@example.com");
