//! `certs/` on disk: a key and its chain are one generation, and one link says which is current.
//!
//! ```text
//! certs/generations/<n>/{privkey,fullchain}.pem
//! certs/current        -> generations/<n>
//! certs/fullchain.pem  -> current/fullchain.pem
//! certs/privkey.pem    -> current/privkey.pem
//! certs/pending/<n>.pem   keys that wait for a CA's certificate
//! certs/cert.csr
//! ```
//!
//! Always true: the documented paths never dangle and never change under a reader that opened `current` once; links
//! are relative, because the directory is mounted elsewhere too; a generation that is current is never written.
//!
//! Does not: judge what is in a pair beyond whether its halves belong together.

use std::path::{Path, PathBuf};

use agnes_config::FileOwner;
use anyhow::{Context as _, Result};

use super::chain::Chain;
use super::key::PrivateKey;
use super::request::Request;
use crate::host::{Entry, Host};

/// The documented names in a generation and beside it.
const FILES: [(&str, u32); 2] = [("privkey.pem", 0o600), ("fullchain.pem", 0o644)];

/// `$STATE_DIR/certs`.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
    owner: Option<FileOwner>,
}

/// All that is there.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    /// The generation that `current` names.
    pub current: Option<u64>,
    /// The pair behind the documented paths.
    pub pair: Option<Pair>,
    /// What keeps the documented paths from being what they should: regular files, missing or foreign links.
    pub layout: Layout,
    /// Every generation, ascending.
    pub generations: Vec<u64>,
    /// The pairs of the generations that are kept beside the current one and that work, newest first.
    pub kept: Vec<(u64, PrivateKey, Chain)>,
    /// Keys that wait for a certificate, oldest first, with their numbers.
    pub pending: Vec<(u64, PrivateKey)>,
    /// What is there and cannot be used, a clause each.
    pub unusable: Vec<String>,
    /// `cert.csr`: `Err` says why it is unusable.
    pub request: Option<Result<Request, String>>,
    /// The next free number of a pending key.
    pub next_pending: u64,
}

/// How the documented paths stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// Nothing is there.
    #[default]
    Empty,
    /// Links through `current`.
    Linked,
    /// A complete generation is current, but a documented path is missing or says something else.
    LinksMissing,
    /// A documented path is a regular file: somebody else's, to be adopted.
    RegularFiles,
}

/// A key and a chain as found.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The key, or why it cannot be read as one.
    pub key: Result<PrivateKey, String>,
    /// The chain, or why it cannot be read as one.
    pub chain: Result<Chain, String>,
    /// Permission bits of the key's file.
    pub key_mode: Option<u32>,
}

impl Pair {
    /// Why a server could not start on this pair; `None`: it could.
    pub fn broken(&self) -> Option<String> {
        match (&self.key, &self.chain) {
            (Err(why), _) => Some(format!("privkey.pem: {why}")),
            (_, Err(why)) => Some(format!("fullchain.pem: {why}")),
            (Ok(key), Ok(chain)) if key.spki != chain.leaf().spki => {
                Some("privkey.pem and the leaf of fullchain.pem do not belong together".into())
            }
            _ => None,
        }
    }

    /// The key and chain of a pair that works.
    pub fn sound(&self) -> Option<(&PrivateKey, &Chain)> {
        match (&self.key, &self.chain) {
            (Ok(key), Ok(chain)) if key.spki == chain.leaf().spki => Some((key, chain)),
            _ => None,
        }
    }
}

impl Disk {
    /// A number that no generation has or had, as far as the disk shows.
    pub fn next_generation(&self) -> u64 {
        self.generations
            .iter()
            .copied()
            .chain(self.current)
            .max()
            .unwrap_or(0)
            + 1
    }
}

impl Store {
    /// The store of a deployment.
    pub fn new(state_dir: &Path, owner: Option<FileOwner>) -> Self {
        Self {
            directory: state_dir.join("certs"),
            owner,
        }
    }

    /// Where `cert.csr` is.
    pub fn request_path(&self) -> PathBuf {
        self.directory.join("cert.csr")
    }

