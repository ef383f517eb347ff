//! `cargo xtask release`: which tags of the image a commit's digest gets, and whether a version's tag is that of its programs.
//!
//! Always true: values in, values out: a reference of Git, the tags that are there, and a date; a name is never one that a registry refuses.
//!
//! Does not: build, test or push.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};

/// What is asked.
#[derive(Debug, Subcommand)]
pub enum What {
    /// Print the image's tags, one a line
    Tags(Tags),
    /// Print the version of the programs; fail where the tag of a version names another one
    Version {
        /// As of `tags`
        #[arg(long = "ref", value_name = "REF")]
        reference: String,
    },
}

/// Of which commit.
#[derive(Debug, Args)]
pub struct Tags {
    /// refs/heads/main, refs/tags/v1.4.2, refs/tags/deploy-…
    #[arg(long = "ref", value_name = "REF")]
    reference: String,
    /// A file with the tags that are there, one a line; without it there are none
    #[arg(long, value_name = "FILE")]
    existing: Option<PathBuf>,
    /// The month, as 2026.11; without it the present one, UTC
    #[arg(long, value_name = "YYYY.MM")]
    month: Option<String>,
}

/// Prints them.
///
/// # Errors
/// When the reference is none that gets tags.
pub fn command(what: &What) -> Result<ExitCode> {
    let asked = match what {
        What::Tags(asked) => asked,
        What::Version { reference } => {
            println!("{}", version(reference, env!("CARGO_PKG_VERSION"))?);
            return Ok(ExitCode::SUCCESS);
        }
    };
    let existing = match &asked.existing {
        Some(path) => {
            fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?
        }
        None => String::new(),
    };
    let existing: Vec<&str> = existing.lines().map(str::trim).collect();
    let month = match &asked.month {
        Some(month) => month.clone(),
        None => {
            let now = time::OffsetDateTime::now_utc();
            format!("{}.{:02}", now.year(), u8::from(now.month()))
        }
    };
    for tag in tags(&asked.reference, &existing, &month)? {
        println!("{tag}");
    }
    Ok(ExitCode::SUCCESS)
}

/// The version of the programs, which a commit with this reference may be released as.
///
/// # Errors
/// When the reference is the tag of another version.
pub fn version<'a>(reference: &str, own: &'a str) -> Result<&'a str> {
    if let Some(tagged) = reference.strip_prefix("refs/tags/v") {
        ensure!(
            tagged == own,
            "the tag is v{tagged}, and the programs of this commit say {own}: one of them is wrong"
        );
    }
    Ok(own)
}

/// The tags of a commit with this reference.
///
/// # Errors
/// When it gets none.
pub fn tags(reference: &str, existing: &[&str], month: &str) -> Result<Vec<String>> {
    if reference == "refs/heads/main" {
        return Ok(vec!["dev".to_owned()]);
    }
    if let Some(branch) = reference.strip_prefix("refs/heads/") {
        return Ok(vec![format!("dev-{}", slug(branch)?)]);
    }
    let tag = reference
        .strip_prefix("refs/tags/")
        .with_context(|| format!("{reference} is neither a branch nor a tag"))?;
    if tag.starts_with("deploy-") {
        return Ok(vec![slug(tag)?, "deploy-latest".to_owned()]);
    }
    let version = tag.strip_prefix('v').filter(|version| is_version(version));
    let version = version.with_context(|| format!("{tag} is neither vX.Y.Z nor deploy-…"))?;
    let of_month = format!("stable-{month}.");
    let last = existing
        .iter()
        .filter_map(|tag| tag.strip_prefix(&of_month)?.parse::<u32>().ok())
        .max()
        .unwrap_or(0);
    Ok(vec![
        version.to_owned(),
        format!("{of_month}{}", last + 1),
        "stable".to_owned(),
    ])
}

fn is_version(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    parts.len() == 3
        && parts
            .iter()
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

/// A branch as a part of a tag: at most 100 of a-z, 0-9 and -.
fn slug(branch: &str) -> Result<String> {
    let mut slug = String::new();
    for c in branch.to_lowercase().chars() {
        let plain = c.is_ascii_lowercase() || c.is_ascii_digit();
        match plain {
            true => slug.push(c),
            false if slug.is_empty() || slug.ends_with('-') => {}
            false => slug.push('-'),
        }
    }
    slug.truncate(100);
    let slug = slug.trim_end_matches('-').to_owned();
    ensure!(!slug.is_empty(), "{branch:?} has no letter or digit");
    Ok(slug)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(reference: &str, existing: &[&str]) -> Vec<String> {
        tags(reference, existing, "2026.11").unwrap()
    }

    #[test]
    fn a_version_is_stable_and_the_next_of_its_month() {
        assert_eq!(
            of("refs/tags/v1.4.2", &[]),
            ["1.4.2", "stable-2026.11.1", "stable"]
        );
        let there = [
            "stable",
            "stable-2026.11.9",
            "stable-2026.11.10",
            "stable-2026.10.40",
            "stable-2026.11.x",
        ];
        assert_eq!(of("refs/tags/v1.4.3", &there)[1], "stable-2026.11.11");
        for wrong in [
            "refs/tags/v1.4",
            "refs/tags/v1.4.2-rc1",
            "refs/tags/1.4.2",
            "refs/tags/v1..2",
            "refs/pull/1/merge",
        ] {
            assert!(tags(wrong, &[], "2026.11").is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_tag_of_another_version_than_its_programs_is_refused() {
        assert_eq!(version("refs/tags/v1.4.2", "1.4.2").unwrap(), "1.4.2");
        assert_eq!(version("refs/heads/main", "1.4.2").unwrap(), "1.4.2");
        assert!(version("refs/tags/v1.4.3", "1.4.2").is_err());
    }

    #[test]
    fn branches_and_deployments_have_names_that_a_registry_takes() {
        assert_eq!(of("refs/heads/main", &[]), ["dev"]);
        assert_eq!(
            of("refs/heads/Feature/Öl & Gas--x", &[]),
            ["dev-feature-l-gas-x"]
        );
        assert_eq!(
            of("refs/tags/deploy-2026-11-27", &[]),
            ["deploy-2026-11-27", "deploy-latest"]
        );
        let long = format!("refs/heads/{}", "a-".repeat(200));
        let tag = &of(&long, &[])[0];
        assert!(tag.len() <= 128 && !tag.ends_with('-'), "{tag}");
        assert!(tags("refs/heads/---", &[], "2026.11").is_err());
        // nothing that a shell would read
        assert_eq!(of("refs/heads/$(id)`x`;y", &[]), ["dev-id-x-y"]);
    }
}
