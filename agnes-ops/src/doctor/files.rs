//! Owners and modes of the deployment's directories, against the one list that says them.
//!
//! Always true: looks at what is on the list alone.
//!
//! Does not: set them (`--fix` does).

use super::{Found, Patient, Seen, server};
use crate::directories;

pub(super) fn owner(patient: &Patient<'_>) -> Seen {
    let (Some(settings), host) = (patient.settings(), patient.host()) else {
        return Seen::Unchecked("the settings are wrong".to_owned());
    };
    // whoever is not root has a deployment of his own
    if !host.is_root() {
        return Seen::Unchecked("this is not root".to_owned());
    }
    let list = match directories::wanted(host, settings) {
        Ok(list) => list,
        Err(why) => return Seen::Unchecked(format!("{why:#}")),
    };
    let mut found = Vec::new();
    for one in list {
        let next = format!("agnes-ops -C {} doctor files --fix", settings.dir.display());
        let seen = match host.owner_and_mode(&one.path) {
            Ok(seen) => seen,
            Err(why) => return Seen::Unchecked(format!("{}: {why}", one.path.display())),
        };
        // one that is not there is made by whoever needs it
        let Some((owner, mode)) = seen else { continue };
        // a stricter mode is a person's
        let too_open = mode & 0o7777 & !one.mode;
        let too_closed = one.mode & 0o700 & !mode;
        // a deployment that looks after certificates alone has no server whose they would be
        let is_theirs = owner.uid == one.owner.uid || !server::is_expected(patient);
        if is_theirs && too_open & 0o022 == 0 && too_closed == 0 {
            continue;
        }
        found.push(Found {
            object: one.path.display().to_string(),
            evidence: format!(
                "is {}:{} {mode:04o} (expected {}:{} {:04o})",
                owner.uid, owner.gid, one.owner.uid, one.owner.gid, one.mode
            ),
            next,
        });
    }
    Seen::of(found)
}