    /// `certs/`.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Looks at everything; writes nothing.
    ///
    /// # Errors
    /// When something is there and cannot be read: nothing may be assumed about it.
    pub fn observe(&self, host: &Host) -> Result<Disk> {
        let look = |path: &Path| {
            host.entry(path)
                .with_context(|| format!("{}: look at", path.display()))
        };
        let mut disk = Disk {
            current: self.current(host)?,
            ..Disk::default()
        };
        let names = host
            .list(&self.directory.join("generations"))
            .context("list generations")?;
        disk.generations = names.iter().filter_map(|name| number(name)).collect();
        disk.generations.sort_unstable();
        let mut regular = false;
        let mut linked = true;
        for (name, _) in FILES {
            match look(&self.directory.join(name))? {
                Entry::File { .. } => regular = true,
                Entry::Link(target) if target == Path::new("current").join(name) => {}
                // somebody else's link to a file that is there is adopted like the file
                Entry::Link(_) if self.directory.join(name).is_file() => regular = true,
                Entry::Link(_) | Entry::Absent => linked = false,
                Entry::Directory | Entry::Other => {
                    anyhow::bail!(
                        "{}: neither a file nor a link; left as it is",
                        self.directory.join(name).display()
                    )
                }
            }
        }
        disk.layout = match (regular, disk.current, linked) {
            (true, _, _) => Layout::RegularFiles,
            (false, Some(_), true) => Layout::Linked,
            (false, Some(_), false) => Layout::LinksMissing,
            (false, None, _) => Layout::Empty,
        };
        disk.pair = match disk.layout {
            Layout::Empty => None,
            Layout::Linked | Layout::LinksMissing => {
                Some(self.read_pair(host, &self.directory.join("current"))?)
            }
            Layout::RegularFiles => Some(self.read_pair(host, &self.directory)?),
        };
        for number in disk
            .generations
            .iter()
            .rev()
            .filter(|number| Some(**number) != disk.current)
        {
            // half-made ones are a killed run's, and no pair
            let pair = self.read_pair(host, &self.generation(*number))?;
            if let Some((key, chain)) = pair.sound() {
                disk.kept.push((*number, key.clone(), chain.clone()));
            }
        }
        self.observe_pending(host, &mut disk)?;
        disk.request = self
            .read_file(host, &self.request_path())?
            .map(|bytes| Request::parse(&bytes));
        Ok(disk)
    }

    fn observe_pending(&self, host: &Host, disk: &mut Disk) -> Result<()> {
        let directory = self.directory.join("pending");
        for name in host.list(&directory).context("list pending keys")? {
            let Some(number) = name.strip_suffix(".pem").and_then(number) else {
                continue;
            };
            disk.next_pending = disk.next_pending.max(number + 1);
            let path = directory.join(&name);
            let bytes = zeroize::Zeroizing::new(self.read_file(host, &path)?.unwrap_or_default());
            match PrivateKey::parse(&bytes) {
                Ok(key) => disk.pending.push((number, key)),
                Err(why) => disk.unusable.push(format!("{}: {why}", path.display())),
            }
        }
        disk.pending.sort_by_key(|(number, _)| *number);
        Ok(())
    }

    fn read_pair(&self, host: &Host, directory: &Path) -> Result<Pair> {
        let key_path = directory.join("privkey.pem");
        let key = self
            .read_file(host, &key_path)?
            .map(zeroize::Zeroizing::new);
        let chain = self.read_file(host, &directory.join("fullchain.pem"))?;
        let key_mode = match host.entry(&std::fs::canonicalize(&key_path).unwrap_or(key_path)) {
            Ok(Entry::File { mode, .. }) => Some(mode),
            _ => None,
        };
        Ok(Pair {
            key: key.map_or_else(
                || Err("there is none".into()),
                |bytes| PrivateKey::parse(&bytes),
            ),
            chain: chain.map_or_else(
                || Err("there is none".into()),
                |bytes| Chain::parse(&bytes).map_err(|refused| refused.line()),
            ),
            key_mode,
        })
    }

    fn read_file(&self, host: &Host, path: &Path) -> Result<Option<Vec<u8>>> {
        host.read(path)
            .with_context(|| format!("{}: read", path.display()))
    }

