//! `cargo xtask package`: the Debian package of `agnes-ops`, by cargo-deb.
//!
//! Always true: pages and completions come from the program that is packaged; its units are those of `systemd/` but for the
//! program's path, which is the package's own: below `/usr/local` no package may write, and there `agnes-ops units install`
//! puts a link of the host's.
//!
//! Does not: install anything (`dpkg` does, and then enables nothing), or say which files go where (`agnes-ops/Cargo.toml`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};

use crate::{checkout, command, components};

/// What the units of a host run, and what those of the package do.
const HOSTS: &str = "/usr/local/bin/agnes-ops";
const PACKAGES: &str = "/usr/bin/agnes-ops";
/// How every file in `systemd/` begins, and what that is not true of a package's.
const WRITTEN: &str = "# Written by `agnes-ops units install`";
const SHIPPED: &str = "# Of the package agnes-ops, which enables none of its units: `agnes-ops units install` writes a host's own, which go before it.";
/// Its program is in no package.
const OF_THE_SERVER: &str = "agnesd.service";
/// Systemd enables what no preset is about when it starts on a machine for the first time.
const PRESET: &str =
    "# A host has the units that its settings ask for: agnes-ops units install\ndisable agnes-*\n";
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "agnes-ops"),
    ("zsh", "_agnes-ops"),
    ("fish", "agnes-ops.fish"),
];

/// What to package.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Package this built program; without it a release is built
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Where the package goes [target/debian]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Compress little: a package to try, not to publish
    #[arg(long)]
    fast: bool,
}

/// Makes the package, and prints its path.
///
/// # Errors
/// When the program cannot be built or run, or cargo-deb fails.
pub fn command(options: &Options) -> Result<ExitCode> {
    let root = checkout::root()?;
    // it asks dpkg-dev which packages have the program's libraries
    components::bring("dpkg-shlibdeps")?;
    let cargo_deb = components::bring("cargo-deb")?;
    let target = checkout::target_directory()?;
    let program = match &options.program {
        Some(program) => program.clone(),
        None => release(&root, &target)?,
    };
    let output = match &options.output {
        Some(output) => output.clone(),
        None => target.join("debian"),
    };
    fs::create_dir_all(&output).with_context(|| format!("create {}", output.display()))?;
    let output = fs::canonicalize(&output).context("the output's directory")?;
    let stage = tempfile::tempdir().context("a directory to stage in")?;
    fill(&root, &program, &stage.path().join("release"))?;
    let mut packs = Command::new(cargo_deb);
    packs
        .args([
            "--no-build",
            "--strip",
            "--locked",
            "--quiet",
            "--manifest-path",
        ])
        .arg(root.join("agnes-ops/Cargo.toml"))
        .arg("--output")
        .arg(&output)
        .env("CARGO_TARGET_DIR", stage.path())
        .current_dir(&root);
    if options.fast {
        packs.arg("--fast");
    }
    let said = command::capture(&mut packs)?;
    print!("{said}");
    Ok(ExitCode::SUCCESS)
}

fn release(root: &Path, target: &Path) -> Result<PathBuf> {
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build
        .args(["build", "--release", "--locked", "--package", "agnes-ops"])
        .current_dir(root);
    command::run(&mut build)?;
    Ok(target.join("release/agnes-ops"))
}

/// Puts all that cargo-deb takes into `stage`, under the names of `agnes-ops/Cargo.toml`.
fn fill(root: &Path, program: &Path, stage: &Path) -> Result<()> {
    let write = |name: &str, text: &str| {
        let path = stage.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    };
    for directory in ["man", "completions", "units"] {
        let directory = stage.join(directory);
        fs::create_dir_all(&directory)
            .with_context(|| format!("create {}", directory.display()))?;
    }
    let staged = stage.join("agnes-ops");
    fs::copy(program, &staged).with_context(|| format!("copy {}", program.display()))?;
    command::capture(
        Command::new(&staged)
            .args(["man", "--output"])
            .arg(stage.join("man")),
    )?;
    compress(&stage.join("man"))?;
    for (shell, name) in COMPLETIONS {
        let script = command::capture(Command::new(&staged).args(["completions", shell]))?;
        write(&format!("completions/{name}"), &script)?;
    }
    for (name, text) in shipped(root)? {
        if name == OF_THE_SERVER {
            continue;
        }
        let packaged = packaged(&text).with_context(|| name.clone())?;
        match name.ends_with(".sysusers") {
            true => write("agnes.conf", &packaged)?,
            false => write(&format!("units/{name}"), &packaged)?,
        }
    }
    write("agnes-ops.preset", PRESET)
}

/// Pages are compressed in Debian; cargo-deb leaves what was built as it is.
fn compress(directory: &Path) -> Result<()> {
    let mut gzip = Command::new("gzip");
    gzip.args(["--best", "--no-name", "--recursive"]);
    command::capture(gzip.arg(directory)).map(drop)
}

/// The files of `systemd/`.
fn shipped(root: &Path) -> Result<Vec<(String, String)>> {
    let directory = root.join("systemd");
    let mut files = Vec::new();
    for entry in
        fs::read_dir(&directory).with_context(|| format!("read {}", directory.display()))?
    {
        let path = entry.context("an entry of systemd/")?.path();
        let name = path.file_name().context("a name")?.to_string_lossy();
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        files.push((name.into_owned(), text));
    }
    ensure!(!files.is_empty(), "{} is empty", directory.display());
    Ok(files)
}

/// A file of `systemd/` as it stands in the package.
fn packaged(text: &str) -> Result<String> {
    let (first, rest) = text.split_once('\n').context("has one line")?;
    ensure!(first.starts_with(WRITTEN), "begins with {first:?}");
    let rest = rest.replace(HOSTS, PACKAGES);
    if let Some(line) = rest.lines().find(|line| line.contains("/usr/local")) {
        bail!("{line:?} is of a host's own");
    }
    Ok(format!("{SHIPPED}\n{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packaged_unit_runs_the_package_s_program_and_nothing_of_the_host_s() {
        let unit = "# Written by `agnes-ops units install`, which converges it.\n[Service]\nExecStart=/usr/local/bin/agnes-ops watch\n";
        let text = packaged(unit).unwrap();
        let expected = format!("{SHIPPED}\n[Service]\nExecStart=/usr/bin/agnes-ops watch\n");
        assert_eq!(text, expected);
        for wrong in [
            "[Service]\n",
            "# Written by `agnes-ops units install`.\nExecStart=/usr/local/bin/agnesd serve\n",
        ] {
            assert!(packaged(wrong).is_err(), "{wrong}");
        }
    }
}
