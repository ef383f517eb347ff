//! A host that shell scripts look after, taken over and given back, under a real systemd.

use agnes_e2e::authority::{Authority, Leaf, common_name, ec_key, key_pem, public};
use agnes_e2e::components::is_soak;
use agnes_e2e::systemd::Machine;

use crate::crash::chosen;

const DIR: &str = "/opt/agnes";
const CERTS: &str = "/data/state/certs";
const DOMAIN: &str = "agnes.example.com";
const CRON: &str = "# kept by the operations team\nSHELL=/bin/sh\n*/5 * * * * root /opt/agnes/scripts/upgrade.sh >/dev/null 2>&1\n0 4 * * * root PASSWORD=hunter2 /opt/agnes/scripts/backup.sh\n17 3 * * * root /usr/bin/true\n";
const TIMER: &str = "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n";
const SERVICE: &str = "[Service]\nType=oneshot\nExecStart=/opt/agnes/scripts/backup.sh\n";
const ENV: &str = "# by hand\nDOMAIN=agnes.example.com\nTLS_SERVED_ADDRESS=none\nTLS_FULLCHAIN_URL=file:///srv/pki/fullchain.pem\nJWT_SECRET_KEY=8f0c1d2e3b4a59687766554433221100ffeeddccbbaa99887766554433221100\nLEGACY_OPTION=1\n";

/// As their scripts have it; the chain and the key.
fn run_by_scripts(machine: &Machine) -> (String, String) {
    let key = ec_key();
    let authority = Authority::root("Example Root").intermediate("Example Issuing CA");
    let leaf = authority.sign_key(&public(&key), &common_name(DOMAIN), &Leaf::new(DOMAIN));
    let (chain, key) = (authority.chain(&leaf), key_pem(&key));
    for (path, text) in [
        ("/opt/agnes/.env", ENV),
        ("/opt/agnes/scripts/upgrade.sh", "#!/bin/sh\n"),
        ("/opt/agnes/scripts/backup.sh", "#!/bin/sh\n"),
        ("/etc/cron.d/agnes", CRON),
        ("/etc/systemd/system/old-backup.timer", TIMER),
        ("/etc/systemd/system/old-backup.service", SERVICE),
        ("/etc/systemd/system/other.timer", TIMER),
        (
            "/etc/systemd/system/other.service",
            "[Service]\nExecStart=/bin/true\n",
        ),
        (&format!("{CERTS}/fullchain.pem"), &chain),
        (&format!("{CERTS}/privkey.pem"), &key),
        ("/srv/pki/fullchain.pem", &chain),
    ] {
        machine.write(path, text).unwrap();
    }
    for timer in ["old-backup.timer", "other.timer"] {
        machine.run(&["systemctl", "daemon-reload"]).exits(0);
        machine
            .run(&["systemctl", "enable", "--now", timer])
            .exits(0);
    }
    (chain, key)
}

