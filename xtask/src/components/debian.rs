//! Debian packages: installed into the system, or unpacked beside it from another suite.
//!
//! Always true: no daemon is started by an installation; the mirror is the one the machine already uses; apt's own lists
//! and sources stay as they are when another suite is read.
//!
//! Does not: remove or downgrade anything.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::{Component, Origin};
use crate::command;

const WAIT_FOR_DPKG: [&str; 2] = ["-o", "DPkg::Lock::Timeout=600"];

/// Installs the packages of these components.
pub(super) fn install_system(components: &[&Component]) -> Result<()> {
    let mut packages: Vec<&str> = components
        .iter()
        .filter_map(|component| match component.origin {
            Origin::System { package, .. } => Some(package),
            _ => None,
        })
        .flat_map(str::split_whitespace)
        .collect();
    packages.sort_unstable();
    packages.dedup();

    install_packages(&packages)
}

/// Installs packages of the running Debian, as root only.
pub(super) fn install_packages(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    let Some(apt) = command::system_program("apt-get") else {
        bail!("needs the packages {list}; this machine has no apt-get");
    };
    ensure!(
        nix::unistd::geteuid().is_root(),
        "needs root: apt-get install {list}"
    );
    let _no_daemons = NoDaemons::new()?;
    command::capture(Command::new(&apt).args(WAIT_FOR_DPKG).arg("update"))?;
    command::capture(
        Command::new(&apt)
            .args(WAIT_FOR_DPKG)
            .args(["install", "-y", "--no-install-recommends"])
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )?;
    Ok(())
}

/// Downloads the packages of these components from their suites and takes the one file of each.
pub(super) fn unpack(dir: &Path, components: &[&Component]) -> Result<()> {
    ensure!(cfg!(target_arch = "x86_64"), "pinned for x86_64 only");
    let apt = command::system_program("apt-get")
        .context("this machine has no apt-get to download Debian packages with")?;
    let dpkg = command::system_program("dpkg")
        .context("this machine has no dpkg to unpack Debian packages with")?;
    let work = tempfile::Builder::new()
        .prefix(".unpack-")
        .tempdir_in(dir)
        .context("work directory")?;
    let options = other_suites(work.path(), components)?;
    command::capture(Command::new(&apt).args(&options).arg("update"))?;

    for component in components {
        let Origin::Unpacked {
            package,
            suite,
            path,
        } = component.origin
        else {
            continue;
        };
        let home = work.path().join(component.name);
        let tree = home.join("tree");
        fs::create_dir_all(&tree).with_context(|| format!("create {}", tree.display()))?;
        command::capture(
            Command::new(&apt)
                .args(&options)
                .arg("download")
                .arg(format!("{package}/{suite}"))
                .current_dir(&home),
        )?;
        let deb = only_deb(&home)?;
        command::capture(Command::new(&dpkg).arg("-x").arg(&deb).arg(&tree))?;
        fs::rename(tree.join(path), dir.join(component.name))
            .with_context(|| format!("{package} of {suite} has no {path}"))?;
    }
    Ok(())
}

/// apt options that read the components' suites and nothing else, with lists and cache of their own.
fn other_suites(work: &Path, components: &[&Component]) -> Result<Vec<String>> {
    let mirror = mirror()?;
    let mut suites: Vec<&str> = components
        .iter()
        .filter_map(|component| match component.origin {
            Origin::Unpacked { suite, .. } => Some(suite),
            _ => None,
        })
        .collect();
    suites.sort_unstable();
    suites.dedup();
    let lines: String = suites
        .iter()
        .map(|suite| format!("deb {mirror} {suite} main\n"))
        .collect();
    let list = work.join("suites.list");
    fs::write(&list, lines).with_context(|| format!("write {}", list.display()))?;
    for sub in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(work.join(sub)).with_context(|| format!("create {sub}"))?;
    }
    let setting = |key: &str, path: PathBuf| format!("-o{key}={}", path.display());
    Ok(vec![
        setting("Dir::Etc::sourcelist", list),
        "-oDir::Etc::sourceparts=/dev/null".to_owned(),
        setting("Dir::State::Lists", work.join("lists")),
        setting("Dir::Cache", work.join("cache")),
        // The download is read by the user who asked for it.
        "-oAPT::Sandbox::User=".to_owned(),
    ])
}

fn only_deb(dir: &Path) -> Result<PathBuf> {
    fs::read_dir(dir)
        .with_context(|| format!("read {}", dir.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .with_context(|| format!("{}: apt-get downloaded no package", dir.display()))
}

/// The mirror that the machine already uses for Debian itself.
pub(super) fn mirror() -> Result<String> {
    let mut files = vec![
        PathBuf::from("/etc/apt/sources.list.d/debian.sources"),
        PathBuf::from("/etc/apt/sources.list"),
    ];
    if let Ok(parts) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(parts.filter_map(|entry| entry.ok().map(|entry| entry.path())));
    }
    files
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
        .find_map(|text| mirror_in(&text))
        .context("no Debian mirror in /etc/apt/sources.list or sources.list.d")
}

/// The first URI in deb822 or one-line format whose path is a Debian main archive.
fn mirror_in(text: &str) -> Option<String> {
    text.lines()
        .map(str::trim)
        .filter(|line| line.starts_with("URIs:") || line.starts_with("deb "))
        .flat_map(str::split_whitespace)
        .find(|word| word.contains("://") && word.trim_end_matches('/').ends_with("/debian"))
        .map(str::to_owned)
}

/// While this lives, packages do not start their daemons.
struct NoDaemons {
    written: Option<&'static Path>,
}

impl NoDaemons {
    fn new() -> Result<Self> {
        let path = Path::new("/usr/sbin/policy-rc.d");
        if path.exists() {
            return Ok(Self { written: None });
        }
        fs::write(path, "#!/bin/sh\nexit 101\n")
            .with_context(|| format!("write {}", path.display()))?;
        let guard = Self {
            written: Some(path),
        };
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("chmod {}", path.display()))?;
        Ok(guard)
    }
}

impl Drop for NoDaemons {
    fn drop(&mut self) {
        if let Some(path) = self.written
            && let Err(error) = fs::remove_file(path)
        {
            eprintln!(
                "components: remove {}: {error}; daemons do not start on installation until it is gone",
                path.display()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::mirror_in;

    #[test]
    fn the_mirror_is_read_from_both_formats_and_never_from_the_security_archive() {
        let deb822 = "Types: deb\n# http://old.example.com/debian\nURIs: http://mirror.example.com/debian\nSuites: bookworm\n";
        assert_eq!(
            mirror_in(deb822).as_deref(),
            Some("http://mirror.example.com/debian")
        );
        let one_line = "deb [signed-by=/x] https://mirror.example.com/debian/ bookworm main\n";
        assert_eq!(
            mirror_in(one_line).as_deref(),
            Some("https://mirror.example.com/debian/")
        );
        assert_eq!(
            mirror_in("URIs: http://mirror.example.com/debian-security\n"),
            None
        );
        assert_eq!(
            mirror_in("deb https://packages.example.com/tool stable main\n"),
            None
        );
    }
}
