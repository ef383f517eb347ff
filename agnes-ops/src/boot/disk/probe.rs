//! What a device holds, and what is mounted where.
//!
//! Always true: the device is opened read-only; what could not be seen is told, and never taken for nothing.
//!
//! Does not: decide.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::plan::{Found, Mounted};
use crate::host::{Host, RunError};
use crate::sha256::hex;

/// How long a probe may take.
const PROBE: Duration = Duration::from_secs(30);
/// What has to be zero at either end of a blank device.
const END: usize = 1 << 20;

/// Looks at a device.
pub fn probe(host: &Host, device: &Path) -> Found {
    looked(host, device).unwrap_or_else(|why| Found::Unreadable(format!("{why:#}")))
}

fn looked(host: &Host, device: &Path) -> Result<Found> {
    let size = match host.device_size(device) {
        Ok(Some(size)) => size,
        Ok(None) => return Ok(Found::NoDevice),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Found::Absent),
        Err(error) => return Err(error).context("cannot be opened"),
    };
    let first = host
        .read_part(device, 0, END)
        .context("its first MiB cannot be read")?;
    let last = host
        .read_part(device, size.saturating_sub(END as u64), END)
        .context("its last MiB cannot be read")?;
    let name = device.to_string_lossy();
    if let Some(found) = signature(host, &name)? {
        return Ok(found);
    }
    if let Some(what) = children(host, &name)? {
        return Ok(Found::InUse(what));
    }
    let zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    if size > 0 && zero(&first) && zero(&last) {
        return Ok(Found::Blank);
    }
    let mut begins = [0; 4];
    for (to, from) in begins.iter_mut().zip(&first) {
        *to = *from;
    }
    Ok(Found::Unknown { begins })
}

/// What `blkid` knows on it; `None`: nothing.
fn signature(host: &Host, device: &str) -> Result<Option<Found>> {
    let argv = ["blkid", "--probe", "--output", "export", device];
    let ran = match host.run(&argv, None, PROBE) {
        Ok(ran) => ran,
        Err(RunError::NoProgram) => anyhow::bail!("there is no blkid program"),
        Err(error) => anyhow::bail!("blkid: {error}"),
    };
    let value = |key: &str| {
        let mut lines = ran.stdout.lines();
        lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('=').map(str::to_owned))
    };
    match ran.code {
        // blkid's word for nothing at all
        2 if ran.stdout.trim().is_empty() => Ok(None),
        0 => {
            if let Some(table) = value("PTTYPE") {
                return Ok(Some(Found::Signature(format!(
                    "a partition table ({table})"
                ))));
            }
            let kind = value("TYPE").unwrap_or_else(|| "something that blkid does not name".into());
            let uuid = value("UUID");
            Ok(Some(match (value("USAGE").as_deref(), uuid) {
                (Some("filesystem"), Some(uuid)) => Found::Filesystem { kind, uuid },
                _ => Found::Signature(kind),
            }))
        }
        8 => Ok(Some(Found::Signature(
            "more than one thing, as blkid sees it".to_owned(),
        ))),
        code => anyhow::bail!("blkid: exit {code}: {}", ran.last_line()),
    }
}

/// Partitions, and what is made of the device; `None`: there are none.
fn children(host: &Host, device: &str) -> Result<Option<String>> {
    let argv = [
        "lsblk",
        "--noheadings",
        "--raw",
        "--output",
        "NAME,TYPE",
        device,
    ];
    let ran = match host.run(&argv, None, PROBE) {
        Ok(ran) if ran.code == 0 => ran,
        Ok(ran) => anyhow::bail!("lsblk: {}", ran.last_line()),
        Err(RunError::NoProgram) => anyhow::bail!("there is no lsblk program"),
        Err(error) => anyhow::bail!("lsblk: {error}"),
    };
    let children: Vec<&str> = ran.stdout.lines().skip(1).collect();
    if ran.stdout.trim().is_empty() {
        anyhow::bail!("lsblk does not know it");
    }
    Ok((!children.is_empty()).then(|| format!("it is in use by {}", children.join(", "))))
}

/// What is mounted at a directory.
///
/// # Errors
/// When that cannot be seen.
pub fn mounted(host: &Host, device: &Path, at: &Path) -> Result<Mounted> {
    let text = host
        .read(Path::new("/proc/self/mountinfo"))
        .context("/proc/self/mountinfo: read")?
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    // the last one is on top
    let mount = text.lines().rev().find(|line| {
        let point = line.split(' ').nth(4).unwrap_or_default();
        unescaped(point) == at.to_string_lossy()
    });
    let Some(mount) = mount else {
        return Ok(Mounted::Nothing);
    };
    let of_source = mount
        .split(" - ")
        .nth(1)
        .and_then(|end| end.split(' ').nth(1));
    let source = of_source.unwrap_or("something").to_owned();
    match host.is_on(at, device) {
        Ok(true) => Ok(Mounted::Device),
        Ok(false) => Ok(Mounted::Other(source)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Mounted::Other(source)),
        Err(error) => Err(error).with_context(|| format!("{}: look at", at.display())),
    }
}

/// The kernel writes blanks and the like as octal numbers.
fn unescaped(field: &str) -> String {
    let mut text = Vec::new();
    let bytes = field.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let octal = (*byte == b'\\')
            .then(|| bytes.get(at + 1..at + 4))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match octal {
            Some(octal) => {
                text.push(octal);
                at += 4;
            }
            None => {
                text.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// 32 hexadecimal digits that nobody else has.
///
/// # Errors
/// When the system has no random bytes.
pub fn random_hex() -> Result<String> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| anyhow::anyhow!("no random bytes from the system"))?;
    Ok(hex(&bytes))
}

/// A random UUID.
///
/// # Errors
/// As [`random_hex`].
pub fn new_uuid() -> Result<String> {
    let hex = random_hex()?;
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default().to_owned();
    // version 4, variant 1 of RFC 9562
    Ok(format!(
        "{}-{}-4{}-a{}-{}",
        part(0, 8),
        part(8, 12),
        part(13, 16),
        part(17, 20),
        part(20, 32)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_with_a_blank_is_read_back() {
        assert_eq!(unescaped("/a\\040b\\134c"), "/a b\\c");
        assert_eq!(unescaped("/data"), "/data");
        assert_eq!(unescaped("/odd\\9"), "/odd\\9");
    }

    #[test]
    fn a_uuid_has_its_form() {
        let uuid = new_uuid().unwrap();
        let lengths: Vec<usize> = uuid.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{uuid}");
        assert_ne!(uuid, new_uuid().unwrap());
    }
}
