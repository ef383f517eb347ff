//! `report`: what a stranger needs to see of this host, in one file that may leave it.
//!
//! Always true: every text passes the redactor, and is in the archive in no other form; what is left out is named with the reason;
//! the file is for its owner's eyes, whole or not there.
//!
//! Does not: send it anywhere, or hold what people did (the audit log, records of incidents).

mod archive;
mod files;
mod host;
mod known;
mod redact;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use agnes_config::Loaded;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use time::macros::format_description;

use self::redact::Redactor;
use crate::host::{Entry, Host};
use crate::outcome::{Outcome, Report};
use crate::sha256::sha256;

/// More of one text is not of use to a reader; of a log its end is kept. In bytes.
const MOST: usize = 2 << 20;

/// One text.
#[derive(Debug)]
pub struct Section {
    /// Its path in the archive.
    pub name: String,
    /// As it was found.
    pub text: String,
}

/// What is to be in it.
#[derive(Debug, Default)]
pub struct Gathered {
    /// Texts.
    pub sections: Vec<Section>,
    /// What is not among them, and why.
    pub left_out: Vec<(String, String)>,
}

impl Gathered {
    /// A text under this name.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) {
        let (name, text) = (name.into(), text.into());
        self.sections.push(Section { name, text });
    }

    /// Or why there is none.
    pub fn add_or_say(&mut self, name: &str, text: Result<String, String>) {
        match text {
            Ok(text) => self.add(name, text),
            Err(why) => self.left_out.push((name.to_owned(), why)),
        }
    }
}

/// Where and of what.
pub struct Wanted<'a> {
    /// The file; `None`: one with a name of its own, here.
    pub output: Option<&'a Path>,
    /// All that the settings say.
    pub loaded: &'a Loaded,
    /// The deployment's directory.
    pub dir: &'a Path,
    /// The engine's address, where it is another one.
    pub docker_host: Option<&'a str>,
    /// What commands say of themselves.
    pub said: Gathered,
}

/// Writes it.
///
/// # Errors
/// When the file cannot be written; nothing is left of it then.
pub fn report(host: &Host, wanted: Wanted<'_>) -> Result<Report> {
    let Wanted {
        output,
        loaded,
        dir,
        docker_host,
        said: mut gathered,
    } = wanted;
    let settings = loaded.settings.as_ref();
    let state_dir = settings.map(|settings| settings.state_dir.as_path());
    files::gather(host, state_dir, &mut gathered);
    self::host::gather(host, settings, dir, docker_host, &mut gathered);
    let redactor = Redactor::new(known::secrets(host, loaded, dir), &known::salt()?);

    let now = host.now();
    let mut redactions = 0;
    let mut contents: Vec<Value> = Vec::new();
    let mut texts: Vec<(String, String)> = Vec::new();
    let mut used = BTreeSet::new();
    for Section { name, text } in gathered.sections {
        // a name may hold whom a message is for
        let mut name = redactor.redact(&name).0;
        while !used.insert(name.clone()) {
            name.push('_');
        }
        let (text, found) = redactor.redact(end_of(&text));
        redactions += found;
        contents.push(json!({"name": name, "bytes": text.len(), "redactions": found}));
        texts.push((name, text));
    }
    let left_out: Vec<Value> = gathered
        .left_out
        .iter()
        .map(|(name, why)| json!({"name": redactor.redact(name).0, "why": redactor.redact(why).0}))
        .collect();
    let stamp = format_description!("[year][month][day]T[hour][minute][second]Z");
    let stamp = now.format(&stamp).unwrap_or_default();
    let manifest = json!({
        "made_at": stamp,
        "agnes_ops": env!("CARGO_PKG_VERSION"),
        "contents": contents,
        "left_out": left_out,
        "redacted": "values of secrets, private keys, bearer and access tokens, users and queries in URLs; people's names in e-mail addresses are others, the same one for the same person",
    });
    texts.push((
        "manifest.json".to_owned(),
        serde_json::to_string_pretty(&manifest)?,
    ));

    let bytes = archive::pack(
        &format!("agnes-report-{stamp}"),
        &texts,
        now.unix_timestamp(),
    )?;
    let path = match output {
        Some(path) => std::path::absolute(path)?,
        None => PathBuf::from(format!("agnes-report-{stamp}.tar.gz")),
    };
    let path = std::path::absolute(&path)?;
    // a device, a fifo or a link is somebody's, and not to be exchanged for a file
    anyhow::ensure!(
        matches!(
            host.entry(&path),
            Ok(Entry::Absent | Entry::File { .. }) | Err(_)
        ),
        "{}: is no regular file, and stays",
        path.display()
    );
    host.install(&path, &bytes, 0o600, None)
        .with_context(|| format!("{}: write", path.display()))?;
    let text = format!(
        "{}: {} files, {} KiB, {redactions} places redacted; look at it before it leaves the host",
        path.display(),
        texts.len(),
        bytes.len().div_ceil(1024)
    );
    Ok(Report::ok(Outcome::Changed, text)
        .detail("path", json!(path))
        .detail("bytes", bytes.len())
        .detail("sha256", sha256(&bytes))
        .detail("redactions", redactions)
        .detail("contents", contents)
        .detail("left_out", left_out))
}

/// The last lines of a text that is too long.
fn end_of(text: &str) -> &str {
    let more = text.len().checked_sub(MOST).filter(|more| *more > 0);
    let Some(mut from) = more else {
        return text;
    };
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let end = text.get(from..).unwrap_or_default();
    // half a line may be half a secret
    end.split_once('\n').map_or("", |(_, whole)| whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_text_whole_lines_at_the_end_are_kept() {
        assert_eq!(end_of("short"), "short");
        let long = format!("{}\nlast ä line\n", "x".repeat(MOST));
        assert_eq!(end_of(&long), "last ä line\n");
        assert_eq!(end_of(&"x".repeat(MOST + 1)), "");
    }
}
