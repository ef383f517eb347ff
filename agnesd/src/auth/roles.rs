//! The internal roles that the server itself asks for.
//!
//! Always true: a role is asked for by its name here, and each of them is registered at every start.
//!
//! Does not: say who has one (the directory does).

/// May read the audit log.
pub(crate) const AUDITOR: &str = "auditor";
/// May look at and run jobs.
pub(crate) const JOB_OPERATOR: &str = "job_operator";
/// All of them, with what they are for.
pub(crate) const ROLES: &[(&str, &str)] = &[
    (AUDITOR, "reads the audit log"),
    (JOB_OPERATOR, "looks at jobs and runs them"),
];
