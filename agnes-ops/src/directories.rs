//! The directories of a deployment: one list of path, owner and mode.
//!
//! Always true: what stands on the list is made and set right, and nothing below it is touched (B05); no group has a right to any; a link, or a
//! directory on another disk than it should be on, is refused.
//!
//! Does not: make what commands make for themselves (certificates, secrets, snapshots).

use std::path::PathBuf;

use agnes_config::{FileOwner, Overlay, Runtime, Settings};
use anyhow::{Context as _, Result};

use crate::host::Host;
use crate::units;

const ROOT: FileOwner = FileOwner { uid: 0, gid: 0 };
/// Whom the image's server runs as.
pub const IMAGE_USER: FileOwner = FileOwner { uid: 999, gid: 999 };

/// One directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Absolute.
    pub path: PathBuf,
    /// Whose it is.
    pub owner: FileOwner,
    /// Its permission bits.
    pub mode: u32,
    /// Whether it has to be on the data disk, where one is declared.
    pub on_data_disk: bool,
}

impl Directory {
    fn said(&self) -> String {
        let Self {
            path, owner, mode, ..
        } = self;
        format!("{} {}:{} {mode:04o}", path.display(), owner.uid, owner.gid)
    }
}

/// Whom the server runs as; `None`: without Docker, and the system has no user for it.
///
/// # Errors
/// When the system cannot be asked.
pub fn server(host: &Host, settings: &Settings) -> Result<Option<FileOwner>> {
    match (settings.server_owner, settings.runtime) {
        // with credentials the secrets are root's, and the rest is still the server's own
        (_, Runtime::Process) => units::server_user(host),
        (owner, Runtime::Compose) => Ok(Some(owner.unwrap_or(IMAGE_USER))),
    }
}

/// The list as it should be here: whose the data is, where nobody says whom the server runs as, is not asked.
///
/// # Errors
/// When the host cannot be looked at.
pub fn wanted(host: &Host, settings: &Settings) -> Result<Vec<Directory>> {
    let server = match server(host, settings)? {
        Some(owner) => Some(owner),
        None => host
            .owner_and_mode(&settings.data_dir)
            .with_context(|| settings.data_dir.display().to_string())?
            .map(|(owner, _)| owner),
    };
    Ok(manifest(settings, server.unwrap_or(IMAGE_USER)))
}

/// The list; `server` is whom the server runs as.
pub fn manifest(settings: &Settings, server: FileOwner) -> Vec<Directory> {
    let of = |path: PathBuf, owner, mode, on_data_disk| Directory {
        path,
        owner,
        mode,
        on_data_disk,
    };
    let state = &settings.state_dir;
    // the server reads agnes.toml there, where it is no container that has a copy
    let dir_mode = match settings.runtime {
        Runtime::Process => 0o705,
        Runtime::Compose => 0o700,
    };
    let mut list = vec![of(settings.dir.clone(), ROOT, dir_mode, false)];
    let data_is_here = settings.runtime == Runtime::Process
        || settings.stack.overlays.contains(&Overlay::HostMount);
    // without host-mount the data is in a volume of Docker's, and only what this program keeps is here
    let owner = if data_is_here { server } else { ROOT };
    list.push(of(settings.data_dir.clone(), owner, 0o700, true));
    if state != &settings.data_dir {
        list.push(of(state.clone(), owner, 0o700, true));
    }
    list.push(of(state.join("ops"), ROOT, 0o700, true));
    list
}

/// How a directory is, where it is not as it should be: another's (where `owners` count), writable for others, or closed to its owner. What is
/// stricter is a person's.
///
/// # Errors
/// When it cannot be looked at.
pub fn wrong_now(
    host: &Host,
    one: &Directory,
    owners: bool,
) -> std::io::Result<Option<(FileOwner, u32)>> {
    // one that is not there is made by whoever needs it
    let seen = host.owner_and_mode(&one.path)?;
    Ok(seen.filter(|(owner, mode)| {
        let too_open = mode & 0o7777 & !one.mode & 0o022;
        let too_closed = one.mode & 0o700 & !mode;
        owners && owner.uid != one.owner.uid || too_open != 0 || too_closed != 0
    }))
}

/// What would be changed.
///
/// # Errors
/// When one cannot be looked at.
pub fn wrong(host: &Host, list: &[Directory]) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for one in list {
        let seen = host
            .owner_and_mode(&one.path)
            .with_context(|| one.path.display().to_string())?;
        if seen != Some((one.owner, one.mode)) {
            wrong.push(one.said());
        }
    }
    Ok(wrong)
}

/// Makes them so; what was changed.
///
/// # Errors
/// The directory that cannot be made so; those before it are.
pub fn converge(host: &Host, settings: &Settings, list: &[Directory]) -> Result<Vec<String>> {
    let mut changed = Vec::new();
    for directory in list {
        let path = &directory.path;
        let named = || path.display().to_string();
        if let Some(above) = path.parent() {
            host.make_dir(above).with_context(named)?;
        }
        let owner = Some(directory.owner);
        if host
            .make_dir_as(path, directory.mode, owner)
            .with_context(named)?
        {
            changed.push(directory.said());
        }
        if let (true, Some(device)) = (directory.on_data_disk, &settings.machine.data_device) {
            let is_on = host.is_on(path, device).with_context(named)?;
            anyhow::ensure!(is_on, "{}: is not on {}", path.display(), device.display());
        }
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;

    fn settings(dir: &std::path::Path, more: &str) -> Settings {
        std::fs::write(
            dir.join("agnes.toml"),
            format!("data_dir = \"data\"\n{more}"),
        )
        .unwrap();
        agnes_config::load(dir, [], &[]).settings.unwrap()
    }

    fn own() -> FileOwner {
        FileOwner {
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
        }
    }

    #[test]
    fn no_group_has_a_right_to_any() {
        let dir = tempfile::tempdir().unwrap();
        for runtime in ["compose", "process"] {
            let settings = settings(dir.path(), &format!("runtime = \"{runtime}\""));
            let list = manifest(&settings, FileOwner { uid: 999, gid: 999 });
            assert!(list.len() >= 4);
            assert!(list.iter().all(|one| one.mode & 0o7070 == 0), "{list:?}");
        }
    }

    #[test]
    fn b05_nothing_below_the_list_is_touched_and_no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(dir.path(), "");
        let mut list = manifest(&settings, own());
        for one in &mut list {
            one.owner = own();
        }
        let host = Host::of_tests();
        std::fs::create_dir_all(settings.state_dir.join("deep")).unwrap();
        let live = settings.state_dir.join("system.duckdb");
        std::fs::write(&live, "live").unwrap();
        for path in [&live, &settings.state_dir.join("deep")] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o751)).unwrap();
        }
        assert!(!converge(&host, &settings, &list).unwrap().is_empty());
        assert_eq!(
            converge(&host, &settings, &list).unwrap(),
            Vec::<String>::new()
        );
        let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(mode(&live), 0o751);
        assert_eq!(mode(&settings.state_dir.join("deep")), 0o751);
        assert_eq!(mode(&settings.state_dir), 0o700);

        std::fs::remove_dir(settings.state_dir.join("ops")).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        symlink(elsewhere.path(), settings.state_dir.join("ops")).unwrap();
        let before = mode(elsewhere.path());
        assert!(converge(&host, &settings, &list).is_err());
        assert_eq!(mode(elsewhere.path()), before);
    }
}
