//! The mount unit of the data disk.
//!
//! Always true: by UUID; wanted and not required by the boot, so that a host without its disk can still be reached.
//!
//! Does not: see the host.

use std::path::Path;

/// How it is mounted.
pub const OPTIONS: &str = "noatime,nosuid,nodev";

/// Its name, which systemd wants to be that of the directory.
pub fn name(at: &Path) -> String {
    let text = at.to_string_lossy();
    let trimmed = text.trim_matches('/');
    let mut name = String::new();
    for (number, byte) in trimmed.bytes().enumerate() {
        match byte {
            b'/' => name.push('-'),
            b'.' if number == 0 => name.push_str("\\x2e"),
            b if b.is_ascii_alphanumeric() || b":_.".contains(&b) => name.push(char::from(b)),
            b => name.push_str(&format!("\\x{b:02x}")),
        }
    }
    format!("{name}.mount")
}

/// What it says.
pub fn text(at: &Path, kind: &str, uuid: &str) -> String {
    format!(
        "# Written by `agnes-ops boot`.\n\
         [Unit]\n\
         Description=Agnes: the data disk\n\
         Before=local-fs.target\n\
         \n\
         [Mount]\n\
         What=/dev/disk/by-uuid/{uuid}\n\
         Where={}\n\
         Type={kind}\n\
         Options={OPTIONS}\n\
         \n\
         [Install]\n\
         WantedBy=local-fs.target\n",
        at.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_systemd_s() {
        // as `systemd-escape --path --suffix=mount` has them
        for (path, wanted) in [
            ("/data", "data.mount"),
            ("/srv/agnes/data", "srv-agnes-data.mount"),
            ("/mnt/my-disk", "mnt-my\\x2ddisk.mount"),
            ("/.hidden", "\\x2ehidden.mount"),
        ] {
            assert_eq!(name(Path::new(path)), wanted);
        }
    }
}
