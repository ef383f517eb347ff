//! Every value of this deployment that nobody else may learn, wherever it is kept.
//!
//! Always true: a value that is too short to be told from words is not among them: it would take the words with it.
//!
//! Does not: say which value is which.

use std::path::{Path, PathBuf};

use agnes_config::{Loaded, Settings, dotenv, env_keys};
use anyhow::Result;
use zeroize::Zeroizing;

use crate::host::{Entry, Host};

/// Shorter ones stand in too many words.
const LEAST: usize = 6;
/// Parts of names behind which there is a secret, whoever chose the name.
const TELLING: [&str; 11] = [
    "SECRET",
    "TOKEN",
    "PASS",
    "PWD",
    "KEY",
    "CREDENTIAL",
    "WEBHOOK",
    "DSN",
    "HEARTBEAT",
    "SALT",
    "AUTH",
];

/// What makes the names of people others in each report.
///
/// # Errors
/// When the system has no random bytes.
pub(super) fn salt() -> Result<[u8; 16]> {
    let mut salt = [0; 16];
    aws_lc_rs::rand::fill(&mut salt)
        .map_err(|_| anyhow::anyhow!("no random bytes from the system"))?;
    Ok(salt)
}

/// All of them.
pub(super) fn secrets(host: &Host, loaded: &Loaded, dir: &Path) -> Vec<Zeroizing<String>> {
    let mut all = Vec::new();
    let mut add = |text: &str| {
        let text = text.trim();
        // an address of a secret is none
        if text.len() >= LEAST && !text.starts_with("sm://") {
            all.push(Zeroizing::new(text.to_owned()));
        }
    };
    if let Some(settings) = &loaded.settings {
        of_settings(settings, &mut add);
    }
    // also with settings that are wrong: where the state is by them, by what they say of it, and by default
    for state_dir in state_dirs(loaded, dir) {
        below(host, &state_dir.join("secrets"), &mut add, 4);
    }
    let env = host.read(&dir.join(".env")).ok().flatten();
    let env = Zeroizing::new(env.unwrap_or_default());
    for entry in &dotenv::parse(&env, &|_| None).entries {
        match entry.key.strip_suffix("_FILE") {
            Some(name) if is_telling(name) => of_file(host, dir, &entry.value, &mut add),
            _ if is_telling(&entry.key) => add(&entry.value),
            _ => {}
        }
    }
    for value in &loaded.values {
        if value.key.ends_with("_FILE") || value.toml.is_some_and(|path| path.ends_with("_file")) {
            of_file(host, dir, &value.value, &mut add);
        }
    }
    // what was switched off is still a secret
    for line in String::from_utf8_lossy(&env).lines() {
        let off = line.trim_start().strip_prefix('#').map(str::trim_start);
        let (name, value) = off
            .and_then(|line| line.split_once('='))
            .unwrap_or_default();
        if is_telling(name) && !name.contains(char::is_whitespace) {
            add(value.trim_matches(['"', '\'']));
        }
    }
    // one that holds another goes first
    all.sort_unstable_by(|a, b| (b.len(), a.as_str()).cmp(&(a.len(), b.as_str())));
    all.dedup();
    all
}

/// Where the state may be.
fn state_dirs(loaded: &Loaded, dir: &Path) -> Vec<PathBuf> {
    let of = |key: &str| {
        let value = loaded.values.iter().find(|value| value.key == key);
        value.map(|value| dir.join(&value.value))
    };
    let mut all = vec![PathBuf::from("/data/state")];
    all.extend(of("STATE_DIR"));
    all.extend(of("DATA_DIR").map(|data_dir| data_dir.join("state")));
    all.sort_unstable();
    all.dedup();
    all
}

/// What a file holds that a setting names.
fn of_file(host: &Host, dir: &Path, named: &str, add: &mut impl FnMut(&str)) {
    let bytes = host.read_end(&dir.join(named), 64 << 10).ok().flatten();
    let bytes = Zeroizing::new(bytes.unwrap_or_default());
    let text = Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned());
    add(&text);
    lines_of(&text, add);
}

/// Of a key in lines each line is one.
fn lines_of(text: &str, add: &mut impl FnMut(&str)) {
    text.lines().filter(|line| line.len() > 24).for_each(add);
}

fn is_telling(name: &str) -> bool {
    let upper = name.to_uppercase();
    let known = env_keys::by_env(name).is_some_and(env_keys::Key::is_secret);
    known || TELLING.iter().any(|part| upper.contains(part))
}

fn of_settings(settings: &Settings, add: &mut impl FnMut(&str)) {
    let secrets = &settings.secrets;
    let keys = [&secrets.jwt, &secrets.session, &secrets.scheduler];
    let keys = keys
        .into_iter()
        .flat_map(|keys| [&keys.current, &keys.previous]);
    let alerts = &settings.alerts;
    let others = [
        &secrets.bootstrap,
        &alerts.webhook,
        &alerts.json,
        &alerts.heartbeat,
    ];
    for secret in keys.chain(others).flatten() {
        add(secret.expose());
    }
    if let Some((_, password)) = settings.mail.as_ref().and_then(|mail| mail.login.as_ref()) {
        add(password.expose());
    }
}

/// Files of secrets, all generations.
fn below(host: &Host, directory: &Path, add: &mut impl FnMut(&str), depth: u8) {
    for name in host.list(directory).unwrap_or_default() {
        let path = directory.join(name);
        match host.entry(&path) {
            Ok(Entry::File { .. }) => {
                let bytes = Zeroizing::new(host.read(&path).ok().flatten().unwrap_or_default());
                let text = Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned());
                add(&text);
                lines_of(&text, add);
            }
            Ok(Entry::Directory) if depth > 0 => below(host, &path, add, depth - 1),
            _ => {}
        }
    }
}
