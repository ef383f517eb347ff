//! Snapshots: there, fresh, proven, elsewhere too, and one of them opened.
//!
//! Always true: what is opened is a copy; a snapshot that is being made is waited for by nobody.
//!
//! Does not: make one.

use time::Duration;

use super::{Found, Patient, Seen};
use crate::deployment::Deployment;
use crate::snapshot::{self, Health, Which};

/// They are made daily: one may be missed.
const STALE: Duration = Duration::hours(50);
/// A timer of a host that was off has its turn within so many seconds.
const TURN: i64 = 2 * 3600;
/// They are proven when they are made, and drilled weekly.
const UNPROVEN: Duration = Duration::days(8);

pub(super) fn damaged(patient: &Patient<'_>) -> Seen {
    with(patient, |deployment, health| {
        let dir = deployment.settings.dir.display();
        let each = health.damaged.iter().map(|id| Found {
            object: id.clone(),
            evidence: "is not what its manifest says".to_owned(),
            next: format!("agnes-ops -C {dir} snapshot create; then see what is wrong (snapshot verify {id}) and remove it"),
        });
        Seen::of(each.collect())
    })
}

pub(super) fn age(patient: &Patient<'_>) -> Seen {
    with(patient, |deployment, health| {
        let next = format!(
            "agnes-ops -C {} snapshot create",
            deployment.settings.dir.display()
        );
        match &health.newest {
            Some((_, age)) if *age < STALE => Seen::Passed,
            _ if deployment.host.now().unix_timestamp() - patient.started_at() < TURN => {
                Seen::Unchecked(
                    "the host was started a moment ago: the timer had no turn yet".to_owned(),
                )
            }
            Some((id, age)) => Seen::found(
                id,
                format!("the newest is {} h old", age.whole_hours()),
                next,
            ),
            None => match data_age(deployment) {
                Some(age) if age >= STALE => {
                    let evidence = format!("there is none, and data for {} h", age.whole_hours());
                    Seen::found("", evidence, next)
                }
                _ => Seen::Unchecked("there is no data that is old enough".to_owned()),
            },
        }
    })
}

pub(super) fn proven(patient: &Patient<'_>) -> Seen {
    with(patient, |deployment, health| {
        let next = format!(
            "agnes-ops -C {} snapshot verify",
            deployment.settings.dir.display()
        );
        match (&health.newest, &health.newest_proven) {
            (_, Some((_, age))) if *age < UNPROVEN => Seen::Passed,
            (_, Some((id, age))) => {
                let evidence = format!(
                    "the newest that was proven is {} days old",
                    age.whole_days()
                );
                Seen::found(id, evidence, next)
            }
            (Some((id, _)), None) => Seen::found(id, "none was ever proven", next),
            (None, None) => Seen::Unchecked("there are no snapshots".to_owned()),
        }
    })
}

pub(super) fn remote(patient: &Patient<'_>) -> Seen {
    with(patient, |deployment, health| {
        let settings = deployment.settings;
        let Some(remote) = &settings.snapshot.push_to else {
            return Seen::Unchecked("snapshot.push_to is not set".to_owned());
        };
        let next = format!("agnes-ops -C {} snapshot push", settings.dir.display());
        match (health.pushed, &health.newest_proven) {
            (Some(age), _) if age < STALE => Seen::Passed,
            (Some(age), _) => {
                let evidence = format!("the last push was {} h ago", age.whole_hours());
                Seen::found(remote.to_string(), evidence, next)
            }
            (None, Some(_)) => Seen::found(remote.to_string(), "nothing was ever pushed", next),
            (None, None) => Seen::Unchecked("there is nothing to push".to_owned()),
        }
    })
}

/// As `snapshot verify`: a copy of the newest is opened, counted and migrated.
pub(super) fn opens(patient: &Patient<'_>) -> Seen {
    with(patient, |deployment, health| {
        let Some((id, _)) = &health.newest else {
            return Seen::Unchecked("there are no snapshots".to_owned());
        };
        let Deployment { host, settings, .. } = deployment;
        // it keeps what it found: nobody may do so at the same time
        let lock = host.lock(&settings.dir.join(".lock"), "doctor");
        let own = format!("(pid {},", std::process::id());
        let holder = host.lock_holder(&settings.dir.join(".lock")).ok().flatten();
        // under --fix this run has it already
        if lock.is_err() && !holder.is_some_and(|holder| holder.contains(&own)) {
            return Seen::Unchecked("another run is at work".to_owned());
        }
        let surroundings = snapshot::Surroundings {
            program: patient.options.program,
            docker_host: patient.options.surroundings.docker_host,
        };
        let next = format!(
            "agnes-ops -C {} snapshot verify {id}",
            settings.dir.display()
        );
        match snapshot::verify(deployment, surroundings, &Which::One(id.clone())) {
            Err(why) => Seen::Unchecked(format!("{why:#}")),
            Ok(report) => match report.refusal {
                None if report.exit == crate::outcome::Exit::Ok => Seen::Passed,
                Some(refusal)
                    if refusal
                        .reasons
                        .iter()
                        .any(|reason| CANNOT.contains(&reason.as_str())) =>
                {
                    Seen::Unchecked(refusal.message)
                }
                Some(refusal) => Seen::found(id, refusal.message, next),
                None => Seen::found(id, report.text, next),
            },
        }
    })
}

/// Why a copy could not be opened here, whatever the snapshot is like.
const CANNOT: [&str; 4] = ["no-room", "no-reader", "no-program", "disk-full"];

fn with(patient: &Patient<'_>, judge: impl Fn(Deployment<'_>, &Health) -> Seen) -> Seen {
    let deployment = patient.deployment();
    match snapshot::health(deployment) {
        Ok(health) => judge(deployment, &health),
        Err(why) => Seen::Unchecked(format!("{why:#}")),
    }
}

/// Since when there is data: the key of the audit log is made at the server's first start and stays.
fn data_age(deployment: Deployment<'_>) -> Option<Duration> {
    let Deployment { host, settings, .. } = deployment;
    let made = host
        .modified_secs(&settings.state_dir.join("audit.key"))
        .ok()?;
    Some(Duration::seconds(host.now().unix_timestamp() - made))
}
