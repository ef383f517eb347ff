//! Units under a real systemd: installed, enabled, started by their timers, and heard of when they fail.

mod tree;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use agnes_e2e::deployment::{Deployment, Ran};
use agnes_e2e::systemd::Machine;
use serde_json::Value;

use crate::crash::{checkpoints, killed_at};

const DIR: &str = "/srv/agnes";
const UNITS: &str = "/etc/systemd/system";
const ALERTS: &str = "/srv/agnes/data/state/ops/alerts";

/// A deployment whose stack no engine runs: units are about when, not about what.
fn machine(env: &str) -> Option<Machine> {
    let machine = Machine::boot().unwrap()?;
    let env = format!("DATA_DIR=/srv/agnes/data\nDOMAIN=agnes.example.com\n{env}");
    machine.write("/srv/agnes/.env", &env).unwrap();
    Some(machine)
}

fn install(machine: &Machine) -> Ran {
    machine.ops(DIR, &["units", "install"])
}

fn step_names(ran: &Ran) -> Vec<String> {
    let said: Value = serde_json::from_str(&ran.stdout).unwrap();
    let steps = said["steps"].as_array().unwrap().iter();
    steps
        .map(|step| step["name"].as_str().unwrap().to_owned())
        .collect()
}

fn is_there(machine: &Machine, path: &str) -> bool {
    machine.run(&["test", "-e", path]).code == 0
}

fn kill(machine: &Machine, pid: &str) {
    machine.run(&["sh", "-c", "kill -KILL $0", pid]).exits(0);
}

/// Waits until it is so.
#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn b09_units_converge_both_ways_and_people_s_changes_are_kept() {
    let Some(machine) = machine("") else {
        return;
    };
    machine.ops(DIR, &["units", "status"]).exits(10);
    let dry = machine
        .ops(DIR, &["units", "install", "--dry-run"])
        .exits(0);
    dry.with_outcome("unchanged");
    assert!(!is_there(
        &machine,
        "/etc/systemd/system/agnes-boot.service"
    ));

    let first = install(&machine).exits(0);
    first.with_outcome("changed");
    let second = install(&machine).exits(0);
    second.with_outcome("unchanged");
    machine.ops(DIR, &["units", "status"]).exits(0);
    for timer in [
        "tls-rotate",
        "secrets",
        "snapshot",
        "upgrade",
        "drill",
        "watch",
    ] {
        let timer = format!("agnes-{timer}.timer");
        assert_eq!(machine.property(&timer, "ActiveState"), "active", "{timer}");
        assert_eq!(
            machine.property(&timer, "UnitFileState"),
            "enabled",
            "{timer}"
        );
    }
    assert_eq!(
        machine.property("agnes-boot.service", "UnitFileState"),
        "enabled"
    );

    // a person's drop-in stays, a person's edit is kept beside, a masked unit stays masked
    let drop_in = format!("{UNITS}/agnes-drill.timer.d/ours.conf");
    machine
        .write(&drop_in, "[Timer]\nAccuracySec=1h\n")
        .unwrap();
    let edited = format!("{UNITS}/agnes-watch.service");
    machine
        .write(&edited, "[Service]\nExecStart=/bin/true\n")
        .unwrap();
    let masked = format!("{UNITS}/agnes-snapshot.timer");
    machine
        .run(&["systemctl", "stop", "agnes-snapshot.timer"])
        .exits(0);
    machine.run(&["ln", "-sf", "/dev/null", &masked]).exits(0);
    let status = machine.ops(DIR, &["units", "status"]).exits(10);
    assert!(status.stdout.contains("units.differs"), "{}", status.stdout);
    let mended = install(&machine).exits(0);
    let said: Value = serde_json::from_str(&mended.stdout).unwrap();
    let kept = said["details"]["kept"][0].as_str().unwrap();
    assert!(machine.read(kept).unwrap().contains("/bin/true"), "{kept}");
    assert!(machine.read(&edited).unwrap().contains("agnes-ops watch"));
    assert!(is_there(&machine, &drop_in));
    assert_eq!(said["details"]["masked"][0], "agnes-snapshot.timer");
    assert_eq!(
        machine.property("agnes-snapshot.timer", "LoadState"),
        "masked"
    );
    install(&machine).exits(0).with_outcome("unchanged");

    // an upgrade's own program takes over, and one that a person put there stays
    let program = "/usr/local/bin/agnes-ops";
    machine.run(&["mkdir", "-p", "/srv/agnes/current"]).exits(0);
    machine
        .run(&["cp", "/usr/bin/agnes-ops", "/srv/agnes/current/agnes-ops"])
        .exits(0);
    machine
        .run(&["ln", "-sfn", "/usr/local/lib/agnes/agnes-ops", program])
        .exits(0);
    install(&machine).exits(0).with_outcome("changed");
    let target = machine.run(&["readlink", program]).stdout;
    assert_eq!(target.trim(), "/srv/agnes/current/agnes-ops");
    machine
        .run(&["ln", "-sfn", "/usr/bin/agnes-ops", program])
        .exits(0);
    install(&machine).exits(0).with_outcome("unchanged");
    machine.run(&["rm", "-r", "/srv/agnes/current"]).exits(0);

    // off is off, and on is on again
    machine
        .write("/srv/agnes/agnes.toml", "[upgrade]\nmode = \"off\"\n")
        .unwrap();
    let off = step_names(&install(&machine).exits(0));
    assert_eq!(off[0], "stop agnes-upgrade.timer", "{off:?}");
    assert_eq!(
        machine.property("agnes-upgrade.timer", "LoadState"),
        "not-found"
    );
    machine.write("/srv/agnes/agnes.toml", "").unwrap();
    install(&machine).exits(0);
    assert_eq!(
        machine.property("agnes-upgrade.timer", "ActiveState"),
        "active"
    );

    let removed = machine.ops(DIR, &["units", "remove"]).exits(0);
    removed.with_outcome("changed");
    let left = machine.run(&[
        "sh",
        "-c",
        "ls /etc/systemd/system /etc/systemd/system/*.wants",
    ]);
    let ours: Vec<&str> = left
        .stdout
        .lines()
        .filter(|name| name.starts_with("agnes"))
        .filter(|name| !name.contains(".kept-") && !name.ends_with(".d"))
        .collect();
    // the mask is not ours to take away
    assert_eq!(ours, ["agnes-snapshot.timer"], "{}", left.stdout);
    assert!(is_there(&machine, &drop_in));
    assert_eq!(
        machine.property("agnes-watch.timer", "ActiveState"),
        "inactive"
    );
    machine
        .ops(DIR, &["units", "remove"])
        .exits(0)
        .with_outcome("unchanged");
}

