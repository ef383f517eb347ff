//! What happens to the data disk, from what was seen of it.
//!
//! Always true: values in, values out; a device is formatted on positive proof of blankness and with consent, and never otherwise (B01).
//!
//! Does not: see the host.

use agnes_config::Consent;

/// What a device holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// There is no such device.
    Absent,
    /// There is something of that name, and it is no block device.
    NoDevice,
    /// It cannot be read, or looked at.
    Unreadable(String),
    /// Nothing is known on it, its first and last MiB are zero, and it has no partitions and no holders.
    Blank,
    /// A file system.
    Filesystem {
        /// As `blkid` calls it: `xfs`, `ext4`.
        kind: String,
        /// Its UUID.
        uuid: String,
    },
    /// Something else that is known: a partition table, LUKS, LVM, swap.
    Signature(String),
    /// Partitions, or something that is made of it.
    InUse(String),
    /// Nothing is known on it, and it is not zero.
    Unknown {
        /// Its first bytes.
        begins: [u8; 4],
    },
}

/// What is mounted at `DATA_DIR`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mounted {
    /// Nothing.
    Nothing,
    /// The device.
    Device,
    /// Something else.
    Other(String),
}

/// What shall happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is where it should be.
    Mounted,
    /// It is looked into, and mounted.
    Mount {
        /// Its file system.
        kind: String,
        /// Its UUID.
        uuid: String,
    },
    /// It gets a file system first.
    Format(Fresh),
    /// Nothing: a person has to.
    Refuse(Refused),
}

/// Whether what is formatted over is blank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fresh {
    /// It is.
    Blank,
    /// It was, and a format of ours was cut off.
    CutOff,
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// For programs.
    pub reason: &'static str,
    /// For people.
    pub why: String,
    /// What to do.
    pub hint: &'static str,
}

/// All that is decided from.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The device.
    pub found: Found,
    /// `DATA_DIR`.
    pub mounted: Mounted,
    /// `host.format_blank`.
    pub consent: Consent,
    /// A format of ours of this very device has begun and is not known to have ended: its UUID.
    pub cut_off: Option<String>,
}

/// Decides.
pub fn decide(seen: &Seen) -> Decision {
    match &seen.mounted {
        Mounted::Device => return Decision::Mounted,
        Mounted::Other(what) => {
            return refuse(
                "disk-elsewhere",
                format!("{what} is mounted in its place"),
                "unmount it, or name it as host.data_device",
            );
        }
        Mounted::Nothing => {}
    }
    match &seen.found {
        Found::Absent => refuse(
            "disk-missing",
            "there is no such device".to_owned(),
            "attach the disk, or mend host.data_device",
        ),
        Found::NoDevice => refuse(
            "disk-missing",
            "it is no block device".to_owned(),
            "mend host.data_device",
        ),
        Found::Unreadable(why) => refuse(
            "disk-unreadable",
            why.clone(),
            "look at the disk; nothing is formatted that cannot be read",
        ),
        Found::Blank if seen.consent == Consent::Given => Decision::Format(Fresh::Blank),
        Found::Blank => refuse(
            "disk-blank",
            "it is blank, and host.format_blank does not allow to format it".to_owned(),
            "set host.format_blank = true, or attach the right disk",
        ),
        Found::Filesystem { kind, uuid } if matches!(kind.as_str(), "xfs" | "ext4") => {
            Decision::Mount {
                kind: kind.clone(),
                uuid: uuid.clone(),
            }
        }
        Found::Filesystem { kind, .. } | Found::Signature(kind) => refuse(
            "disk-not-ours",
            format!("it holds {kind}"),
            "attach the right disk; what is on this one is never touched",
        ),
        Found::InUse(what) => refuse(
            "disk-not-ours",
            what.clone(),
            "attach the right disk; what is on this one is never touched",
        ),
        // what a format of ours that was cut off leaves begins with nothing, or as XFS does
        Found::Unknown { begins }
            if seen.cut_off.is_some()
                && seen.consent == Consent::Given
                && [*b"\0\0\0\0", *b"XFSB"].contains(begins) =>
        {
            Decision::Format(Fresh::CutOff)
        }
        Found::Unknown { .. } => refuse(
            "disk-not-blank",
            "nothing known is on it, and it is not zero".to_owned(),
            "if nobody needs what is on it: blkdiscard or dd it to zero, and boot again",
        ),
    }
}

fn refuse(reason: &'static str, why: String, hint: &'static str) -> Decision {
    Decision::Refuse(Refused { reason, why, hint })
}

/// What a look into a file system showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inside {
    /// What stands at its top.
    pub names: Vec<String>,
    /// Its sentinel.
    pub sentinel: Option<String>,
    /// The sentinel of the disk that this host had.
    pub known: Option<String>,
}

