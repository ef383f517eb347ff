//! Values of the Compose stack.
//!
//! Always true: as its parent; what is accepted means the same to Compose and to Caddy.
//!
//! Does not: compare values with each other (that is `load::checks`).

use super::{Parsed, network, quoted, words};
use crate::settings::{Overlay, TlsMode};

/// Longest tag and repository that engines take.
const TAG_MAX: usize = 128;
const NAME_MAX: usize = 255;

/// Each once, in the order in which they are laid over each other; `base` stands alone.
pub(crate) fn overlays(text: &str) -> Parsed<Vec<Overlay>> {
    if text == "base" {
        return Ok(Vec::new());
    }
    let mut overlays = words(text)
        .map(|word| {
            let known = Overlay::ALL
                .into_iter()
                .find(|known| known.as_str() == word);
            known.ok_or_else(|| format!("{} is no part of the stack", quoted(word)))
        })
        .collect::<Parsed<Vec<_>>>()?;
    overlays.sort_unstable();
    overlays.dedup();
    if overlays.contains(&Overlay::Prod) && overlays.contains(&Overlay::Dev) {
        return Err("prod and dev exclude each other".to_owned());
    }
    Ok(overlays)
}

/// A registry (a host that has a dot, a port or is localhost) and a repository in lower case.
pub(crate) fn image(text: &str) -> Parsed<String> {
    let wrong = || format!("{} is no image's name", quoted(text));
    if text.contains('@') {
        // what stands before it may be a password, and is not repeated
        return Err("has a digest, or a user".to_owned());
    }
    let mut parts = text.split('/').peekable();
    let first = parts.peek().copied().unwrap_or_default();
    let registry = text.contains('/') && (first.contains(['.', ':']) || first == "localhost");
    if registry {
        let (host, port) = first.split_once(':').unwrap_or((first, "443"));
        let sound = !host.is_empty()
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b".-".contains(&b))
            && port.parse::<u16>().is_ok();
        if !sound {
            return Err(wrong());
        }
        parts.next();
    }
    let sound = |part: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        let ends = [part.bytes().next(), part.bytes().last()];
        part.bytes().all(inner)
            && ends
                .iter()
                .all(|end| end.is_some_and(|b| b.is_ascii_alphanumeric()))
    };
    if text.len() > NAME_MAX || !parts.all(sound) {
        if text
            .rsplit('/')
            .next()
            .is_some_and(|last| last.contains(':'))
        {
            return Err(format!("{} has a tag", quoted(text)));
        }
        return Err(wrong());
    }
    Ok(text.to_owned())
}

pub(crate) fn tag(text: &str) -> Parsed<String> {
    let sound = (1..=TAG_MAX).contains(&text.len())
        && !text.starts_with(['.', '-'])
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if sound {
        return Ok(text.to_owned());
    }
    Err(format!("{} is no tag", quoted(text)))
}

pub(crate) fn tls_mode(text: &str) -> Parsed<TlsMode> {
    let known = TlsMode::ALL.into_iter().find(|mode| mode.as_str() == text);
    known.ok_or_else(|| format!("{} is no mode", quoted(text)))
}

/// The mode that the directive means.
pub(crate) fn caddy_tls(text: &str) -> Parsed<TlsMode> {
    match text.split(' ').collect::<Vec<_>>().as_slice() {
        ["tls", "internal"] => Ok(TlsMode::Internal),
        ["tls", "/certs/fullchain.pem", "/certs/privkey.pem"] => Ok(TlsMode::Files),
        // what Caddy takes for placeholders, quotes and blocks is in no address that is accepted here
        ["tls", address] if !address.contains(['{', '}', '`', '#', '$']) => {
            network::email(address).map(|_| TlsMode::Acme)
        }
        _ => Err(format!(
            "{} is no directive that is known here",
            quoted(text)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_the_stack_are_sorted_and_prod_and_dev_exclude_each_other() {
        let both = vec![Overlay::Prod, Overlay::Monitoring];
        assert_eq!(overlays("monitoring, prod prod"), Ok(both));
        assert_eq!(overlays("base"), Ok(vec![]));
        assert!(overlays("prod,dev").is_err());
        assert!(overlays("production").is_err());
        assert!(overlays("base,prod").is_err());
    }

    #[test]
    fn an_image_is_a_name_without_tag_and_digest() {
        for sound in [
            "agnes",
            "registry.example.com/team/agnes",
            "localhost:5000/agnes",
            "127.0.0.1:5000/a-b/c_d",
            "team/agnes",
        ] {
            assert_eq!(image(sound).as_deref(), Ok(sound));
        }
        for wrong in [
            "",
            "Agnes",
            "agnes:stable",
            "registry.example.com/agnes:1",
            "agnes@sha256:00",
            "a//b",
            "/agnes",
            "agnes/",
            "a b",
            "x:y/agnes",
            "$(id)",
        ] {
            assert!(image(wrong).is_err(), "{wrong}");
        }
        assert_eq!(tag("1.4.2-rc_1").as_deref(), Ok("1.4.2-rc_1"));
        for wrong in ["", ".x", "-x", "a:b", "a b"] {
            assert!(tag(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_directive_says_the_mode() {
        assert_eq!(caddy_tls("tls you@example.com"), Ok(TlsMode::Acme));
        assert_eq!(caddy_tls("tls internal"), Ok(TlsMode::Internal));
        assert_eq!(
            caddy_tls("tls /certs/fullchain.pem /certs/privkey.pem"),
            Ok(TlsMode::Files)
        );
        for wrong in [
            "tls",
            "tls off",
            "you@example.com",
            "tls you@example.com {",
            "tls {$X}@example.com",
            "tls a@example.com\nrespond x",
        ] {
            assert!(caddy_tls(wrong).is_err(), "{wrong}");
        }
    }
}
