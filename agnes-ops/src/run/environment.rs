//! What the process was started with.
//!
//! Always true: a variable that is empty counts as not set.
//!
//! Does not: read the process's own (`main` does).

use std::ffi::OsString;
use std::path::PathBuf;

/// What the process was started with.
#[derive(Debug, Default)]
pub struct Environment {
    /// Its variables.
    pub variables: Vec<(OsString, OsString)>,
    /// This program's own path.
    pub program: Option<PathBuf>,
}

impl Environment {
    /// A variable's value, when it is set, not empty and text.
    pub fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.variables.iter().find(|(key, _)| key == name)?;
        value.to_str().filter(|value| !value.is_empty())
    }

    /// Whose account it is: whoever became root for it is the person.
    pub fn person(&self) -> &str {
        let by = ["SUDO_USER", "USER", "LOGNAME"];
        let by = by.iter().find_map(|name| self.get(name));
        by.unwrap_or("unknown")
    }
}
