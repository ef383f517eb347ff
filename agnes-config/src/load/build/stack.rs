//! The Compose stack.
//!
//! Always true: as its parent.
//!
//! Does not: read anything.

use super::Builder;
use crate::env_keys as keys;
use crate::load::Source;
use crate::settings::{Overlay, Stack, TlsMode};
use crate::values::stack as values;

impl Builder {
    pub(super) fn stack(&mut self) -> Stack {
        let overlays = self.take(&keys::OVERLAYS, values::overlays);
        let image = self.take(&keys::IMAGE, values::image);
        let tag = self.take(&keys::TAG, values::tag);
        Stack {
            overlays: overlays.unwrap_or_else(|| vec![Overlay::Prod, Overlay::HostMount]),
            tls_mode: self.tls_mode(),
            image: image.unwrap_or_else(|| "agnes".to_owned()),
            tag: tag.unwrap_or_else(|| "stable".to_owned()),
        }
    }

    /// The mode that was said, by its own key or by the directive; they must not contradict each other, for the proxy hears
    /// the directive alone.
    fn tls_mode(&mut self) -> TlsMode {
        let said = self.take(&keys::TLS_MODE, values::tls_mode);
        let directive = self.take(&keys::CADDY_TLS, values::caddy_tls);
        let by_default = if self.is_set(&keys::FULLCHAIN_URL) {
            TlsMode::Files
        } else {
            TlsMode::None
        };
        let Some(mode) = said else {
            let mode = directive.unwrap_or(by_default);
            if !self.is_set(&keys::TLS_MODE) {
                let shown = (mode.as_str().to_owned(), Source::Default);
                self.shown.insert(keys::TLS_MODE.name(), shown);
            }
            return mode;
        };
        match (mode, directive) {
            _ if self.is_wrong(&keys::CADDY_TLS) => {}
            // the directive is not heard without TLS, and the pair on disk needs none
            (TlsMode::None, _) | (TlsMode::Files, None) => {}
            (_, Some(directive)) if directive == mode => {}
            (_, Some(directive)) => {
                let message = format!(
                    "is {}, but CADDY_TLS means {}",
                    mode.as_str(),
                    directive.as_str()
                );
                self.fault(&keys::TLS_MODE, message);
            }
            (TlsMode::Acme, None) => {
                let message = "is acme, but CADDY_TLS is not set (expected tls you@example.com)";
                self.fault(&keys::TLS_MODE, message);
            }
            (TlsMode::Internal, None) => {
                let message = "is internal, but CADDY_TLS is not set (expected tls internal)";
                self.fault(&keys::TLS_MODE, message);
            }
        }
        mode
    }
}

#[cfg(test)]
mod tests {
    use crate::{Loaded, TlsMode};

    fn load(pairs: &[(&str, &str)]) -> Loaded {
        let dir = tempfile::tempdir().unwrap();
        let variables = pairs.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        crate::load(dir.path(), variables, &[])
    }

    #[test]
    fn the_mode_is_what_was_said_and_never_guessed() {
        let url = ("TLS_FULLCHAIN_URL", "file:///chain.pem");
        let domain = ("DOMAIN", "agnes.example.com");
        let acme = ("CADDY_TLS", "tls you@example.com");
        let internal = ("CADDY_TLS", "tls internal");
        for (pairs, mode) in [
            (vec![], TlsMode::None),
            (vec![url, domain], TlsMode::Files),
            (vec![acme], TlsMode::Acme),
            (vec![url, domain, acme], TlsMode::Acme),
            (vec![internal], TlsMode::Internal),
            (vec![("TLS_MODE", "files")], TlsMode::Files),
            (vec![("TLS_MODE", "none"), url, domain, acme], TlsMode::None),
            (vec![("TLS_MODE", "acme"), acme], TlsMode::Acme),
        ] {
            let loaded = load(&pairs);
            assert_eq!(loaded.problems, [], "{pairs:?}");
            assert_eq!(loaded.settings.unwrap().stack.tls_mode, mode, "{pairs:?}");
        }
    }

    #[test]
    fn a_mode_that_the_proxy_would_not_hear_is_a_problem() {
        for (pairs, wrong) in [
            (vec![("TLS_MODE", "acme")], "CADDY_TLS is not set"),
            (vec![("TLS_MODE", "internal")], "CADDY_TLS is not set"),
            (
                vec![("TLS_MODE", "files"), ("CADDY_TLS", "tls internal")],
                "CADDY_TLS means internal",
            ),
            (vec![("TLS_MODE", "on")], "is no mode"),
            (vec![("AGNES_OVERLAYS", "prod,dev")], "exclude each other"),
            (vec![("AGNES_IMAGE", "agnes:1")], "has a tag"),
        ] {
            let problems = load(&pairs).problems;
            assert!(
                matches!(problems.as_slice(), [one] if one.to_string().contains(wrong)),
                "{pairs:?}: {problems:?}"
            );
        }
    }
}
