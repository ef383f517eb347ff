//! The project's own image, built offline from the checkout's Dockerfile and the programs that this run of Cargo built.
//!
//! Always true: one build for an engine, under [`IMAGE`]; it is the Dockerfile that is shipped, with a local image in place of
//! the compiler's stage.
//!
//! Does not: compile, or measure what a release weighs (the programs are those of the tests' profile, stripped).

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use xtask::command;

use crate::components;
use crate::docker::Docker;

/// Its repository; `:test` is the tag of what was built first.
pub const REPOSITORY: &str = "agnes-test/agnes";
/// What [`Docker::project_image`] builds.
pub const IMAGE: &str = "agnes-test/agnes:test";
/// What the Dockerfile is built on.
const DEBIAN: &str = "debian:bookworm-slim";
/// Holds `/out`.
const PROGRAMS: &str = "agnes-test/programs:test";

impl Docker {
    /// Makes sure of [`IMAGE`]; its name, or `None` after saying `SKIP`.
    ///
    /// # Errors
    /// The engine's, with the end of what the build said.
    ///
    /// # Panics
    /// As [`Docker::base_image`].
    pub fn project_image(&self) -> Result<Option<&'static str>> {
        if !self.base_image()? {
            return Ok(None);
        }
        let _one = crate::docker::one_image_at_a_time();
        if self.has(IMAGE) {
            return Ok(Some(IMAGE));
        }
        command::capture(&mut self.command(["tag", crate::docker::BASE_IMAGE, DEBIAN]))?;
        let context = tempfile::tempdir().context("build context")?;
        programs(&context.path().join("out"))?;
        fs::write(
            context.path().join("Dockerfile"),
            "FROM scratch\nCOPY out/ /out/\n",
        )
        .context("write the Dockerfile")?;
        command::capture(
            self.command(["build", "--quiet", "--tag", PROGRAMS])
                .env("DOCKER_BUILDKIT", "1")
                .arg(context.path()),
        )?;
        let checkout = xtask::checkout::root()?;
        command::capture(
            self.command(["build", "--quiet", "--tag", IMAGE, "--network", "none"])
                .args(["--build-arg", &format!("BIN_STAGE={PROGRAMS}")])
                .env("DOCKER_BUILDKIT", "1")
                .arg(checkout),
        )?;
        Ok(Some(IMAGE))
    }

    /// Another image with everything of `from`, and these lines of a Dockerfile after its `FROM`: a version of its own, say.
    ///
    /// # Errors
    /// The engine's, with the end of what the build said.
    pub fn derived_image(&self, from: &str, name: &str, lines: &str) -> Result<()> {
        self.derived_image_with(from, name, lines, &[])
    }

    /// The same with programs in the build's context, for lines that copy them.
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn derived_image_with(
        &self,
        from: &str,
        name: &str,
        lines: &str,
        programs: &[(&str, &str)],
    ) -> Result<()> {
        let context = tempfile::tempdir().context("build context")?;
        for (program, text) in programs {
            let path = context.path().join(program);
            fs::write(&path, text).context("write a program")?;
            let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(&path, executable).context("make it executable")?;
        }
        fs::write(
            context.path().join("Dockerfile"),
            format!("FROM {from}\n{lines}\n"),
        )
        .context("write the Dockerfile")?;
        command::capture(
            self.command(["build", "--quiet", "--tag", name])
                .env("DOCKER_BUILDKIT", "1")
                .arg(context.path()),
        )
        .map(drop)
    }
}

impl Docker {
    /// Pushes an image with a layer of its own of so many random bytes, and forgets it: whoever wants it has to pull that layer. Its
    /// digest.
    ///
    /// # Errors
    /// The engine's.
    pub fn publish_with_layer(&self, from: &str, name: &str, bytes: usize) -> Result<String> {
        let context = tempfile::tempdir().context("build context")?;
        let mut layer = vec![0; bytes];
        openssl::rand::rand_bytes(&mut layer).context("random bytes")?;
        fs::write(context.path().join("layer"), layer).context("write the layer")?;
        let lines = format!("FROM {from}\nCOPY layer /layer\n");
        fs::write(context.path().join("Dockerfile"), lines).context("write the Dockerfile")?;
        // the newer builder has a cache that would keep the layer here
        command::capture(
            self.command(["build", "--quiet", "--tag", name])
                .env("DOCKER_BUILDKIT", "0")
                .arg(context.path()),
        )?;
        command::capture(&mut self.command(["push", "--quiet", name]))?;
        let repository = name
            .rsplit_once(':')
            .map_or(name, |(repository, _)| repository);
        let format = "{{range .RepoDigests}}{{println .}}{{end}}";
        let listed =
            command::capture(&mut self.command(["image", "inspect", "--format", format, name]))?;
        let digest = listed
            .lines()
            .find_map(|line| line.strip_prefix(repository)?.strip_prefix('@'))
            .context("the digest of what was pushed")?
            .to_owned();
        command::capture(&mut self.command(["image", "rm", "--force", name]))?;
        Ok(digest)
    }
}

/// `/out`: both programs without their symbols, and the engine when it is linked and not compiled in.
fn programs(out: &Path) -> Result<()> {
    let libraries = out.join("lib");
    fs::create_dir_all(&libraries).context("the libraries' directory")?;
    for name in ["agnesd", "agnes-ops"] {
        stripped(&components::program(name), &out.join(name))?;
    }
    if let Some(engine) = components::linked_engine(&components::program("agnesd"))? {
        stripped(&engine, &libraries.join("libduckdb.so"))?;
    }
    Ok(())
}

fn stripped(program: &Path, to: &Path) -> Result<()> {
    command::capture(
        Command::new("strip")
            .args(["--strip-unneeded", "-o"])
            .arg(to)
            .arg(program),
    )
    .map(drop)
}