    /// The generation that `current` names.
    ///
    /// # Errors
    /// When `current` is not a link of ours.
    pub fn current(&self, host: &Host) -> Result<Option<u64>> {
        let path = self.directory.join("current");
        match host
            .entry(&path)
            .with_context(|| format!("{}: look at", path.display()))?
        {
            Entry::Absent => Ok(None),
            Entry::Link(target) => {
                let number = target
                    .strip_prefix("generations")
                    .ok()
                    .and_then(|rest| number(rest.to_str()?));
                number.map(Some).with_context(|| {
                    format!(
                        "{}: a link to {}, which is none of ours; left as it is",
                        path.display(),
                        target.display()
                    )
                })
            }
            _ => anyhow::bail!("{}: not a link; left as it is", path.display()),
        }
    }

    /// Writes a generation that is not current yet, replacing what a killed run left under its number.
    ///
    /// # Errors
    /// What could not be written; the half-made generation is removed again.
    pub fn write(&self, host: &Host, number: u64, key: &[u8], chain: &[u8]) -> Result<()> {
        let directory = self.generation(number);
        anyhow::ensure!(
            self.current(host)? != Some(number),
            "{}: current, never rewritten",
            directory.display()
        );
        host.remove_flat_dir(&directory)?;
        host.make_dir(&directory)?;
        let written = (|| {
            host.install(&directory.join("privkey.pem"), key, 0o600, self.owner)?;
            host.install(&directory.join("fullchain.pem"), chain, 0o644, self.owner)
        })();
        if written.is_err() {
            let _ = host.remove_flat_dir(&directory);
        }
        Ok(written?)
    }

    /// Makes a generation current, in one step for every reader, and the documented paths links through it.
    ///
    /// # Errors
    /// What could not be linked.
    pub fn flip(&self, host: &Host, number: u64) -> Result<()> {
        host.link(
            &Path::new("generations").join(number.to_string()),
            &self.directory.join("current"),
        )?;
        for (name, _) in FILES {
            host.link(&Path::new("current").join(name), &self.directory.join(name))?;
        }
        Ok(())
    }

    /// Takes the links away again: there was nothing before.
    ///
    /// # Errors
    /// What could not be removed.
    pub fn unlink(&self, host: &Host) -> Result<()> {
        for (name, _) in FILES {
            host.remove_file(&self.directory.join(name))?;
        }
        Ok(host.remove_file(&self.directory.join("current"))?)
    }

    /// Makes regular files the generation `number`, byte for byte, and links of their names. The key of a pair that
    /// no CA has signed, or that is broken, becomes a pending key too: a request for it may be under way. `None`: it was half a pair, from
    /// which nothing could be served, and is set aside.
    ///
    /// # Errors
    /// What could not be done; the files serve as before.
    pub fn adopt(&self, host: &Host, disk: &Disk) -> Result<Option<u64>> {
        let number = disk.next_generation();
        let key = zeroize::Zeroizing::new(
            self.read_file(host, &self.directory.join("privkey.pem"))?
                .unwrap_or_default(),
        );
        let chain = self
            .read_file(host, &self.directory.join("fullchain.pem"))?
            .unwrap_or_default();
        let pair = disk.pair.as_ref();
        let signed = pair
            .and_then(Pair::sound)
            .is_some_and(|(_, chain)| !chain.leaf().is_self_signed());
        if let Some(Ok(key)) = pair.map(|pair| &pair.key)
            && !signed
            && !disk
                .pending
                .iter()
                .any(|(_, pending)| pending.spki == key.spki)
        {
            self.add_pending(host, disk, key)?;
        }
        if key.is_empty() || chain.is_empty() {
            for (name, _) in FILES {
                if host.entry(&self.directory.join(name))? != Entry::Absent {
                    self.set_aside(host, name)?;
                }
            }
            return Ok(None);
        }
        let chain = match without_keys(&chain) {
            Some(certificates) => {
                self.set_aside_bytes(host, "fullchain.pem", chain)?;
                certificates
            }
            None => chain,
        };
        self.write(host, number, &key, &chain)?;
        self.flip(host, number)?;
        Ok(Some(number))
    }

