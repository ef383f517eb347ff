//! Secrets in a snapshot: a tar that is encrypted with age, for whoever holds the identity.
//!
//! Always true: what is not encrypted is never on the disk; the key of TLS is not among them.
//!
//! Does not: hold an identity: it comes from a person, for a restore.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use agnes_config::{Settings, dotenv, env_keys};
use anyhow::{Context as _, Result};
use zeroize::Zeroizing;

use crate::host::Host;

/// Its name in a snapshot.
pub const SEALED: &str = "secrets.tar.age";
/// `.env`, whole.
const ENV: &str = ".env";
/// The durable values, one file each.
const DURABLE: &str = "secrets";

/// A key and its value.
pub type Pair = (String, Zeroizing<String>);

/// Encrypts `.env` and the durable secrets; `None`: there is neither.
///
/// # Errors
/// When something cannot be read, or a recipient is none.
pub fn seal(host: &Host, settings: &Settings) -> Result<Option<Vec<u8>>> {
    let mut found: Vec<(PathBuf, Zeroizing<Vec<u8>>)> = Vec::new();
    let path = settings.dir.join(ENV);
    let bytes = host.read(&path);
    if let Some(bytes) = bytes.with_context(|| format!("{}: read", path.display()))? {
        found.push((PathBuf::from(ENV), Zeroizing::new(bytes)));
    }
    let secrets = settings.state_dir.join("secrets");
    let names = host.list(&secrets);
    for name in names.with_context(|| format!("{}: list", secrets.display()))? {
        let current = secrets.join(&name).join("current");
        let bytes = host.read(&current);
        if let Some(bytes) = bytes.with_context(|| format!("{}: read", current.display()))? {
            found.push((Path::new(DURABLE).join(name), Zeroizing::new(bytes)));
        }
    }
    if found.is_empty() {
        return Ok(None);
    }
    let mut recipients = Vec::new();
    for text in &settings.snapshot.age_recipients {
        let recipient: age::x25519::Recipient = text
            .parse()
            .map_err(|why| anyhow::anyhow!("snapshot.age_recipient: {text}: {why}"))?;
        recipients.push(recipient);
    }
    let each = recipients.iter().map(|one| one as &dyn age::Recipient);
    let encryptor = age::Encryptor::with_recipients(each).context("age")?;
    let mut sealed = Vec::new();
    let mut inside = encryptor.wrap_output(&mut sealed).context("age")?;
    inside.write_all(&tar(&found)?).context("age")?;
    inside.finish().context("age")?;
    Ok(Some(sealed))
}

fn tar(files: &[(PathBuf, Zeroizing<Vec<u8>>)]) -> Result<Zeroizing<Vec<u8>>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        header.set_cksum();
        builder
            .append_data(&mut header, path, bytes.as_slice())
            .with_context(|| format!("{}: put into the tar", path.display()))?;
    }
    Ok(Zeroizing::new(builder.into_inner().context("tar")?))
}

/// The secrets: of `.env` what is no setting of ours, and every durable value.
///
/// # Errors
/// One clause: when the identity is none, or not one of those it was encrypted to.
pub fn open(sealed: &[u8], identity: &str) -> Result<Vec<Pair>, String> {
    let lines = identity.lines().map(str::trim);
    let keys: Vec<age::x25519::Identity> = lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            line.parse()
                .map_err(|why: &str| format!("the identity: {why}"))
        })
        .collect::<Result<_, _>>()?;
    let each = keys.iter().map(|one| one as &dyn age::Identity);
    let decryptor = age::Decryptor::new(sealed).map_err(|why| why.to_string())?;
    let mut reader = decryptor.decrypt(each).map_err(|why| why.to_string())?;
    let mut plain = Zeroizing::new(Vec::new());
    reader
        .read_to_end(&mut plain)
        .map_err(|why| why.to_string())?;
    let mut pairs: Vec<Pair> = Vec::new();
    let mut archive = tar::Archive::new(plain.as_slice());
    for entry in archive.entries().map_err(|why| why.to_string())? {
        let mut entry = entry.map_err(|why| why.to_string())?;
        let path = entry.path().map_err(|why| why.to_string())?.into_owned();
        let mut bytes = Zeroizing::new(Vec::new());
        entry
            .read_to_end(&mut bytes)
            .map_err(|why| why.to_string())?;
        if path == Path::new(ENV) {
            pairs.extend(of_env(&bytes));
        } else if let Ok(name) = path.strip_prefix(DURABLE) {
            let name = name.to_string_lossy().into_owned();
            let value = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            pairs.retain(|(known, _)| *known != name);
            pairs.push((name, Zeroizing::new(value)));
        }
    }
    Ok(pairs)
}

fn of_env(bytes: &[u8]) -> Vec<Pair> {
    let parsed = dotenv::parse(bytes, &|_| None);
    let entries = parsed.entries.iter();
    let secret = entries.filter(|entry| {
        let setting = env_keys::by_env(&entry.key).is_some_and(|key| !key.is_secret());
        // a key that rotation is about to take away, or where a file is
        let passing = entry.key.ends_with("_PREVIOUS") || entry.key.ends_with("_FILE");
        !setting && !passing && !entry.inherited && !entry.value.is_empty()
    });
    secret
        .map(|entry| (entry.key.clone(), Zeroizing::new(entry.value.clone())))
        .collect()
}
