//! Lines of cron that run a deployment's scripts: found, switched off, and on again.
//!
//! Always true: values in, values out; a line is switched off by a mark before it, so that giving it back needs nothing but the line itself, and
//! what people write around it meanwhile stays.
//!
//! Does not: see the host.

/// Before a line that is switched off.
const MARK: &str = "#agnes-ops adopt# ";

/// Where cron reads, below the root: directories of files, and files.
pub const PLACES: [&str; 4] = [
    "/etc/cron.d",
    "/etc/crontab",
    "/var/spool/cron/crontabs/root",
    "/var/spool/cron/root",
];

/// What a file of cron becomes, and the lines that are another now.
#[derive(Debug, PartialEq, Eq)]
pub struct Changed {
    /// All of it.
    pub text: String,
    /// The lines as they are without a mark.
    pub lines: Vec<String>,
}

/// The file with the lines that mention `dir` switched off; `None`: there are none.
pub fn off(text: &str, dir: &str) -> Option<Changed> {
    change(text, |line| {
        let trimmed = line.trim_start();
        let runs = !trimmed.is_empty() && !trimmed.starts_with('#') && !is_assignment(trimmed);
        (runs && mentions(line, dir)).then(|| (format!("{MARK}{line}"), line.to_owned()))
    })
}

/// The file with the lines that were switched off on again; `None`: there are none.
pub fn on(text: &str) -> Option<Changed> {
    change(text, |line| {
        let line = line.strip_prefix(MARK)?;
        Some((line.to_owned(), line.to_owned()))
    })
}

fn change(text: &str, of: impl Fn(&str) -> Option<(String, String)>) -> Option<Changed> {
    let mut lines = Vec::new();
    let text: Vec<String> = text
        .split('\n')
        .map(|line| match of(line) {
            Some((changed, named)) => {
                lines.push(named);
                changed
            }
            None => line.to_owned(),
        })
        .collect();
    (!lines.is_empty()).then(|| Changed {
        text: text.join("\n"),
        lines,
    })
}

/// `NAME=value`, which sets cron's environment.
fn is_assignment(line: &str) -> bool {
    let Some((name, _)) = line.split_once('=') else {
        return false;
    };
    let name = name.trim();
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Whether a text names a directory or something below it, and not only something that begins alike.
pub fn mentions(text: &str, dir: &str) -> bool {
    let ends =
        |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || "._-".contains(c));
    text.match_indices(dir)
        .any(|(at, _)| text.get(at + dir.len()..).is_some_and(ends))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# /opt/agnes\nSHELL=/bin/sh\nAGNES=/opt/agnes\n*/5 * * * * root /opt/agnes/upgrade.sh >>/var/log/x 2>&1\n0 3 * * * root cd /opt/agnes && ./backup.sh\n0 4 * * * root /opt/agnes-other/x\n@daily root /usr/bin/true";

    #[test]
    fn lines_of_the_deployment_go_off_and_come_back_as_they_were() {
        let off = off(TEXT, "/opt/agnes").unwrap();
        assert_eq!(off.lines.len(), 2, "{off:?}");
        assert!(
            off.text
                .contains("\n#agnes-ops adopt# */5 * * * * root /opt/agnes/upgrade.sh")
        );
        assert!(off.text.contains("\n0 4 * * * root /opt/agnes-other/x\n"));
        assert_eq!(super::off(&off.text, "/opt/agnes"), None);
        // a person's line in between stays
        let edited = off.text.replace("SHELL=/bin/sh", "SHELL=/bin/bash");
        let on = on(&edited).unwrap();
        assert_eq!(on.text, TEXT.replace("SHELL=/bin/sh", "SHELL=/bin/bash"));
        assert_eq!(super::on(TEXT), None);
    }

    #[test]
    fn a_directory_is_not_one_that_begins_alike() {
        for (text, wanted) in [
            ("/opt/agnes/x", true),
            ("cd /opt/agnes;", true),
            ("\"/opt/agnes\"", true),
            ("/opt/agnes", true),
            ("/opt/agnes-2/x", false),
            ("/opt/agnes2", false),
        ] {
            assert_eq!(mentions(text, "/opt/agnes"), wanted, "{text}");
        }
    }
}