#[test]
fn a_host_of_shell_scripts_is_taken_over_and_can_be_given_back() {
    let Some(machine) = Machine::boot().unwrap() else {
        return;
    };
    let (chain, key) = run_by_scripts(&machine);
    let adopt = |more: &[&str]| machine.ops(DIR, &[&["adopt"], more].concat());
    let read = |path: &str| machine.read(path).unwrap();
    let active = |timer: &str| machine.property(timer, "ActiveState");

    // with nobody to run ours, theirs go on
    let (systemd, away) = ("/run/systemd/system", "/run/systemd/away");
    machine.run(&["mv", systemd, away]).exits(0);
    assert_eq!(adopt(&[]).exits(1).detail("reason"), "no-systemd");
    machine.run(&["mv", away, systemd]).exits(0);
    // what cannot be changed whole is not begun
    let latin = "printf '5 5 * * * root /opt/agnes/caf\\351\\n' >/etc/cron.d/latin";
    machine.run(&["sh", "-c", latin]).exits(0);
    for verb in [&["--dry-run"][..], &[]] {
        let said = adopt(verb).exits(1);
        assert!(
            said.stderr.contains("/etc/cron.d/latin: is no UTF-8 text"),
            "{}",
            said.stderr
        );
    }
    machine.run(&["rm", "/etc/cron.d/latin"]).exits(0);

    // first in words
    let planned = adopt(&["--dry-run"]).exits(0).with_outcome("unchanged");
    let said = planned.stdout.clone();
    let slash = machine.ops("/opt/agnes/", &["adopt", "--dry-run"]).exits(0);
    assert_eq!(slash.detail("cron"), planned.detail("cron"));
    for named in ["scripts/upgrade.sh", "old-backup.timer", "units"] {
        assert!(said.contains(named), "{named}: {said}");
    }
    assert_eq!(read("/etc/cron.d/agnes"), CRON);
    assert_eq!(read("/opt/agnes/.env"), ENV);

    let adopted = adopt(&[]).exits(0).with_outcome("changed");
    let cron = read("/etc/cron.d/agnes");
    // passwords of their lines are nobody's to read
    let record = "/opt/agnes/.adopted.json";
    assert!(read(record).contains("hunter2") && !adopted.stdout.contains("hunter2"));
    let mode = machine.run(&["stat", "--format", "%a", record]);
    assert_eq!(mode.stdout.trim(), "600");
    let told = machine.run(&["grep", "-r", "hunter2", "/data/state/ops"]);
    assert_eq!(told.stdout, "");
    assert!(
        cron.contains("\n#agnes-ops adopt# */5 * * * * root"),
        "{cron}"
    );
    assert!(cron.contains("\n17 3 * * * root /usr/bin/true\n"), "{cron}");
    assert_eq!(
        (active("old-backup.timer"), active("other.timer")),
        ("inactive".into(), "active".into())
    );
    assert_eq!(
        machine.property("old-backup.timer", "UnitFileState"),
        "disabled"
    );
    assert_eq!(active("agnes-tls-rotate.timer"), "active");
    assert_eq!(read(&format!("{CERTS}/generations/1/fullchain.pem")), chain);
    let env = read("/opt/agnes/.env");
    assert!(
        env.starts_with("# by hand\n") && env.contains("LEGACY_OPTION=1"),
        "{env}"
    );
    assert!(
        env.contains("JWT_SECRET_KEY=8f0c1d2e") && env.contains("SCHEDULER_API_TOKEN="),
        "{env}"
    );
    adopt(&[]).exits(0).with_outcome("unchanged");

    // a person's line in between stays
    machine
        .write("/etc/cron.d/agnes", &format!("{cron}# added\n"))
        .unwrap();
    adopt(&["--give-back", "--dry-run"])
        .exits(0)
        .with_outcome("unchanged");
    adopt(&["--give-back"]).exits(0).with_outcome("changed");
    assert_eq!(read("/etc/cron.d/agnes"), format!("{CRON}# added\n"));
    assert_eq!(active("old-backup.timer"), "active");
    assert_eq!(
        machine.property("agnes-tls-rotate.timer", "LoadState"),
        "not-found"
    );
    assert_eq!(read(&format!("{CERTS}/fullchain.pem")), chain);
    assert_eq!(read(&format!("{CERTS}/privkey.pem")), key);
    machine
        .run(&[
            "test",
            "-f",
            &format!("{CERTS}/privkey.pem"),
            "-a",
            "!",
            "-L",
            &format!("{CERTS}/privkey.pem"),
        ])
        .exits(0);
    let again = adopt(&["--give-back"]).exits(1);
    assert_eq!(again.detail("reason"), "not-adopted");
    // and once more
    adopt(&[]).exits(0).with_outcome("changed");
    assert_eq!(active("old-backup.timer"), "inactive");
}

