//! What mail goes through, and whom it is for.
//!
//! Always true: as its parent.
//!
//! Does not: resolve names.

use std::net::IpAddr;

use super::{Parsed, count, domain, network, quoted, words};
use crate::settings::MailTls;

pub(crate) fn emails(text: &str) -> Parsed<Vec<String>> {
    let mut all = Vec::new();
    for word in words(text) {
        let address = network::email(word)?;
        if !all.contains(&address) {
            all.push(address);
        }
    }
    match all.is_empty() {
        true => Err("is empty".to_owned()),
        false => Ok(all),
    }
}

/// A name or an address, without port and brackets.
pub(crate) fn host(text: &str) -> Parsed<String> {
    let is_address = text.parse::<IpAddr>().is_ok();
    match is_address || text == "localhost" {
        true => Ok(text.to_owned()),
        false if text.starts_with('*') => Err(format!("{} is a wildcard", quoted(text))),
        false => domain(text).map(|domain| domain.as_str().to_owned()),
    }
}

pub(crate) fn port(text: &str) -> Parsed<u16> {
    let number = count(text, 1, u16::MAX.into())?;
    u16::try_from(number).map_err(|_| format!("{} is no port", quoted(text)))
}

pub(crate) fn tls(text: &str) -> Parsed<MailTls> {
    let known = MailTls::ALL.into_iter().find(|way| way.as_str() == text);
    known.ok_or_else(|| format!("{} is no such way", quoted(text)))
}

pub(crate) fn user(text: &str) -> Parsed<String> {
    let sound = text.chars().count() <= 256 && !text.chars().any(char::is_control);
    match sound {
        true => Ok(text.to_owned()),
        false => Err("is no name".to_owned()),
    }
}

/// Is it this host?
pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host.parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_recipients_are_what_a_mail_server_takes() {
        for sound in [
            "smtp.example.com",
            "localhost",
            "192.0.2.25",
            "2001:db8::25",
        ] {
            assert_eq!(host(sound).unwrap(), sound);
        }
        for wrong in ["", "smtp.example.com:587", "*.example.com", "a b", "[::1]"] {
            assert!(host(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(
            emails("a@example.com, b@example.com a@example.com").unwrap(),
            ["a@example.com", "b@example.com"]
        );
        for wrong in ["", ",", "a@example.com,b"] {
            assert!(emails(wrong).is_err(), "{wrong:?}");
        }
        assert!(port("0").is_err() && port("65536").is_err());
        assert!(user("a\nb").is_err());
    }
}
