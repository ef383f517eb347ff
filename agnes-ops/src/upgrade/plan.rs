//! What should happen, from what was seen.
//!
//! Always true: values in, values out.
//!
//! Does not: see the host.

use agnes_config::UpgradeMode;

use super::hold::Hold;
use crate::fetch::Failure;
use crate::image::{Digest, Reference};

/// The service's container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum App {
    /// Its process runs, or the engine starts it again and again.
    Runs,
    /// There is one in this state.
    Stopped(String),
    /// There is none.
    Absent,
}

/// All that a decision is made from.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Who begins an upgrade.
    pub mode: UpgradeMode,
    /// What is followed.
    pub reference: Reference,
    /// The service's container.
    pub app: App,
    /// Other services of the project whose container does not run, with its state.
    pub stopped: Vec<(String, String)>,
    /// The digests by which the repository knows the running image; none for one that was built here.
    pub running: Vec<Digest>,
    /// What the registry says.
    pub wanted: Result<Digest, Failure>,
    /// A person's hold.
    pub hold: Option<Hold>,
    /// Set outside the window: when it opens next, if that is known.
    pub window_opens: Option<Option<i64>>,
}

/// Why an upgrade that is wanted does not begin now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waits {
    /// `on-hold`
    OnHold(Hold),
    /// `outside-window`
    OutsideWindow(Option<i64>),
    /// `manual`
    Manual,
    /// `app-stopped`: an operator's own doing, or a crash that the engine leaves at that.
    Stopped(String),
}

impl Waits {
    /// As it stands in `details.reason`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::OnHold(_) => "on-hold",
            Self::OutsideWindow(_) => "outside-window",
            Self::Manual => "manual",
            Self::Stopped(_) => "app-stopped",
        }
    }
}

/// What should happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// `mode = "off"`.
    Off,
    /// Nothing runs that could be upgraded.
    NothingRuns,
    /// The registry did not say what is wanted.
    Unknown(Failure),
    /// What runs is what is wanted.
    Unchanged(Digest),
    /// An upgrade.
    Upgrade {
        /// The digest that runs; `None`: an image that was built here.
        from: Option<Digest>,
        /// The digest that is wanted.
        to: Digest,
        /// Why not now.
        waits: Option<Waits>,
    },
}

/// Decides.
pub fn decide(seen: &Seen) -> Decision {
    if seen.mode == UpgradeMode::Off {
        return Decision::Off;
    }
    if seen.app == App::Absent {
        return Decision::NothingRuns;
    }
    let to = match &seen.wanted {
        Ok(digest) => digest.clone(),
        Err(failure) => return Decision::Unknown(failure.clone()),
    };
    if seen.running.contains(&to) {
        return Decision::Unchanged(to);
    }
    Decision::Upgrade {
        from: seen.running.first().cloned(),
        to,
        waits: waits(seen),
    }
}

fn waits(seen: &Seen) -> Option<Waits> {
    if let App::Stopped(state) = &seen.app {
        return Some(Waits::Stopped(state.clone()));
    }
    if let Some(hold) = &seen.hold {
        return Some(Waits::OnHold(hold.clone()));
    }
    if seen.mode == UpgradeMode::Manual {
        return Some(Waits::Manual);
    }
    seen.window_opens.map(Waits::OutsideWindow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::Reason;

    fn digest(pair: &str) -> Digest {
        format!("sha256:{}", pair.repeat(32)).parse().unwrap()
    }

    fn seen() -> Seen {
        Seen {
            mode: UpgradeMode::Auto,
            reference: "registry.example.com/agnes:stable".parse().unwrap(),
            app: App::Runs,
            stopped: Vec::new(),
            running: vec![digest("aa")],
            wanted: Ok(digest("bb")),
            hold: None,
            window_opens: None,
        }
    }

    fn waiting(seen: &Seen) -> Option<&'static str> {
        match decide(seen) {
            Decision::Upgrade { waits, .. } => waits.map(|waits| waits.word()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn u02_the_running_digest_is_compared_with_the_wanted_one() {
        let upgrade = Decision::Upgrade {
            from: Some(digest("aa")),
            to: digest("bb"),
            waits: None,
        };
        assert_eq!(decide(&seen()), upgrade);
        let same = Seen {
            // an image may have been pushed under several
            running: vec![digest("aa"), digest("bb")],
            ..seen()
        };
        assert_eq!(decide(&same), Decision::Unchanged(digest("bb")));
        // what was built here has none, and is not what the registry has
        let built = Seen {
            running: Vec::new(),
            ..seen()
        };
        assert!(matches!(
            decide(&built),
            Decision::Upgrade { from: None, .. }
        ));
    }

    #[test]
    fn a_refusal_is_never_unchanged() {
        let failure = Failure {
            reason: Reason::Forbidden,
            url: "x".to_owned(),
            message: "permission denied (HTTP 403)".to_owned(),
            hint: None,
        };
        let refused = Seen {
            wanted: Err(failure.clone()),
            ..seen()
        };
        assert_eq!(decide(&refused), Decision::Unknown(failure));
    }

    #[test]
    fn what_keeps_an_upgrade_waiting_has_its_reason_the_most_telling_first() {
        let hold = Hold {
            why: "month end".to_owned(),
            by: "operator".to_owned(),
            since: time::OffsetDateTime::UNIX_EPOCH,
            until: None,
        };
        let mut seen = Seen {
            window_opens: Some(Some(7)),
            ..seen()
        };
        assert_eq!(waiting(&seen), Some("outside-window"));
        seen.mode = UpgradeMode::Manual;
        assert_eq!(waiting(&seen), Some("manual"));
        seen.hold = Some(hold);
        assert_eq!(waiting(&seen), Some("on-hold"));
        seen.app = App::Stopped("exited".to_owned());
        assert_eq!(waiting(&seen), Some("app-stopped"));
        seen.app = App::Absent;
        assert_eq!(decide(&seen), Decision::NothingRuns);
        seen.mode = UpgradeMode::Off;
        assert_eq!(decide(&seen), Decision::Off);
    }
}