/// Whether it may be written on.
///
/// # Errors
/// [`Refused`].
pub fn judge(inside: &Inside) -> Result<(), Refused> {
    match (&inside.known, &inside.sentinel) {
        (Some(known), Some(there)) if known == there => return Ok(()),
        (Some(known), there) => {
            let there = there.as_deref().unwrap_or("no sentinel");
            return Err(Refused {
                reason: "disk-swapped",
                why: format!("this host knows the disk with {known}, and this one has {there}"),
                hint: "attach the disk that was here; if this one is right, remove .host.json from the deployment's directory",
            });
        }
        (None, Some(_)) => return Ok(()),
        (None, None) => {}
    }
    let ours = |name: &String| ["state", "snapshots", "run"].contains(&name.as_str());
    let mut names = inside.names.iter().filter(|name| *name != "lost+found");
    if inside.names.iter().any(ours) || names.next().is_none() {
        return Ok(());
    }
    Err(Refused {
        reason: "disk-foreign",
        why: format!(
            "it holds files, and none of a deployment: {}",
            inside.names.join(", ")
        ),
        hint: "attach the right disk; if this one is right, mount it at DATA_DIR yourself",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(found: Found) -> Seen {
        Seen {
            found,
            mounted: Mounted::Nothing,
            consent: Consent::Given,
            cut_off: None,
        }
    }

    fn reason(seen: &Seen) -> &'static str {
        match decide(seen) {
            Decision::Refuse(refused) => refused.reason,
            Decision::Mounted => "mounted",
            Decision::Mount { .. } => "mount",
            Decision::Format(Fresh::Blank) => "format",
            Decision::Format(Fresh::CutOff) => "format-again",
        }
    }

    fn filesystem(kind: &str) -> Found {
        Found::Filesystem {
            kind: kind.to_owned(),
            uuid: "u".to_owned(),
        }
    }

    #[test]
    fn b01_only_a_blank_device_is_formatted_and_only_with_consent() {
        let all = [
            (Found::Absent, "disk-missing"),
            (Found::NoDevice, "disk-missing"),
            (Found::Unreadable("EIO".into()), "disk-unreadable"),
            (Found::Blank, "format"),
            (filesystem("xfs"), "mount"),
            (filesystem("ext4"), "mount"),
            (filesystem("btrfs"), "disk-not-ours"),
            (Found::Signature("crypto_LUKS".into()), "disk-not-ours"),
            (Found::InUse("partitions".into()), "disk-not-ours"),
            (Found::Unknown { begins: [0; 4] }, "disk-not-blank"),
        ];
        for (found, wanted) in all {
            assert_eq!(reason(&seen(found.clone())), wanted, "{found:?}");
            let without = Seen {
                consent: Consent::Withheld,
                ..seen(found.clone())
            };
            let wanted = if wanted == "format" {
                "disk-blank"
            } else {
                wanted
            };
            assert_eq!(reason(&without), wanted, "{found:?}");
            // what is mounted is never even looked at
            let mounted = Seen {
                mounted: Mounted::Device,
                ..seen(found.clone())
            };
            assert_eq!(reason(&mounted), "mounted", "{found:?}");
            let other = Seen {
                mounted: Mounted::Other("/dev/sdz".into()),
                ..seen(found)
            };
            assert_eq!(reason(&other), "disk-elsewhere");
        }
    }

    #[test]
    fn a_format_that_was_cut_off_goes_on_and_hides_nothing_else() {
        let cut_off = |begins: &[u8; 4]| Seen {
            cut_off: Some("u".into()),
            ..seen(Found::Unknown { begins: *begins })
        };
        assert_eq!(reason(&cut_off(b"XFSB")), "format-again");
        assert_eq!(reason(&cut_off(b"\0\0\0\0")), "format-again");
        assert_eq!(reason(&cut_off(b"data")), "disk-not-blank");
        let luks = Seen {
            found: Found::Signature("crypto_LUKS".into()),
            ..cut_off(b"XFSB")
        };
        assert_eq!(reason(&luks), "disk-not-ours");
    }

    #[test]
    fn b02_another_disk_than_before_is_refused() {
        let inside = |names: &[&str], sentinel: Option<&str>, known: Option<&str>| {
            judge(&Inside {
                names: names.iter().map(|name| (*name).to_owned()).collect(),
                sentinel: sentinel.map(str::to_owned),
                known: known.map(str::to_owned),
            })
            .map_err(|refused| refused.reason)
        };
        assert_eq!(inside(&["lost+found"], None, None), Ok(()));
        assert_eq!(inside(&["state"], None, None), Ok(()));
        assert_eq!(inside(&["state"], Some("a"), None), Ok(()));
        assert_eq!(inside(&["state"], Some("a"), Some("a")), Ok(()));
        assert_eq!(
            inside(&["state"], Some("b"), Some("a")),
            Err("disk-swapped")
        );
        assert_eq!(inside(&[], None, Some("a")), Err("disk-swapped"));
        assert_eq!(inside(&["photos"], None, None), Err("disk-foreign"));
    }
}
