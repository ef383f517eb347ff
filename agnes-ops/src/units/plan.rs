//! What has to be done so that the host has the units that its settings ask for.
//!
//! Always true: values in, values out; a file that is neither as it shall be nor as we last wrote it is a person's, and is kept beside.
//!
//! Does not: see the host.

use std::collections::BTreeMap;

use agnes_config::{Runtime, Settings};

use super::catalogue::{ALL, DROP_IN, SYSUSERS as SHIPPED_SYSUSERS, Unit, drop_in};
use super::{Found, SYSUSERS, UNITS};
use crate::sha256::sha256;

/// One name below the root, and what shall be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Without the leading slash.
    pub path: String,
    /// `None`: nothing.
    pub text: Option<String>,
}

/// One link that enables a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enabling {
    /// Without the leading slash.
    pub path: String,
    /// The unit.
    pub unit: &'static str,
    /// Whether it shall be there.
    pub wanted: bool,
}

/// All that the settings ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// Files.
    pub files: Vec<Wanted>,
    /// Links.
    pub links: Vec<Enabling>,
}

/// Whether the units shall be there at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Those that the settings ask for.
    Install,
    /// None of them.
    Remove,
}

/// What the settings ask for.
///
/// # Errors
/// A path that cannot stand in a unit.
pub fn desired(settings: &Settings, purpose: Purpose) -> Result<Desired, String> {
    let is_wanted = |unit: &Unit| purpose == Purpose::Install && unit.is_wanted(settings);
    let mut files = Vec::new();
    let mut links = Vec::new();
    for unit in ALL {
        let wanted = is_wanted(unit);
        files.push(Wanted {
            path: format!("{UNITS}/{}", unit.name),
            text: wanted.then(|| unit.text.to_owned()),
        });
        if unit.name.ends_with(".service") {
            let text = if wanted {
                drop_in(unit, settings)?
            } else {
                None
            };
            files.push(Wanted {
                path: format!("{UNITS}/{}.d/{DROP_IN}", unit.name),
                text,
            });
        }
        if let Some(target) = unit.wanted_by() {
            links.push(Enabling {
                path: format!("{UNITS}/{target}.wants/{}", unit.name),
                unit: unit.name,
                wanted,
            });
        }
    }
    let has_server = purpose == Purpose::Install && settings.runtime == Runtime::Process;
    if purpose == Purpose::Install {
        // the user stays when the units go: files are its own
        files.push(Wanted {
            path: SYSUSERS.to_owned(),
            text: has_server.then(|| SHIPPED_SYSUSERS.to_owned()),
        });
    }
    Ok(Desired { files, links })
}

/// What was found.
#[derive(Debug, Default)]
pub struct Observed {
    /// By path below the root.
    pub files: BTreeMap<String, Found>,
    /// The links that are there, with what they say.
    pub links: BTreeMap<String, String>,
    /// What stands in a link's place and is none.
    pub odd_links: BTreeMap<String, String>,
}

impl Observed {
    /// What stands in the place of ours and is neither a unit nor a link: `path: what it is`.
    pub fn odd(&self) -> Vec<(&str, &str)> {
        let files = self.files.iter().filter_map(|(path, found)| match found {
            Found::Odd(what) => Some((path.as_str(), what.as_str())),
            _ => None,
        });
        let links = self.odd_links.iter();
        files
            .chain(links.map(|(path, what)| (path.as_str(), what.as_str())))
            .collect()
    }
}

/// One effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A person's version of a file of ours gets a name beside it.
    Keep {
        /// Below the root.
        path: String,
        /// Below the root.
        beside: String,
    },
    /// A file is written.
    Write {
        /// Below the root.
        path: String,
        /// What it says.
        text: String,
    },
    /// A file or a link is removed.
    Remove {
        /// Below the root.
        path: String,
    },
    /// A unit is enabled.
    Link {
        /// Below the root.
        path: String,
        /// The unit.
        unit: &'static str,
    },
}

impl Action {
    /// As an imperative.
    pub fn said(&self) -> String {
        match self {
            Self::Keep { path, beside } => format!("keep /{path} as /{beside}"),
            Self::Write { path, .. } => format!("write /{path}"),
            Self::Remove { path } => format!("remove /{path}"),
            Self::Link { path, .. } => format!("enable by /{path}"),
        }
    }
}

/// What has to be done, in order.
///
/// `remembered` has the hash of each file as we last wrote it.
pub fn plan(
    desired: &Desired,
    observed: &Observed,
    remembered: &BTreeMap<String, String>,
) -> Vec<Action> {
    let mut actions = Vec::new();
    let enabled = |link: &Enabling| observed.links.get(&link.path);
    for link in desired.links.iter().filter(|link| !link.wanted) {
        if enabled(link).is_some() {
            let path = link.path.clone();
            actions.push(Action::Remove { path });
        }
    }
    for file in &desired.files {
        file_actions(file, observed, remembered, &mut actions);
    }
    for link in desired.links.iter().filter(|link| link.wanted) {
        let masked = observed.files.get(&format!("{UNITS}/{}", link.unit)) == Some(&Found::Masked);
        let target = format!("/{UNITS}/{}", link.unit);
        let odd = observed.odd_links.contains_key(&link.path);
        if !masked && !odd && enabled(link) != Some(&target) {
            let (path, unit) = (link.path.clone(), link.unit);
            actions.push(Action::Link { path, unit });
        }
    }
    actions
}