/// Each way round begins where the last one ended, so one machine sees them all.
#[test]
fn b06_a_takeover_that_is_killed_anywhere_is_finished_by_the_next() {
    let Some(machine) = Machine::boot().unwrap() else {
        return;
    };
    run_by_scripts(&machine);
    let with = |variable: &str, verb: &[&str]| {
        let argv = [&["env", variable, "agnes-ops", "-C", DIR, "adopt"], verb];
        machine.run(&argv.concat())
    };
    let is_active = |timer: &str| machine.property(timer, "ActiveState") == "active";
    let is_enabled = |timer: &str| machine.property(timer, "UnitFileState") == "enabled";
    let cron = || machine.read("/etc/cron.d/agnes").unwrap();
    let looked_after = |by_us: bool, at: &str| {
        assert_eq!(is_active("old-backup.timer"), !by_us, "{at}");
        assert_eq!(is_enabled("old-backup.timer"), !by_us, "{at}");
        assert_eq!(is_active("agnes-tls-rotate.timer"), by_us, "{at}");
        assert_eq!(cron() == CRON, !by_us, "{at}");
        assert!(is_active("other.timer"), "{at}");
    };
    let (ours, theirs): (&[&str], &[&str]) = (&[], &["--give-back"]);
    // the first makes secrets and a generation, which stay
    for verb in [ours, theirs] {
        with("A=", verb).exits(0);
    }
    for (verb, undo, by_us) in [(ours, theirs, true), (theirs, ours, false)] {
        with("AGNES_CHECKPOINTS=/tmp/checkpoints", verb).exits(0);
        let passed = machine.read("/tmp/checkpoints").unwrap().lines().count();
        machine.run(&["rm", "/tmp/checkpoints"]).exits(0);
        with("A=", undo).exits(0);
        assert!(passed > 10, "{passed}");
        let passed = u64::try_from(passed).unwrap();
        // three runs of the program each; the last effects are where one hands over to the other
        let sample = if is_soak() { 1 } else { 3 };
        let mut numbers: Vec<u64> = chosen(passed).into_iter().step_by(sample).collect();
        numbers.extend(passed - 5..passed);
        for number in numbers {
            let at = format!("{verb:?} killed at {number} of {passed}");
            let killed = with(&format!("AGNES_STOP_AT={number}"), verb);
            assert_eq!(killed.code, 137, "{at}: {}", killed.stderr);
            // at no moment is nobody at work
            let somebody = is_active("old-backup.timer") || is_active("agnes-tls-rotate.timer");
            assert!(somebody, "{at}");
            // one that had only its own report to write has ended
            let ended = !by_us && machine.read("/opt/agnes/.adopted.json").is_err();
            with("A=", verb).exits(i32::from(ended));
            looked_after(by_us, &at);
            with("A=", undo).exits(0);
            looked_after(!by_us, &at);
        }
        with("A=", verb).exits(0);
    }
}

