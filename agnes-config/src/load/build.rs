//! From texts with provenance to validated settings.
//!
//! Always true: a wrong value is reported once, with the place it came from, and validation goes on with the default so
//! that the next wrong value is found too.
//!
//! Does not: read anything.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::layers::{Layers, List, Raw, problem};
use super::{Loaded, Problem, Source, Value, checks};
use crate::env_keys::{self as keys, KEYS, Key, Kind};
use crate::settings::{
    CaddyTarget, Consent, Domain, Fetch, Machine, ProcessTarget, ReloadWay, RestartTarget, Runtime,
    ServedAddress, Settings, Signal, Tls,
};
use crate::source_url::SourceUrl;
use crate::values;

mod alerts;
mod jobs;
mod mail;
mod oidc;
mod secrets;
mod server;
mod snapshot;
mod stack;
mod upgrade;

/// Validates everything and says where each value came from.
pub(super) fn build(dir: PathBuf, layers: Layers) -> Loaded {
    let mut builder = Builder {
        raws: layers.raws,
        shown: BTreeMap::new(),
        faults: BTreeMap::new(),
        problems: layers.problems,
        warnings: layers.warnings,
        server_problems: layers.server_problems,
    };
    builder.take(&keys::CONFIG_VERSION, values::version);
    let runtime = builder
        .take(&keys::RUNTIME, values::runtime)
        .unwrap_or(Runtime::Compose);
    let (data_dir, state_dir) = builder.dirs(&dir);
    let log_level = builder.take(&keys::LOG_LEVEL, values::log_level);
    let tls = builder.tls(&dir);
    let server = builder.server(&tls.domain);
    let mut settings = Settings {
        mail: builder.mail(&tls.domain),
        oidc: builder.oidc(),
        secrets: builder.secrets(),
        provisions: builder.provisions(layers.provisions),
        server_owner: builder.server_owner(runtime),
        limits: builder.limits(),
        audit: builder.audit(),
        store: builder.store(),
        jobs: builder.jobs(layers.jobs, &layers.credentials),
        stack: builder.stack(),
        alerts: builder.alerts(),
        machine: builder.machine(&dir),
        upgrade: builder.upgrade(),
        snapshot: builder.snapshot(),
        runtime,
        log_level: log_level.unwrap_or_else(|| "info".to_owned()),
        tls,
        fetch: builder.fetch(),
        server,
        dir,
        data_dir,
        state_dir,
    };
    builder.served_by_the_listener(&mut settings);
    builder.reload(layers.reload, &mut settings);
    checks::check(&settings, &mut builder);
    settings.tls.keep_each_alias_once();
    builder.finish(settings)
}

pub(super) struct Builder {
    raws: BTreeMap<&'static str, Raw>,
    /// Values whose text for people is not what was written.
    shown: BTreeMap<&'static str, (String, Source)>,
    faults: BTreeMap<&'static str, String>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    server_problems: Vec<Problem>,
}

impl Builder {
    /// One process is looked at where it listens for TLS, and nowhere when it does not, unless somebody says otherwise.
    fn served_by_the_listener(&mut self, settings: &mut Settings) {
        if settings.runtime != Runtime::Process || self.is_set(&keys::SERVED_ADDRESS) {
            return;
        }
        let listener = settings
            .server
            .tls_listen
            .filter(|address| address.port() != 0);
        if let Some(mut address) = listener {
            if address.ip().is_unspecified() {
                address.set_ip(match address {
                    SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                    SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
                });
            }
            let shown = (address.to_string(), Source::Default);
            self.shown.insert(keys::SERVED_ADDRESS.name(), shown);
            settings.tls.served_address = ServedAddress::At(address.to_string());
        } else if !self.is_set(&keys::TLS_LISTEN) {
            let shown = ("none".to_owned(), Source::Default);
            self.shown.insert(keys::SERVED_ADDRESS.name(), shown);
            settings.tls.served_address = ServedAddress::Off;
        }
    }

    /// Is there anything, right or wrong, from somebody?
    pub(super) fn is_set(&self, key: &Key) -> bool {
        self.raws.contains_key(key.name())
    }

    /// Was it given and wrong?
    pub(super) fn is_wrong(&self, key: &Key) -> bool {
        self.faults.contains_key(key.name())
    }

    fn source(&self, key: &Key) -> Source {
        let raw = self.raws.get(key.name()).map(|raw| &raw.source);
        // Of what is no single text there is only what is shown.
        let shown = || self.shown.get(key.name()).map(|(_, source)| source);
        raw.or_else(shown).cloned().unwrap_or(Source::Default)
    }

    /// Reports a problem of `key`, which nobody set, at the place where `at` was written.
    pub(super) fn fault_at(&mut self, at: &Key, key: &'static Key, message: impl Into<String>) {
        self.push(problem(self.source(at), Some(key.name()), message), key);
    }

