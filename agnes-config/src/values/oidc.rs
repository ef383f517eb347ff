//! What a sign-in at an OpenID provider takes.
//!
//! Always true: as its parent.
//!
//! Does not: ask the provider.

use super::{Parsed, endpoint, quoted};
use crate::settings::OidcGroups;

/// The text itself: it is compared with what the provider says, and a final slash counts.
pub(crate) fn issuer(text: &str) -> Parsed<String> {
    endpoint(text).map(|_| text.to_owned())
}

pub(crate) fn client_id(text: &str) -> Parsed<String> {
    let sound = (1..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    match sound {
        true => Ok(text.to_owned()),
        false => Err(format!("{} is no client's name", quoted(text))),
    }
}

pub(crate) fn groups(text: &str) -> Parsed<OidcGroups> {
    if text == OidcGroups::GOOGLE {
        return Ok(OidcGroups::GoogleCloudIdentity);
    }
    let claim = text.strip_prefix("claim:");
    let claim = claim.filter(|claim| {
        (1..=256).contains(&claim.len()) && claim.bytes().all(|b| b.is_ascii_graphic())
    });
    match claim {
        Some(claim) => Ok(OidcGroups::Claim(claim.to_owned())),
        None => Err(format!("{} names neither", quoted(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_of_a_claim_or_of_google() {
        assert_eq!(
            groups("claim:groups").unwrap(),
            OidcGroups::Claim("groups".to_owned())
        );
        // namespaced claims are URLs
        assert!(groups("claim:https://example.com/groups").is_ok());
        assert_eq!(
            groups("google-cloud-identity").unwrap(),
            OidcGroups::GoogleCloudIdentity
        );
        for wrong in [
            "",
            "groups",
            "claim:",
            "claim:a b",
            "google",
            "Claim:groups",
        ] {
            assert!(groups(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_issuer_keeps_its_final_slash() {
        assert_eq!(
            issuer("https://id.example.com/").unwrap(),
            "https://id.example.com/"
        );
        assert_eq!(
            issuer("https://id.example.com").unwrap(),
            "https://id.example.com"
        );
        for wrong in [
            "",
            "id.example.com",
            "http://id.example.com",
            "https://u:p@id.example.com",
            "https://id.example.com/?a",
        ] {
            assert!(issuer(wrong).is_err(), "{wrong:?}");
        }
    }
}