/// Every file and link of a host but its data, with what it says.
fn tree(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            if path.is_symlink() {
                let target = std::fs::read_link(&path).unwrap();
                found.insert(name, format!("-> {}", target.display()));
            } else if path.is_dir() {
                open.push(path);
            } else {
                found.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    found.retain(|name, _| name.starts_with("etc/") || name.starts_with("usr/"));
    found
}

#[test]
fn b06_an_install_that_is_killed_anywhere_is_finished_by_the_next() {
    let deployment = Deployment::new();
    let whole = tempfile::tempdir().unwrap();
    let verb = |root: &Path| {
        ["units", "install", "--root"]
            .map(str::to_owned)
            .into_iter()
            .chain([root.display().to_string()])
            .collect::<Vec<_>>()
    };
    let of = |root: &Path| {
        let verb = verb(root);
        let verb: Vec<&str> = verb.iter().map(String::as_str).collect();
        (checkpoints(&deployment, &verb), tree(root))
    };
    let (count, wanted) = of(whole.path());
    assert!(wanted.len() > 20, "{wanted:#?}");
    // all of them, for they are quick
    for number in 1..=count {
        let root = tempfile::tempdir().unwrap();
        let verb = verb(root.path());
        let verb: Vec<&str> = verb.iter().map(String::as_str).collect();
        if killed_at(&deployment, &verb, number).is_none() {
            continue;
        }
        deployment.ops(&verb).exits(0);
        assert_eq!(tree(root.path()), wanted, "checkpoint {number}");
        deployment.ops(&verb).exits(0).with_outcome("unchanged");
    }
}

#[test]
fn units_are_sound_and_locked_down() {
    let Some(machine) = machine("") else {
        return;
    };
    install(&machine).exits(0);
    let verify = machine.run(&["sh", "-c", "systemd-analyze verify /etc/systemd/system/agnes*.service /etc/systemd/system/agnes*.timer"]);
    assert_eq!((verify.code, verify.stderr.as_str()), (0, ""));
    let list = machine.run(&["sh", "-c", "cd /etc/systemd/system && ls agnes*.service"]);
    let mut judged = 0;
    for unit in list
        .stdout
        .lines()
        .filter(|unit| *unit != "agnes-boot.service")
    {
        let unit = unit.replace("@.", "@x.");
        let said = machine.run(&["systemd-analyze", "security", "--no-pager", &unit]);
        let exposure: f64 = said
            .stdout
            .lines()
            .find_map(|line| {
                line.split_once("exposure level for")?
                    .1
                    .split_once(": ")?
                    .1
                    .split(' ')
                    .next()?
                    .parse()
                    .ok()
            })
            .unwrap_or_else(|| panic!("{unit}: {}{}", said.stdout, said.stderr));
        assert!(exposure <= 4.0, "{unit}: {exposure}");
        judged += 1;
    }
    assert_eq!(judged, 7, "{}", list.stdout);
}

#[test]
fn w03_a_timer_fires_and_a_unit_that_fails_is_heard_of() {
    let Some(machine) = machine("") else {
        return;
    };
    // a person's drop-in: sooner than every minute
    machine
        .write(
            &format!("{UNITS}/agnes-watch.timer.d/soon.conf"),
            "[Timer]\nOnActiveSec=1s\nOnUnitInactiveSec=1s\nAccuracySec=100ms\n",
        )
        .unwrap();
    install(&machine).exits(0);
    until("the timer started its unit", || {
        machine
            .journal("agnes-watch.service")
            .matches("Finished")
            .count()
            >= 2
    });

    // what is read-only for the unit alone is nothing that is wrong
    let found = machine.run(&["ls", ALERTS]);
    assert!(!found.stdout.contains("disk."), "{}", found.stdout);

    // a run that fails: the settings are broken, so even where alerts belong is not known
    let env = machine.read("/srv/agnes/.env").unwrap();
    machine
        .write("/srv/agnes/.env", &format!("{env}TLS_KEY_TYPE=nonsense\n"))
        .unwrap();
    machine
        .run(&["systemctl", "start", "agnes-tls-rotate.service"])
        .exits(1);
    // of this deployment among others
    let named = "ls /run/agnes/alerts/units.failed--agnes-tls-rotate.service--*.json";
    let named = || machine.run(&["sh", "-c", named]).stdout.trim().to_owned();
    until("the alert unit kept an alert", || !named().is_empty());
    let without_settings = &named();
    let alert: Value = serde_json::from_str(&machine.read(without_settings).unwrap()).unwrap();
    assert_eq!(alert["deployment"], DIR);
    assert_eq!(alert["evidence"], "its last run failed: exit-code, exit 78");

    // with settings that are sound the watch finds it too, and sees it go
    machine.write("/srv/agnes/.env", &env).unwrap();
    let kept = format!("{ALERTS}/units.failed--agnes-tls-rotate.service.json");
    let kept = || -> Option<Value> { serde_json::from_str(&machine.read(&kept).ok()?).ok() };
    until("the watch kept it", || kept().is_some());
    machine
        .run(&["systemctl", "start", "agnes-tls-rotate.service"])
        .exits(0);
    until("it is resolved", || {
        kept().is_some_and(|kept| kept["resolved_at"].is_string())
    });
    // also the one that was kept without settings
    until("that is resolved too", || {
        let text = machine.read(without_settings).unwrap();
        text.contains("resolved_at")
    });
}

#[test]
fn a_daily_run_waits_for_the_lock() {
    let Some(machine) = machine("") else {
        return;
    };
    install(&machine).exits(0);
    let unit = "agnes-secrets.service";
    let hold = "exec 9>/srv/agnes/.lock; flock 9; sleep 600 >/dev/null 2>&1 & echo $!";
    let holder = machine.run(&["sh", "-c", hold]).exits(0).stdout;
    machine
        .run(&["systemctl", "start", "--no-block", unit])
        .exits(0);
    until("it waits", || machine.property(unit, "SubState") == "start");
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(machine.property(unit, "ActiveState"), "activating");
    // the upgrade's tick does not wait: the next one comes soon
    machine
        .run(&["systemctl", "start", "agnes-upgrade.service"])
        .exits(0);
    assert_eq!(
        machine.property("agnes-upgrade.service", "ExecMainStatus"),
        "75"
    );

    kill(&machine, holder.trim());
    until("it ran", || {
        machine.property(unit, "ActiveState") == "inactive"
    });
    assert_eq!(
        machine.property(unit, "Result"),
        "success",
        "{}",
        machine.journal(unit)
    );
    machine.ops(DIR, &["secrets", "check"]).exits(0);
}

#[test]
fn a_host_without_docker_has_its_server_from_systemd() {
    let Some(machine) = machine("AGNES_RUNTIME=process\nAGNES_LISTEN=127.0.0.1:8000\n") else {
        return;
    };
    let unit = "agnesd.service";
    install(&machine).exits(0);
    install(&machine).exits(0).with_outcome("unchanged");
    assert_eq!(
        machine.property("agnes-upgrade.timer", "LoadState"),
        "not-found"
    );
    let verify = format!("{UNITS}/{unit}");
    let verify = machine.run(&["systemd-analyze", "verify", &verify]);
    assert_eq!((verify.code, verify.stderr.as_str()), (0, ""));
    machine
        .run(&["systemctl", "start", "agnes-secrets.service"])
        .exits(0);
    let started = machine.run(&["systemctl", "start", unit]);
    assert_eq!(started.code, 0, "{}", machine.journal(unit));
    let pid = || machine.property(unit, "MainPID");
    let user = machine.run(&["stat", "-c", "%U", &format!("/proc/{}", pid())]);
    assert_eq!(user.stdout.trim(), "agnes");
    machine.ops(DIR, &["secrets", "check"]).exits(0);
    // a snapshot through the control socket, by root in its sandbox
    machine
        .run(&["systemctl", "start", "agnes-snapshot.service"])
        .exits(0);

    let first = pid();
    kill(&machine, &first);
    until("it is started again", || {
        !["0", first.as_str()].contains(&pid().as_str())
    });

    // settings that are wrong are no better at the next start
    let env = machine.read("/srv/agnes/.env").unwrap();
    machine
        .write("/srv/agnes/.env", &format!("{env}AGNES_LISTEN=nowhere\n"))
        .unwrap();
    machine.run(&["systemctl", "restart", unit]).exits(1);
    assert_eq!(machine.property(unit, "ExecMainStatus"), "78");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(machine.property(unit, "ActiveState"), "failed");
    assert_eq!(machine.property(unit, "NRestarts"), "0");
}