    /// Reports a problem of `key` where it was written, by the name it has there.
    pub(super) fn fault(&mut self, key: &'static Key, message: impl Into<String>) {
        self.push(
            problem(self.source(key), Some(&self.written(key)), message),
            key,
        );
    }

    fn push(&mut self, problem: Problem, key: &'static Key) {
        self.faults.insert(key.name(), problem.message.clone());
        self.problems.push(problem);
    }

    fn written(&self, key: &Key) -> String {
        let raw = self.raws.get(key.name());
        raw.map_or(key.name().to_owned(), |raw| raw.written.clone())
    }

    /// Reports what keeps the server from starting.
    fn server_fault(&mut self, key: &'static Key, message: impl Into<String>) {
        let problem = problem(self.source(key), Some(&self.written(key)), message);
        self.faults.insert(key.name(), problem.message.clone());
        self.server_problems.push(problem);
    }

    /// Warns of `key`, which nobody set, at the place where `at` was written.
    pub(super) fn warn_at(&mut self, at: &Key, key: &Key, message: impl Into<String>) {
        let warning = problem(self.source(at), Some(key.name()), message);
        self.warnings.push(warning);
    }

    pub(super) fn warn(&mut self, key: &'static Key, message: impl Into<String>) {
        let warning = problem(self.source(key), Some(&self.written(key)), message);
        self.warnings.push(warning);
    }

    fn show(&mut self, key: &'static Key, text: impl Into<String>) {
        let source = self.source(key);
        self.shown.insert(key.name(), (text.into(), source));
    }

    /// The parsed value; `None` when nobody set it or it is wrong, which is then reported.
    fn take<T>(
        &mut self,
        key: &'static Key,
        parse: impl FnOnce(&str) -> values::Parsed<T>,
    ) -> Option<T> {
        let raw = self.raws.get(key.name())?;
        let parsed = match &raw.problem {
            Some(problem) => Err(problem.clone()),
            None => parse(&raw.text).map_err(|what| expecting(&what, key.kind)),
        };
        parsed.map_err(|message| self.fault(key, message)).ok()
    }

    fn path(&mut self, key: &'static Key, dir: &Path) -> Option<PathBuf> {
        let path = self.take(key, |text| values::path(dir, text))?;
        self.show(key, path.display().to_string());
        Some(path)
    }

    fn dirs(&mut self, dir: &Path) -> (PathBuf, PathBuf) {
        let data_dir = self.path(&keys::DATA_DIR, dir);
        let data_dir = data_dir.unwrap_or_else(|| PathBuf::from("/data"));
        let state_dir = self.path(&keys::STATE_DIR, dir).unwrap_or_else(|| {
            let state_dir = data_dir.join("state");
            if !self.is_set(&keys::STATE_DIR) {
                self.show(&keys::STATE_DIR, state_dir.display().to_string());
            }
            state_dir
        });
        (data_dir, state_dir)
    }

    fn url(&mut self, key: &'static Key) -> Option<SourceUrl> {
        if let Some(raw) = self.raws.get(key.name()) {
            let shown = values::redacted_url(&raw.text);
            self.show(key, shown);
        }
        let url = self.take(key, values::source_url)?;
        self.show(key, url.to_string());
        Some(url)
    }

    fn endpoint(&mut self, key: &'static Key) -> Option<url::Url> {
        if let Some(raw) = self.raws.get(key.name()) {
            let shown = values::redacted_url(&raw.text);
            self.show(key, shown);
        }
        self.take(key, values::endpoint)
    }

    fn tls(&mut self, dir: &Path) -> Tls {
        let domain = self.take(&keys::DOMAIN, values::domain);
        let domain = domain.unwrap_or_else(|| Domain("localhost".to_owned()));
        let subject = self.take(&keys::CSR_SUBJECT, values::subject::subject);
        if !self.is_set(&keys::CSR_SUBJECT) {
            self.show(&keys::CSR_SUBJECT, format!("/CN={}", domain.as_str()));
        }
        let served = self.take(&keys::SERVED_ADDRESS, values::served);
        Tls {
            aliases: self
                .take(&keys::DOMAIN_ALIAS, values::domains)
                .unwrap_or_default(),
            fullchain_url: self.url(&keys::FULLCHAIN_URL),
            privkey_url: self.url(&keys::PRIVKEY_URL),
            csr_subject: subject
                .unwrap_or_else(|| vec![("CN".to_owned(), domain.as_str().to_owned())]),
            served_address: served.unwrap_or_else(|| ServedAddress::At("127.0.0.1:443".to_owned())),
            ca_bundle: self.path(&keys::CA_BUNDLE, dir),
            key_type: self.take(&keys::KEY_TYPE, values::key_type),
            file_owner: self.take(&keys::FILE_OWNER, values::owner),
            reload: Vec::new(),
            domain,
        }
    }