/// What scripts may have that is not a plain file where one looks first.
#[test]
fn b04_links_templates_and_drop_ins_are_found_and_a_pair_goes_back_as_it_was() {
    let Some(machine) = Machine::boot().unwrap() else {
        return;
    };
    let sh = |script: &str| machine.run(&["sh", "-ec", script]).exits(0);
    let adopt = |more: &[&str]| machine.ops(DIR, &[&["adopt"], more].concat());
    let ask = |unit: &str, key: &str| machine.property(unit, key);
    sh("mkdir -p /opt/agnes");
    let refused = adopt(&[]).exits(1);
    assert_eq!(refused.detail("reason"), "no-deployment");

    let (chain, key) = run_by_scripts(&machine);
    let line = "7 7 * * * root /opt/agnes/scripts/backup.sh";
    for (path, text) in [
        (
            "/srv/cron/agnes",
            format!("{line}\n8 8 * * * root /opt/other/x\n"),
        ),
        ("/srv/units/linked.timer", TIMER.to_owned()),
        ("/srv/units/linked.service", SERVICE.to_owned()),
        ("/etc/systemd/system/job@.timer", TIMER.to_owned()),
        (
            "/etc/systemd/system/job@.service",
            "[Service]\nType=oneshot\nExecStart=/bin/true\n".to_owned(),
        ),
        (
            "/etc/systemd/system/job@.service.d/what.conf",
            "[Service]\nExecStart=\nExecStart=/opt/agnes/scripts/%i.sh\n".to_owned(),
        ),
        ("/etc/systemd/system/started.timer", TIMER.to_owned()),
        ("/etc/systemd/system/started.service", SERVICE.to_owned()),
    ] {
        machine.write(path, &text).unwrap();
    }
    sh("ln -s /srv/cron/agnes /etc/cron.d/linked
        systemctl link /srv/units/linked.timer /srv/units/linked.service
        systemctl daemon-reload
        systemctl enable --now linked.timer job@nightly.timer
        systemctl start started.timer");
    // as an ACME client keeps them, for a server of another group
    sh("mkdir -p /srv/live && cd /data/state/certs && chgrp 33 privkey.pem && chmod 0640 privkey.pem
        cp fullchain.pem /srv/live/ && rm fullchain.pem && ln -s /srv/live/fullchain.pem fullchain.pem");

    let planned = adopt(&["--dry-run"]).exits(0).stdout;
    for named in [
        "linked.timer",
        "job@nightly.timer",
        "/srv/cron/agnes",
        "certificates",
    ] {
        assert!(planned.contains(named), "{named}: {planned}");
    }
    let theirs = [
        "linked.timer",
        "job@nightly.timer",
        "started.timer",
        "old-backup.timer",
    ];
    adopt(&[]).exits(0).with_outcome("changed");
    for timer in theirs {
        assert_eq!(ask(timer, "ActiveState"), "inactive", "{timer}");
    }
    let cron = machine.read("/srv/cron/agnes").unwrap();
    assert!(cron.starts_with("#agnes-ops adopt# 7 7"), "{cron}");
    assert!(cron.contains("\n8 8 * * * root /opt/other/x"), "{cron}");
    // another deployment's line that is off is not given back with ours
    machine
        .write(
            "/srv/cron/agnes",
            &format!("{cron}#agnes-ops adopt# 9 9 * * * root /opt/other/y\n"),
        )
        .unwrap();
    adopt(&["--give-back"]).exits(0).with_outcome("changed");
    for timer in theirs {
        assert_eq!(ask(timer, "ActiveState"), "active", "{timer}");
        let enabled = ask(timer, "UnitFileState") == "enabled";
        assert_eq!(enabled, timer != "started.timer", "{timer}");
    }
    let cron = machine.read("/srv/cron/agnes").unwrap();
    assert!(cron.starts_with(line), "{cron}");
    assert!(
        cron.ends_with("#agnes-ops adopt# 9 9 * * * root /opt/other/y\n"),
        "{cron}"
    );
    let stat = sh(
        "cd /data/state/certs && readlink fullchain.pem && stat --format '%F %a %g' privkey.pem",
    );
    assert_eq!(
        stat.stdout,
        "/srv/live/fullchain.pem\nregular file 640 33\n"
    );
    assert_eq!(machine.read(&format!("{CERTS}/privkey.pem")).unwrap(), key);

    // half a pair, which nobody could serve
    sh("rm /data/state/certs/fullchain.pem");
    let adopted = adopt(&[]).exits(0);
    let aside = "set half a pair aside";
    assert!(adopted.stdout.contains(aside), "{}", adopted.stdout);
    sh("test -e /data/state/certs/fullchain.pem -a -e /data/state/certs/privkey.pem");
    adopt(&["--give-back"]).exits(0);
    sh("test ! -e /data/state/certs/fullchain.pem -a ! -L /data/state/certs/fullchain.pem");
    assert_eq!(machine.read(&format!("{CERTS}/privkey.pem")).unwrap(), key);

    // and one that is none
    machine
        .write(&format!("{CERTS}/fullchain.pem"), "junk")
        .unwrap();
    let adopted = adopt(&[]).exits(0);
    assert!(
        adopted.stdout.contains("cannot be served"),
        "{}",
        adopted.stdout
    );
    assert!(!chain.is_empty());
}