    /// Whether only one of the documented paths has anything in it.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn is_half(&self, host: &Host) -> Result<bool> {
        let mut whole = 0;
        for (name, _) in FILES {
            let bytes = self.read_file(host, &self.directory.join(name))?;
            whole +=
                usize::from(bytes.is_some_and(|bytes| !zeroize::Zeroizing::new(bytes).is_empty()));
        }
        Ok(whole < FILES.len())
    }

    /// Keeps a lone regular file under `pending/adopted-<name>` and frees its name.
    fn set_aside(&self, host: &Host, name: &str) -> Result<()> {
        let path = self.directory.join(name);
        self.set_aside_bytes(host, name, self.read_file(host, &path)?.unwrap_or_default())?;
        Ok(host.remove_file(&path)?)
    }

    fn set_aside_bytes(&self, host: &Host, name: &str, bytes: Vec<u8>) -> Result<()> {
        let bytes = zeroize::Zeroizing::new(bytes);
        if bytes.is_empty() {
            return Ok(());
        }
        let directory = self.directory.join("pending");
        host.make_dir(&directory)?;
        let path = directory.join(format!("adopted-{name}"));
        Ok(host.install(&path, &bytes, 0o600, self.owner)?)
    }

    /// Keeps a key until a certificate for it appears; returns its number.
    ///
    /// # Errors
    /// What could not be written.
    pub fn add_pending(&self, host: &Host, disk: &Disk, key: &PrivateKey) -> Result<u64> {
        let directory = self.directory.join("pending");
        host.make_dir(&directory)?;
        let number = disk.next_pending.max(1);
        host.install(
            &directory.join(format!("{number}.pem")),
            key.pem(),
            0o600,
            self.owner,
        )?;
        Ok(number)
    }

    /// The certificate for a pending key was committed: it lives in a generation now.
    ///
    /// # Errors
    /// What could not be removed.
    pub fn settle_pending(&self, host: &Host, number: u64) -> Result<()> {
        Ok(host.remove_file(&self.directory.join("pending").join(format!("{number}.pem")))?)
    }

    /// Writes `cert.csr`.
    ///
    /// # Errors
    /// What could not be written.
    pub fn write_request(&self, host: &Host, pem: &str) -> Result<()> {
        host.make_dir(&self.directory)?;
        Ok(host.install(&self.request_path(), pem.as_bytes(), 0o644, self.owner)?)
    }

    /// Removes a generation that is not current.
    ///
    /// # Errors
    /// What could not be removed.
    pub fn remove(&self, host: &Host, number: u64) -> Result<()> {
        anyhow::ensure!(
            self.current(host)? != Some(number),
            "generation {number} is current"
        );
        Ok(host.remove_flat_dir(&self.generation(number))?)
    }

    /// Removes what killed runs left half made. What cannot be removed is in nobody's way, and only logged.
    pub fn sweep(&self, host: &Host, disk: &Disk) {
        let generations = disk
            .generations
            .iter()
            .map(|number| self.generation(*number));
        let directories = [self.directory.clone(), self.directory.join("pending")];
        for directory in directories.into_iter().chain(generations) {
            if let Err(error) = host.sweep(&directory) {
                tracing::warn!("{}: leftovers stay: {error}", directory.display());
            }
        }
    }

    fn generation(&self, number: u64) -> PathBuf {
        self.directory.join("generations").join(number.to_string())
    }
}

/// A generation's or pending key's number, written as we write it: another spelling would name another file.
fn number(name: &str) -> Option<u64> {
    let number: u64 = name.parse().ok()?;
    (number.to_string() == name && number < u64::MAX / 2).then_some(number)
}

/// The certificates alone, when a key stands among them: the file they go into is world-readable.
fn without_keys(chain: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(chain);
    if !text.contains("PRIVATE KEY-----") {
        return None;
    }
    let blocks = pem::parse_many(text.as_bytes()).unwrap_or_default();
    let certificates: Vec<pem::Pem> = blocks
        .into_iter()
        .filter(|block| block.tag() == "CERTIFICATE")
        .collect();
    Some(
        pem::encode_many(&certificates)
            .replace("\r\n", "\n")
            .into_bytes(),
    )
}
