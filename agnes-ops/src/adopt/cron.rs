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

/// The file with the lines that mention one of `dirs` switched off; `None`: there are none.
pub fn off(text: &str, dirs: &[String]) -> Option<Changed> {
    change(text, |line| {
        let trimmed = line.trim_start();
        let runs = !trimmed.is_empty() && !trimmed.starts_with('#') && !is_assignment(trimmed);
        (runs && mentions(line, dirs)).then(|| (format!("{MARK}{line}"), line.to_owned()))
    })
}

/// The file with the lines that were switched off for one of `dirs` on again, `known` ones among them; `None`: there are none.
pub fn on(text: &str, dirs: &[String], known: &[String]) -> Option<Changed> {
    change(text, |line| {
        let line = line.strip_prefix(MARK)?;
        let ours = mentions(line, dirs) || known.iter().any(|known| known == line);
        ours.then(|| (line.to_owned(), line.to_owned()))
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

/// Whether a text names one of these directories or something below it, and not only something that begins or ends alike.
pub fn mentions(text: &str, dirs: &[String]) -> bool {
    !named(text, dirs).is_empty()
}

/// What a text names of directories: paths alone, for what stands beside them may be a password.
pub fn named<'a>(text: &'a str, dirs: &[String]) -> Vec<&'a str> {
    let in_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let mut found = Vec::new();
    for dir in dirs {
        for (at, _) in text.match_indices(dir.as_str()) {
            let (before, from) = text.split_at(at);
            let (_, rest) = from.split_at(dir.len());
            if before.ends_with(in_name) || rest.starts_with(in_name) {
                continue;
            }
            let ends = from.find(|c: char| !in_name(c) && c != '/');
            found.push(from.split_at(ends.unwrap_or(from.len())).0);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# /opt/agnes\nSHELL=/bin/sh\nAGNES=/opt/agnes\n*/5 * * * * root /opt/agnes/upgrade.sh >>/var/log/x 2>&1\n0 3 * * * root cd /opt/agnes && ./backup.sh\n0 4 * * * root /opt/agnes-other/x\n@daily root /usr/bin/true";

    fn dirs() -> [String; 1] {
        ["/opt/agnes".to_owned()]
    }

    #[test]
    fn lines_of_the_deployment_go_off_and_come_back_as_they_were() {
        let off = off(TEXT, &dirs()).unwrap();
        assert_eq!(off.lines.len(), 2, "{off:?}");
        assert!(
            off.text
                .contains("\n#agnes-ops adopt# */5 * * * * root /opt/agnes/upgrade.sh")
        );
        assert!(off.text.contains("\n0 4 * * * root /opt/agnes-other/x\n"));
        assert_eq!(super::off(&off.text, &dirs()), None);
        // a person's line in between stays
        let edited = off.text.replace("SHELL=/bin/sh", "SHELL=/bin/bash");
        let on = on(&edited, &dirs(), &[]).unwrap();
        assert_eq!(on.text, TEXT.replace("SHELL=/bin/sh", "SHELL=/bin/bash"));
        assert_eq!(super::on(TEXT, &dirs(), &[]), None);
        // of two deployments each gets its own
        let other = ["/opt/agnes-other".to_owned()];
        let both = super::off(&off.text, &other).unwrap();
        let back = super::on(&both.text, &other, &both.lines).unwrap();
        assert_eq!(back.text, off.text);
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
            ("/mnt/old/opt/agnes/x", false),
        ] {
            assert_eq!(mentions(text, &dirs()), wanted, "{text}");
        }
        let line = "0 1 * * * PASSWORD=hunter2 /opt/agnes/backup.sh>/opt/agnes-log 2>&1";
        assert_eq!(named(line, &dirs()), ["/opt/agnes/backup.sh"]);
    }
}
