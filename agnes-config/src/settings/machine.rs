//! `[host]`: the machine itself.
//!
//! Always true: consent is given in so many words, and never by default.
//!
//! Does not: look at the machine.

use std::path::PathBuf;

/// `[host]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// `data_device`; `None`: which disk the data is on is not looked at.
    pub data_device: Option<PathBuf>,
    /// `format_blank`: a blank `data_device` may be given a file system.
    pub format_blank: Consent,
    /// `install_docker`: the distribution's own Docker may be installed.
    pub install_docker: Consent,
}

/// Whether something that cannot be taken back may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// It may.
    Given,
    /// It may not.
    Withheld,
}
