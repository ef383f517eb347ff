//! All layers of one deployment's configuration, merged with provenance and validated whole.
//!
//! Always true: `settings` is there exactly when `problems` is empty; every problem of every file is listed in one go, in
//! the order of files and lines; a secret is in `settings` alone, everywhere else there is its length.
//!
//! Does not: write, print, read the environment of its own process (the caller passes it in), follow what a value names.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use crate::settings::Settings;

mod build;
mod checks;
mod environment;
mod file;
mod layers;
mod toml_file;

/// What a directory, an environment and flags come to.
#[derive(Debug)]
pub struct Loaded {
    /// The settings; `None` when there are problems.
    pub settings: Option<Settings>,
    /// Every key of the table in its order, with its effective value, invalid ones included.
    pub values: Vec<Value>,
    /// Why there are no settings.
    pub problems: Vec<Problem>,
    /// What is allowed and probably not meant.
    pub warnings: Vec<Problem>,
    /// What keeps `agnesd` from starting and nobody else: keys that can be guessed, credentials of jobs that are missing.
    /// There are settings all the same, for whoever looks after the certificates.
    pub server_problems: Vec<Problem>,
}

impl Loaded {
    /// The settings, or all problems as one error with a line for each.
    ///
    /// # Errors
    /// [`Invalid`].
    pub fn into_settings(self) -> Result<Settings, Invalid> {
        self.settings.ok_or(Invalid(self.problems))
    }

    /// As [`Loaded::into_settings`], for `agnesd`: what keeps it from starting is a problem too.
    ///
    /// # Errors
    /// [`Invalid`].
    pub fn into_server_settings(self) -> Result<Settings, Invalid> {
        match self.settings {
            Some(settings) if self.server_problems.is_empty() => Ok(settings),
            _ => {
                let mut problems = self.problems;
                problems.extend(self.server_problems);
                problems.sort();
                Err(Invalid(problems))
            }
        }
    }
}

/// All problems of a configuration; `Display` is a line for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid(pub Vec<Problem>);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            let newline = if at == 0 { "" } else { "\n" };
            write!(f, "{newline}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Invalid {}

/// One setting as it is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// Name in the environment, or path in `agnes.toml` for a key that has none.
    pub key: &'static str,
    /// Path in `agnes.toml`; `None`: it may not stand there.
    pub toml: Option<&'static str>,
    /// The value for people: secrets as `<set, 64 chars>`, URLs without userinfo and query, empty when not set.
    pub value: String,
    /// Where it came from.
    pub source: Source,
    /// What is wrong with it.
    pub problem: Option<String>,
}

/// Where a value came from; `Display` is `.env:3`, `environment`, `flag` or `default`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A file of the deployment's directory, named relative to it.
    File {
        /// `.env`, `agnes.toml`, `agnes.toml.d/10-x.toml`, or the file of a secret as it was named.
        name: String,
        /// Line, from 1; `None`: the file as a whole.
        line: Option<usize>,
    },
    /// The environment of the process.
    Environment,
    /// A flag of the command line.
    Flag,
    /// Nobody set it.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line: None } => f.write_str(name),
            Self::File {
                name,
                line: Some(line),
            } => write!(f, "{name}:{line}"),
            Self::Environment => f.write_str("environment"),
            Self::Flag => f.write_str("flag"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One thing that is wrong; `Display` is `.env:3: TLS_KEY_TYPE: what is wrong (expected …)`, always one line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where.
    pub source: Source,
    /// The key as it is written there; `None`: the file or line as a whole.
    pub key: Option<String>,
    /// What is wrong and what is expected; holds no secret.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.source)?;
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Loads the configuration of the deployment in `dir`.
///
/// Layers, low to high: defaults, `agnes.toml`, `agnes.toml.d/NN-*.toml` by name, `.env`, `process_env`, `flags` (by the
/// environment's names); a secret's `<NAME>_FILE` beats them all. An empty value counts as not set in every layer (but
/// switches `METRICS_ADDR` off). An absent file is fine, an unreadable or malformed one is a problem.
pub fn load(
    dir: &Path,
    process_env: impl IntoIterator<Item = (OsString, OsString)>,
    flags: &[(&str, String)],
) -> Loaded {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let mut layers = layers::Layers::default();
    toml_file::read_all(&dir, &mut layers);
    let environment = environment::Environment::new(process_env);
    environment::read_all(&dir, &environment, flags, &mut layers);
    build::build(dir, layers)
}

/// What the two files of a deployment would say.
#[derive(Debug, Clone, Copy)]
pub struct Texts<'a> {
    /// `agnes.toml`.
    pub toml: &'a str,
    /// `.env`.
    pub dotenv: &'a [u8],
}

/// As [`load`] without flags, if those two files said this: neither of them is read, all the other layers are.
pub fn load_as_if(
    dir: &Path,
    process_env: impl IntoIterator<Item = (OsString, OsString)>,
    texts: Texts<'_>,
) -> Loaded {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let mut layers = layers::Layers::default();
    toml_file::read_as_if(&dir, texts.toml, &mut layers);
    let environment = environment::Environment::new(process_env);
    environment::read_as_if(&dir, texts.dotenv, &environment, &mut layers);
    build::build(dir, layers)
}

/// What these texts of an `agnes.toml` and a `.env` would come to in `dir`, without any other layer; neither is read from there.
pub fn load_texts(dir: &Path, toml: &str, dotenv: &[u8]) -> Loaded {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let mut layers = layers::Layers::default();
    toml_file::read_text(&dir, toml_file::OWN, toml, &mut layers);
    let nothing = environment::Environment::new([]);
    environment::read_as_if(&dir, dotenv, &nothing, &mut layers);
    build::build(dir, layers)
}

#[cfg(test)]
mod server_tests;
#[cfg(test)]
mod tests;