    fn machine(&mut self, dir: &Path) -> Machine {
        let mut may = |key| match self.take(key, values::truth) {
            Some(true) => Consent::Given,
            Some(false) | None => Consent::Withheld,
        };
        Machine {
            format_blank: may(&keys::FORMAT_BLANK),
            install_docker: may(&keys::INSTALL_DOCKER),
            data_device: self.path(&keys::DATA_DEVICE, dir),
        }
    }

    fn fetch(&mut self) -> Fetch {
        let connect = self.take(&keys::CONNECT_TIMEOUT, values::deadline);
        let timeout = self.take(&keys::TIMEOUT, values::deadline);
        Fetch {
            connect_timeout: connect.unwrap_or(Duration::from_secs(5)),
            timeout: timeout.unwrap_or(Duration::from_secs(25)),
            max_bytes: self.take(&keys::MAX_SIZE, values::size).unwrap_or(1 << 20),
            sm_endpoint: self.endpoint(&keys::SM_ENDPOINT),
            gcs_endpoint: self.endpoint(&keys::GCS_ENDPOINT),
            google_project: self.take(&keys::GOOGLE_PROJECT, values::project),
        }
    }

    fn reload(&mut self, configured: Option<List<ReloadWay>>, settings: &mut Settings) {
        let default = || Settings::default_reload(settings.runtime, &settings.state_dir);
        let (ways, source) = match configured {
            Some(configured) => {
                if let Some(problem) = configured.problem {
                    self.faults.insert(keys::RELOAD.name(), problem);
                }
                let ways = configured.items.into_iter().map(|item| item.value);
                (ways.collect(), configured.source)
            }
            None => (default(), Source::Default),
        };
        let shown: Vec<String> = ways.iter().map(shown_way).collect();
        let shown = (shown.join("; "), source);
        self.shown.insert(keys::RELOAD.name(), shown);
        settings.tls.reload = ways;
    }

    fn finish(mut self, settings: Settings) -> Loaded {
        self.problems.sort();
        self.problems.dedup();
        self.warnings.sort();
        self.warnings.dedup();
        self.server_problems.sort();
        let values = KEYS.iter().map(|key| self.value(key)).collect();
        Loaded {
            settings: self.problems.is_empty().then_some(settings),
            values,
            problems: self.problems,
            warnings: self.warnings,
            server_problems: self.server_problems,
        }
    }

    fn value(&self, key: &Key) -> Value {
        let (value, source) = match (self.shown.get(key.name()), self.raws.get(key.name())) {
            (Some((text, source)), _) => (text.clone(), source.clone()),
            (None, Some(raw)) => (raw.text.clone(), raw.source.clone()),
            (None, None) if key.is_secret() => ("<not set>".to_owned(), Source::Default),
            (None, None) => (key.default.unwrap_or_default().to_owned(), Source::Default),
        };
        Value {
            key: key.name(),
            toml: key.toml,
            value: value.replace(|c: char| c.is_control(), " "),
            source,
            problem: self.faults.get(key.name()).cloned().or_else(|| {
                let raw = self.raws.get(key.name())?;
                raw.problem.clone()
            }),
        }
    }
}

/// `what` and what was expected; a URL's own error says both.
fn expecting(what: &str, kind: Kind) -> String {
    match kind {
        Kind::SourceUrl => what.to_owned(),
        _ => format!("{what} (expected {})", kind.expected()),
    }
}

/// A way for people. Of a command only the program: its arguments may hold a token.
fn shown_way(way: &ReloadWay) -> String {
    match way {
        ReloadWay::Signal { target, signal } => {
            let signal = match signal {
                Signal::Usr1 => "SIGUSR1",
                Signal::Usr2 => "SIGUSR2",
                Signal::Hup => "SIGHUP",
            };
            let target = match target {
                ProcessTarget::PidFile(path) => format!("pid_file {}", path.display()),
                ProcessTarget::Unit(unit) => format!("unit {unit}"),
                ProcessTarget::ComposeService(service) => format!("compose_service {service}"),
            };
            format!("signal {signal} to {target}")
        }
        ReloadWay::CaddyAdmin { target } => match target {
            CaddyTarget::Url(url) => format!("caddy-admin at {url}"),
            CaddyTarget::ComposeService { service, config } => {
                format!("caddy-admin in compose_service {service} with {config}")
            }
        },
        ReloadWay::Command { argv } => {
            let program = argv.first().map(String::as_str).unwrap_or_default();
            format!(
                "command {program} with {} arguments",
                argv.len().saturating_sub(1)
            )
        }
        ReloadWay::Restart { target } => match target {
            RestartTarget::Unit(unit) => format!("restart unit {unit}"),
            RestartTarget::ComposeService(service) => format!("restart compose_service {service}"),
        },
    }
}
