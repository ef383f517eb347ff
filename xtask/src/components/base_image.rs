//! The tree that test images stand on: a C library, OpenSSL's, certificates and busybox.
//!
//! Always true: made of packages of one Debian suite from the machine's mirror, and published by rename when complete.
//!
//! Does not: import it into an engine (the tests' harness does, into its own).

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::debian;
use crate::command;

const PACKAGES: &str = "libc6,libgcc-s1,libstdc++6,libssl3,ca-certificates,busybox-static";

/// Makes the tar file at `path`; root only (files are owned by root in it, and a hook changes root into it).
pub(super) fn make(path: &Path) -> Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "needs root: the tree is made in a chroot"
    );
    let mmdebstrap =
        command::system_program("mmdebstrap").context("mmdebstrap is not installed")?;
    let unfinished = path.with_extension("unfinished.tar");
    // Packages are unpacked, not configured: no maintainer script makes /bin/sh, so busybox is told to.
    command::capture(
        Command::new(mmdebstrap)
            .args(["--variant=extract", "--quiet"])
            .arg(format!("--include={PACKAGES}"))
            .arg("--customize-hook=chroot \"$1\" /bin/busybox --install -s /bin")
            .arg("--customize-hook=chroot \"$1\" /bin/busybox sh -c 'cat /usr/share/ca-certificates/mozilla/*.crt > /etc/ssl/certs/ca-certificates.crt'")
            .arg("bookworm")
            .arg(&unfinished)
            .arg(debian::mirror()?),
    )?;
    fs::rename(&unfinished, path).with_context(|| format!("publish {}", path.display()))
}
