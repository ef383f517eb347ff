//! What is wrong or doubtful only when several values are seen together.
//!
//! Always true: a value that is wrong by itself is not blamed a second time.
//!
//! Does not: look at the host.

use super::build::Builder;
use crate::env_keys as keys;
use crate::settings::{
    ProcessTarget, ReloadWay, RestartTarget, Runtime, ServedAddress, Settings, Signal,
};

/// Longest common name, RFC 5280 appendix A.1.
const COMMON_NAME_MAX: usize = 64;

pub(super) fn check(settings: &Settings, builder: &mut Builder) {
    names(settings, builder);
    sources(settings, builder);
    subject(settings, builder);
    deadlines(settings, builder);
    listeners(settings, builder);
    reload(settings, builder);
}

fn names(settings: &Settings, builder: &mut Builder) {
    let tls = &settings.tls;
    if builder.is_set(&keys::FULLCHAIN_URL) && !builder.is_set(&keys::DOMAIN) {
        let message = "is not set, but TLS_FULLCHAIN_URL is (expected the DNS name that the fetched certificate is for)";
        builder.fault_at(&keys::FULLCHAIN_URL, &keys::DOMAIN, message);
    }
    if builder.is_wrong(&keys::DOMAIN) {
        return;
    }
    for (at, alias) in tls.aliases.iter().enumerate() {
        if *alias == tls.domain {
            let message = format!("{} is DOMAIN itself, so it adds nothing", alias.as_str());
            builder.warn(&keys::DOMAIN_ALIAS, message);
        } else if tls.aliases.iter().take(at).any(|earlier| earlier == alias) {
            builder.warn(
                &keys::DOMAIN_ALIAS,
                format!("{} stands there twice", alias.as_str()),
            );
        }
    }
}

fn sources(settings: &Settings, builder: &mut Builder) {
    let tls = &settings.tls;
    if tls.privkey_url.is_some() && !builder.is_set(&keys::FULLCHAIN_URL) {
        let message =
            "is set, but TLS_FULLCHAIN_URL is not, so that there is no chain to rotate to";
        builder.warn(&keys::PRIVKEY_URL, message);
    }
    if tls.privkey_url.is_some() && tls.privkey_url == tls.fullchain_url {
        let message = "is the same as TLS_FULLCHAIN_URL; a chain with a key in it is refused (expected two places)";
        builder.warn(&keys::PRIVKEY_URL, message);
    }
    if tls.privkey_url.is_some() && tls.key_type.is_some() {
        let message = "has no effect while TLS_PRIVKEY_URL brings the key";
        builder.warn(&keys::KEY_TYPE, message);
    }
}

fn subject(settings: &Settings, builder: &mut Builder) {
    let domain = settings.tls.domain.as_str();
    if !builder.is_set(&keys::CSR_SUBJECT) {
        if domain.len() > COMMON_NAME_MAX {
            let message = format!(
                "is not set, and DOMAIN is too long for its default: a common name has at most {COMMON_NAME_MAX} characters (expected for example /O=Your Org)"
            );
            builder.fault_at(&keys::DOMAIN, &keys::CSR_SUBJECT, message);
        }
        return;
    }
    if builder.is_wrong(&keys::CSR_SUBJECT) || builder.is_wrong(&keys::DOMAIN) {
        return;
    }
    let common_name = settings
        .tls
        .csr_subject
        .iter()
        .find(|(name, _)| name == "CN");
    if let Some((_, common_name)) = common_name
        && !common_name.eq_ignore_ascii_case(domain)
    {
        builder.warn(
            &keys::CSR_SUBJECT,
            format!("its CN is not DOMAIN ({domain})"),
        );
    }
}

fn deadlines(settings: &Settings, builder: &mut Builder) {
    let fetch = &settings.fetch;
    let wrong = builder.is_wrong(&keys::CONNECT_TIMEOUT) || builder.is_wrong(&keys::TIMEOUT);
    if !wrong && fetch.connect_timeout > fetch.timeout {
        let blamed = if builder.is_set(&keys::CONNECT_TIMEOUT) {
            &keys::CONNECT_TIMEOUT
        } else {
            &keys::TIMEOUT
        };
        let message = format!(
            "fetch.connect_timeout ({:?}) is longer than fetch.timeout ({:?}), which covers the whole fetch",
            fetch.connect_timeout, fetch.timeout
        );
        builder.fault(blamed, message);
    }
}

fn listeners(settings: &Settings, builder: &mut Builder) {
    let server = &settings.server;
    let Some(tls) = server.tls_listen else {
        return;
    };
    let wrong = builder.is_wrong(&keys::LISTEN);
    let shared = tls.ip() == server.listen.ip()
        || tls.ip().is_unspecified()
        || server.listen.ip().is_unspecified();
    let same_family = tls.is_ipv4() == server.listen.is_ipv4();
    if !wrong && shared && same_family && tls.port() == server.listen.port() && tls.port() != 0 {
        let message = format!("takes the same port as AGNES_LISTEN ({})", server.listen);
        builder.fault(&keys::TLS_LISTEN, message);
    }
    let port = format!(":{}", tls.port());
    if let ServedAddress::At(address) = &settings.tls.served_address
        && settings.runtime == Runtime::Process
        && !builder.is_wrong(&keys::SERVED_ADDRESS)
        && tls.port() != 0
        && !address.ends_with(&port)
    {
        let message = format!("{address} is not where agnesd listens (AGNES_TLS_LISTEN is {tls})");
        builder.warn(&keys::SERVED_ADDRESS, message);
    }
}

fn reload(settings: &Settings, builder: &mut Builder) {
    if settings.runtime == Runtime::Compose {
        return;
    }
    let needs_compose = |way: &ReloadWay| {
        matches!(
            way,
            ReloadWay::Signal {
                target: ProcessTarget::ComposeService(_),
                ..
            } | ReloadWay::CaddyAdmin {
                target: crate::settings::CaddyTarget::ComposeService { .. }
            } | ReloadWay::Restart {
                target: RestartTarget::ComposeService(_)
            }
        )
    };
    if settings.tls.reload.iter().any(needs_compose) {
        let message = "has a compose_service, but the runtime is process, which has none";
        builder.warn(&keys::RELOAD, message);
    }
    let agnesd = ReloadWay::Signal {
        target: ProcessTarget::PidFile(settings.state_dir.join("agnesd.pid")),
        signal: Signal::Usr2,
    };
    if settings.tls.reload.contains(&agnesd) {
        let message = "sends SIGUSR2 to agnesd, which does not handle it (expected SIGUSR1)";
        builder.warn(&keys::RELOAD, message);
    }
}