fn file_actions(
    file: &Wanted,
    observed: &Observed,
    remembered: &BTreeMap<String, String>,
    actions: &mut Vec<Action>,
) {
    let path = file.path.clone();
    let there = match observed.files.get(&path) {
        // a person wants it never to run, or has something else there
        Some(Found::Masked | Found::Odd(_)) => return,
        Some(Found::File(bytes) | Found::Open(bytes)) => Some(bytes),
        Some(Found::Absent) | None => None,
    };
    let is_right =
        there.is_some_and(|bytes| file.text.as_deref().map(str::as_bytes) == Some(bytes));
    if is_right && matches!(observed.files.get(&path), Some(Found::File(_))) {
        return;
    }
    if let Some(bytes) = there.filter(|_| !is_right) {
        let hash = sha256(bytes);
        let shipped = ALL
            .iter()
            .any(|unit| path.ends_with(unit.name) && unit.text.as_bytes() == bytes);
        let is_ours = shipped || remembered.get(&path) == Some(&hash);
        if !is_ours {
            let beside = format!("{path}.kept-{}", hash.get(..8).unwrap_or(&hash));
            let path = path.clone();
            actions.push(Action::Keep { path, beside });
        }
    }
    match (&file.text, there) {
        (Some(text), _) => actions.push(Action::Write {
            path,
            text: text.clone(),
        }),
        (None, Some(_)) => actions.push(Action::Remove { path }),
        (None, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::settings;

    fn path(unit: &str) -> String {
        format!("{UNITS}/{unit}")
    }

    /// What a host has once the plan was carried out.
    fn after(desired: &Desired) -> Observed {
        let mut observed = Observed::default();
        for file in &desired.files {
            let found = file
                .text
                .as_ref()
                .map_or(Found::Absent, |text| Found::File(text.as_bytes().to_vec()));
            observed.files.insert(file.path.clone(), found);
        }
        for link in desired.links.iter().filter(|link| link.wanted) {
            let target = format!("/{UNITS}/{}", link.unit);
            observed.links.insert(link.path.clone(), target);
        }
        observed
    }

    #[test]
    fn b09_what_is_not_wanted_any_more_goes_and_comes_back() {
        let on = desired(&settings(""), Purpose::Install).unwrap();
        let off = desired(&settings("[upgrade]\nmode = \"off\""), Purpose::Install).unwrap();
        assert_eq!(plan(&on, &after(&on), &BTreeMap::new()), []);
        let said: Vec<String> = plan(&off, &after(&on), &BTreeMap::new())
            .iter()
            .map(Action::said)
            .collect();
        assert_eq!(
            said,
            [
                "remove /etc/systemd/system/timers.target.wants/agnes-upgrade.timer",
                "remove /etc/systemd/system/agnes-upgrade.service",
                "remove /etc/systemd/system/agnes-upgrade.timer",
            ]
        );
        let back = plan(&on, &after(&off), &BTreeMap::new());
        assert_eq!(back.len(), 3, "{back:?}");
        let none = desired(&settings(""), Purpose::Remove).unwrap();
        let gone = plan(&none, &after(&on), &BTreeMap::new());
        assert!(
            gone.iter()
                .all(|action| matches!(action, Action::Remove { .. }))
        );
        assert_eq!(
            gone.len(),
            after(&on)
                .files
                .values()
                .filter(|f| **f != Found::Absent)
                .count()
                + after(&on).links.len()
        );
    }

    #[test]
    fn what_a_person_changed_is_kept_and_what_we_wrote_is_not() {
        let on = desired(&settings(""), Purpose::Install).unwrap();
        let name = path("agnes-drill.timer");
        let mut there = after(&on);
        there
            .files
            .insert(name.clone(), Found::File(b"theirs".to_vec()));
        let actions = plan(&on, &there, &BTreeMap::new());
        assert!(
            matches!(actions.as_slice(), [Action::Keep { beside, .. }, Action::Write { .. }] if beside.starts_with(&name)),
            "{actions:?}"
        );
        let remembered = BTreeMap::from([(name, sha256(b"theirs"))]);
        let actions = plan(&on, &there, &remembered);
        assert!(
            matches!(actions.as_slice(), [Action::Write { .. }]),
            "{actions:?}"
        );
    }

    #[test]
    fn what_others_may_write_is_written_anew() {
        let on = desired(&settings(""), Purpose::Install).unwrap();
        let name = path("agnes-drill.timer");
        let mut there = after(&on);
        let Some(Found::File(bytes)) = there.files.remove(&name) else {
            panic!("{name}");
        };
        there.files.insert(name, Found::Open(bytes));
        let actions = plan(&on, &there, &BTreeMap::new());
        assert!(
            matches!(actions.as_slice(), [Action::Write { .. }]),
            "{actions:?}"
        );
    }

    #[test]
    fn a_mask_is_a_person_s_word() {
        let on = desired(&settings(""), Purpose::Install).unwrap();
        let mut there = after(&on);
        there
            .files
            .insert(path("agnes-upgrade.timer"), Found::Masked);
        there
            .links
            .remove(&path("timers.target.wants/agnes-upgrade.timer"));
        assert_eq!(plan(&on, &there, &BTreeMap::new()), []);
    }
}
