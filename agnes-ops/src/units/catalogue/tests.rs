use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::units::settings;

fn services() -> impl Iterator<Item = &'static Unit> {
    ALL.iter().filter(|unit| unit.name.ends_with(".service"))
}

fn says(unit: &Unit, line: &str) -> bool {
    unit.text.lines().any(|found| found == line)
}

#[test]
fn everything_in_the_directory_is_shipped() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd");
    let there: BTreeSet<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "agnes.sysusers")
        .collect();
    let shipped = ALL.iter().map(|unit| unit.name.to_owned()).collect();
    assert_eq!(there, shipped);
}

#[test]
fn every_service_says_how_long_it_may_take_and_who_hears_of_its_failure() {
    for unit in services() {
        let has = |key: &str| unit.text.lines().any(|line| line.starts_with(key));
        assert!(has("TimeoutStartSec="), "{}", unit.name);
        if unit.name != "agnes-alert@.service" {
            assert!(
                says(unit, "OnFailure=agnes-alert@%n.service"),
                "{}",
                unit.name
            );
        }
        if unit.name != SERVER && unit.name != "agnes-alert@.service" {
            assert!(says(unit, "SuccessExitStatus=75"), "{}", unit.name);
        }
    }
}

#[test]
fn one_sandbox_for_all_but_the_boot_and_the_server() {
    let sandbox = |unit: &Unit| -> Vec<&'static str> {
        unit.text
            .lines()
            .skip_while(|line| !line.starts_with("CapabilityBoundingSet="))
            // the data disk's name in /dev has to be seen by some
            // and an upgrade writes the next version's units
            .filter(|line| !line.starts_with('#') && !line.contains("Device"))
            .filter(|line| *line != "ReadWritePaths=-/etc/systemd/system")
            .collect()
    };
    let mut boxes: Vec<Vec<&str>> = services()
        .filter(|unit| ![SERVER, "agnes-boot.service"].contains(&unit.name))
        .map(sandbox)
        .collect();
    boxes.dedup();
    assert_eq!(boxes.len(), 1, "{boxes:#?}");
    assert!(boxes.concat().len() > 15, "{boxes:?}");
}

#[test]
fn daily_timers_wait_for_the_lock_and_catch_up() {
    for name in ["agnes-tls-rotate", "agnes-secrets", "agnes-snapshot"] {
        let of = |kind: &str| {
            let name = format!("{name}.{kind}");
            ALL.iter().find(|unit| unit.name == name).unwrap()
        };
        for line in [
            "OnCalendar=daily",
            "RandomizedDelaySec=1h",
            "Persistent=true",
            "OnBootSec=10min",
        ] {
            assert!(says(of("timer"), line), "{name}: {line}");
        }
        let mut commands = of("service")
            .text
            .lines()
            .filter(|line| line.starts_with("ExecStart="));
        assert!(
            commands.all(|line| line.ends_with(" --lock-wait 15m")),
            "{name}"
        );
    }
}

#[test]
fn what_is_wanted_follows_the_settings() {
    let wanted = |text: &str| -> Vec<&str> {
        let settings = settings(text);
        let names = ALL.iter().filter(|unit| unit.is_wanted(&settings));
        names.map(|unit| unit.name).collect()
    };
    let compose = wanted("");
    assert!(compose.contains(&"agnes-upgrade.timer") && !compose.contains(&SERVER));
    assert_eq!(compose.len(), ALL.len() - 1);
    assert_eq!(wanted("[upgrade]\nmode = \"manual\""), compose);
    let off = wanted("[upgrade]\nmode = \"off\"");
    assert_eq!(off.len(), compose.len() - 2);
    assert!(!off.iter().any(|name| name.starts_with("agnes-upgrade")));
    let process = wanted("runtime = \"process\"");
    assert!(process.contains(&SERVER) && !process.contains(&"agnes-upgrade.timer"));
}

#[test]
fn another_directory_is_said_in_a_drop_in_and_nothing_is_said_twice() {
    let unit = |name: &str| ALL.iter().find(|unit| unit.name == name).unwrap();
    let (snapshot, boot) = (unit("agnes-snapshot.service"), unit("agnes-boot.service"));
    assert_eq!(drop_in(snapshot, &settings("")), Ok(None));
    let elsewhere =
        settings("data_dir = \"/srv/data\"\n[snapshot]\npush_to = \"file:///mnt/backup\"");
    assert_eq!(
        drop_in(snapshot, &elsewhere).unwrap().unwrap(),
        "# Written by `agnes-ops units install` for agnes-snapshot.service.\n[Service]\nEnvironment=AGNES_DIR=/opt/agnes\n\
         ReadWritePaths=-/srv/data -/srv/data/state -/opt/agnes -/mnt/backup\n"
    );
    assert!(
        !drop_in(boot, &elsewhere)
            .unwrap()
            .unwrap()
            .contains("ReadWritePaths")
    );
    assert_eq!(drop_in(unit("agnes-snapshot.timer"), &elsewhere), Ok(None));
    let server = drop_in(unit(SERVER), &elsewhere).unwrap().unwrap();
    assert!(
        server.contains("LoadCredential=\nLoadCredential=secret:/srv/data/state/secrets/live\n")
    );
    assert!(!server.contains("/mnt/backup"), "{server}");
    let odd = settings("data_dir = \"/srv/%h\"");
    assert!(
        drop_in(snapshot, &odd)
            .unwrap_err()
            .starts_with("/srv/%h cannot stand in a unit")
    );
}
