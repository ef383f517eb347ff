//! What is wrong or doubtful only when several values are seen together.
//!
//! Always true: a value that is wrong by itself is not blamed a second time.
//!
//! Does not: look at the host.

use std::net::SocketAddr;

use ipnet::IpNet;

use super::build::Builder;
use crate::env_keys as keys;
use crate::settings::{
    MetricsListen, ProcessTarget, ReloadWay, RestartTarget, Runtime, ServedAddress, Settings,
    Signal,
};

/// Longest common name, RFC 5280 appendix A.1.
const COMMON_NAME_MAX: usize = 64;

pub(super) fn check(settings: &Settings, builder: &mut Builder) {
    names(settings, builder);
    sources(settings, builder);
    subject(settings, builder);
    deadlines(settings, builder);
    listeners(settings, builder);
    metrics(settings, builder);
    openness(settings, builder);
    rotation(settings, builder);
    reload(settings, builder);
    mail(builder);
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

fn mail(builder: &mut Builder) {
    if builder.is_set(&keys::ALERT_EMAIL_TO) && !builder.is_set(&keys::SMTP_HOST) {
        let message =
            "is not set, but ALERT_EMAIL_TO is (expected the mail server that takes what is sent)";
        builder.fault_at(&keys::ALERT_EMAIL_TO, &keys::SMTP_HOST, message);
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
    if !wrong && collide(tls, server.listen) {
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

/// Does one listener keep the other from its port?
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let shared = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    let same_family = one.is_ipv4() == other.is_ipv4();
    shared && same_family && one.port() == other.port() && one.port() != 0
}

fn metrics(settings: &Settings, builder: &mut Builder) {
    let server = &settings.server;
    let (address, default) = match server.metrics {
        MetricsListen::Off => return,
        MetricsListen::Default(address) => (address, true),
        MetricsListen::At(address) => (address, false),
    };
    let listeners = [
        (&keys::LISTEN, Some(server.listen)),
        (&keys::TLS_LISTEN, server.tls_listen),
    ];
    for (key, listener) in listeners {
        let Some(listener) = listener.filter(|listener| collide(address, *listener)) else {
            continue;
        };
        if builder.is_wrong(key) || builder.is_wrong(&keys::METRICS_ADDR) {
            continue;
        }
        let message = format!("takes the same port as {} ({listener})", key.name());
        if default {
            builder.warn_at(
                key,
                &keys::METRICS_ADDR,
                format!("is not set, and {address}, its default, {message}"),
            );
        } else {
            builder.fault(&keys::METRICS_ADDR, message);
        }
    }
}

/// Doors that somebody opened wide: allowed, and probably not meant.
fn openness(settings: &Settings, builder: &mut Builder) {
    let (server, limits) = (&settings.server, settings.limits);
    let whole = |nets: &[IpNet]| nets.iter().find(|net| net.prefix_len() == 0).copied();
    if let Some(net) = whole(&server.trusted_proxies) {
        let message = format!("{net} is everybody: any caller can claim any address");
        builder.warn(&keys::TRUSTED_PROXIES, message);
    }
    if let Some(net) = whole(&server.allowed_private_nets) {
        let message = format!("{net} is everything: the address guard stops nothing");
        builder.warn(&keys::ALLOWED_PRIVATE_NETS, message);
    }
    for (key, limit) in [
        (&keys::LIMIT_UNAUTHENTICATED, limits.unauthenticated_per_min),
        (&keys::LIMIT_AUTHENTICATED, limits.authenticated_per_min),
    ] {
        if limit == 0 {
            builder.warn(key, "is 0: there is no limit");
        }
    }
}

/// A previous key without a current one is half of a rotation.
fn rotation(settings: &Settings, builder: &mut Builder) {
    let secrets = &settings.secrets;
    for (current, previous, pair) in [
        (
            &keys::JWT_SECRET_KEY,
            &keys::JWT_SECRET_KEY_PREVIOUS,
            &secrets.jwt,
        ),
        (
            &keys::SESSION_SECRET,
            &keys::SESSION_SECRET_PREVIOUS,
            &secrets.session,
        ),
        (
            &keys::SCHEDULER_API_TOKEN,
            &keys::SCHEDULER_API_TOKEN_PREVIOUS,
            &secrets.scheduler,
        ),
    ] {
        if pair.previous.is_some() && !builder.is_set(current) {
            let message = format!("is set, but {} is not", current.name());
            builder.warn(previous, message);
        }
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
