//! `[[jobs]]`: names told apart, credentials put in.
//!
//! Always true: a job that names a credential which is not there keeps the server from starting.
//!
//! Does not: read an entry (that is `values::job`).

use std::collections::BTreeMap;

use super::{Builder, List, problem, values};
use crate::env_keys as keys;
use crate::secret::Secret;
use crate::settings::{Job, JobTarget};
use crate::values::job::Draft;

impl Builder {
    pub(super) fn jobs(
        &mut self,
        configured: Option<List<Draft>>,
        credentials: &BTreeMap<String, Result<Secret, String>>,
    ) -> Vec<Job> {
        let Some(configured) = configured else {
            return Vec::new();
        };
        if let Some(problem) = configured.problem {
            self.faults.insert(keys::JOBS.name(), problem);
        }
        let mut jobs: Vec<Job> = Vec::new();
        for item in configured.items {
            let Draft { mut job, token_env } = item.value;
            if jobs.iter().any(|earlier| earlier.name == job.name) {
                let message = format!("the name {} is taken by an earlier job", job.name);
                let at = format!("{}.name", item.path);
                let problem = problem(item.source.clone(), Some(&at), message);
                self.push(problem, &keys::JOBS);
            }
            let at = format!("{}.token_env", item.path);
            match token_env.and_then(|name| credentials.get(&name)) {
                Some(Ok(secret)) => {
                    job.token = Some(secret.clone());
                    if in_the_clear(&job.target) {
                        let message = "sends a credential over plain http (expected https)";
                        let warning = problem(item.source, Some(&at), message);
                        self.warnings.push(warning);
                    }
                }
                Some(Err(message)) => {
                    let problem = problem(item.source, Some(&at), message);
                    self.faults
                        .insert(keys::JOBS.name(), problem.message.clone());
                    self.server_problems.push(problem);
                }
                None => {}
            }
            jobs.push(job);
        }
        let shown: Vec<String> = jobs.iter().map(shown).collect();
        let shown = (shown.join("; "), configured.source);
        self.shown.insert(keys::JOBS.name(), shown);
        jobs
    }
}

/// Is it plain http that leaves the host?
fn in_the_clear(target: &JobTarget) -> bool {
    match target {
        JobTarget::Path(_) => false,
        JobTarget::Url(url) => values::leaves_unprotected(url),
    }
}

/// A job for people: no query, and of a credential only that there is one.
fn shown(job: &Job) -> String {
    let target = match &job.target {
        JobTarget::Path(path) => path.split('?').next().unwrap_or_default().to_owned(),
        JobTarget::Url(url) => values::redacted_url(url.as_str()),
    };
    let token = if job.token.is_some() { ", token" } else { "" };
    let method = job.method.as_str();
    format!("{} {}: {method} {target}{token}", job.name, job.schedule)
}
