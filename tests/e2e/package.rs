//! The Debian package of agnes-ops on a Debian of its own: it brings everything and enables nothing, goes together with `units install`, and takes
//! away what is its own and nothing else.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use agnes_e2e::components::require;
use agnes_e2e::deployment::{agnes_ops, run, xtask};
use agnes_e2e::systemd::Machine;
use xtask::checkout;

const DIR: &str = "/srv/agnes";
const TIMERS: [&str; 6] = [
    "tls-rotate",
    "secrets",
    "snapshot",
    "upgrade",
    "drill",
    "watch",
];
const IN_MACHINE: &str = "/var/tmp/agnes-ops.deb";
/// What the host runs and the package does not bring.
const LINK: &str = "/usr/local/bin/agnes-ops";

/// The package of the program that this run built; `None` after saying `SKIP`.
fn packaged(output: &Path) -> Option<PathBuf> {
    for component in ["cargo-deb", "dpkg-shlibdeps"] {
        require(component)?;
    }
    let mut package = Command::new(xtask());
    package
        .args(["package", "--fast", "--program"])
        .arg(agnes_ops())
        .arg("--output")
        .arg(output);
    let ran = run(package).exits(0);
    let path = PathBuf::from(ran.stdout.trim());
    assert!(path.is_file(), "{}{}", ran.stdout, ran.stderr);
    Some(path)
}

fn dpkg_deb(argument: &str, package: &Path) -> String {
    let mut command = Command::new("dpkg-deb");
    command.arg(argument).arg(package);
    run(command).exits(0).stdout
}

fn sh(machine: &Machine, script: &str) -> String {
    machine.run(&["sh", "-c", script]).exits(0).stdout
}

/// Every file and link of the host but what systemd, dpkg and the deployment keep for themselves.
fn files(machine: &Machine) -> BTreeSet<String> {
    let found = sh(
        machine,
        "find / -xdev \\( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /var -o -path /root -o -path /srv \\) -prune -o ! -type d -print",
    );
    found.lines().map(str::to_owned).collect()
}

fn is_on(machine: &Machine, unit: &str) -> (String, String) {
    let of = |name| machine.property(unit, name);
    (of("ActiveState"), of("UnitFileState"))
}

#[track_caller]
fn all_timers(machine: &Machine, active: &str, enabled: &str) {
    for timer in TIMERS {
        let timer = format!("agnes-{timer}.timer");
        let (is_active, is_enabled) = is_on(machine, &timer);
        assert_eq!(
            (is_active.as_str(), is_enabled.as_str()),
            (active, enabled),
            "{timer}"
        );
    }
    let (_, boot) = is_on(machine, "agnes-boot.service");
    assert_eq!(boot, enabled);
}

#[test]
fn the_package_is_root_s_below_usr_and_says_what_it_needs() {
    let dir = tempfile::tempdir().unwrap();
    let Some(package) = packaged(dir.path()) else {
        return;
    };
    let control = dpkg_deb("--field", &package);
    let field = |name: &str| {
        let start = format!("{name}: ");
        let mut lines = control.lines();
        let found = lines.find_map(|line| line.strip_prefix(&start));
        found
            .unwrap_or_else(|| panic!("{name}: {control}"))
            .to_owned()
    };
    let version = format!("agnes-ops {}", field("Version"));
    let mut command = Command::new(agnes_ops());
    command.arg("--version");
    assert_eq!(run(command).exits(0).stdout.trim(), version);
    for needed in ["libc6 (>= ", "libgcc-s1", "ca-certificates"] {
        assert!(field("Depends").contains(needed), "{control}");
    }
    let listed = dpkg_deb("--contents", &package);
    let mut names = BTreeSet::new();
    for line in listed.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (mode, owner, name) = (words[0], words[1], words[5]);
        assert_eq!(owner, "0/0", "{line}");
        assert!(name.starts_with("./usr/"), "{line}");
        assert!(!name.starts_with("./usr/local/"), "{line}");
        let expected = match name {
            "./usr/bin/agnes-ops" => "-rwxr-xr-x",
            directory if directory.ends_with('/') => "drwxr-xr-x",
            _ => "-rw-r--r--",
        };
        assert_eq!(mode, expected, "{line}");
        names.insert(name.trim_start_matches('.').to_owned());
    }
    // each unit of the checkout but the server's
    let shipped = std::fs::read_dir(checkout::root().unwrap().join("systemd")).unwrap();
    let shipped = shipped.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut units = 0;
    for name in shipped.filter(|name| !name.ends_with(".sysusers")) {
        let packaged = names.contains(&format!("/usr/lib/systemd/system/{name}"));
        assert_eq!(packaged, name != "agnesd.service", "{name}");
        units += 1;
    }
    assert!(units > 12, "{units}");
    for name in [
        "/usr/lib/sysusers.d/agnes.conf",
        "/usr/share/doc/agnes-ops/copyright",
        "/usr/share/doc/agnes-ops/changelog.gz",
        "/usr/share/doc/agnes-ops/operations.md",
        "/usr/share/man/man1/agnes-ops.1.gz",
        "/usr/share/man/man1/agnes-ops-snapshot-restore.1.gz",
        "/usr/share/bash-completion/completions/agnes-ops",
        "/usr/share/zsh/vendor-completions/_agnes-ops",
        "/usr/share/fish/vendor_completions.d/agnes-ops.fish",
    ] {
        assert!(names.contains(name), "{name}: {listed}");
    }
}

#[test]
fn a_debian_gets_it_uses_it_and_is_rid_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let Some(package) = packaged(dir.path()) else {
        return;
    };
    let Some(machine) = Machine::boot_bare().unwrap() else {
        return;
    };
    machine.copy(&package, IN_MACHINE).unwrap();
    let dpkg = |verb: &str, what: &str| machine.run(&["dpkg", verb, what]).exits(0);
    let before = files(&machine);

    // it is there, and nothing runs or would
    dpkg("--install", IN_MACHINE);
    let version = machine.run(&["agnes-ops", "--version"]).exits(0);
    assert!(
        version.stdout.starts_with("agnes-ops "),
        "{}",
        version.stdout
    );
    all_timers(&machine, "inactive", "disabled");
    // as systemd does it with everything, when an image with the package in it starts for the first time
    sh(
        &machine,
        "systemctl preset --preset-mode=enable-only agnes-boot.service $(cd /usr/lib/systemd/system && ls agnes-*.timer)",
    );
    all_timers(&machine, "inactive", "disabled");
    let verify = "systemd-analyze verify /usr/lib/systemd/system/agnes-*";
    let verify = machine.run(&["sh", "-c", verify]);
    assert_eq!((verify.code, verify.stderr.as_str()), (0, ""));
    let page = "zcat /usr/share/man/man1/agnes-ops.1.gz";
    assert!(sh(&machine, page).contains(".TH agnes-ops 1"));
    let complete = ". /usr/share/bash-completion/completions/agnes-ops; COMP_WORDS=(agnes-ops doc); COMP_CWORD=1; _agnes_ops agnes-ops doc agnes-ops; echo ${COMPREPLY[@]}";
    let completed = machine.run(&["bash", "-c", complete]).exits(0);
    assert_eq!(completed.stdout.trim(), "doctor", "{}", completed.stderr);

    // a unit of the package runs the package's program
    let env = "DATA_DIR=/srv/agnes/data\nDOMAIN=agnes.example.com\n";
    machine.write("/opt/agnes/.env", env).unwrap();
    let started = machine.run(&["systemctl", "start", "agnes-watch.service"]);
    let journal = machine.journal("agnes-watch.service");
    assert_eq!(started.code, 0, "{journal}");
    machine.run(&["rm", "-r", "/opt/agnes"]).exits(0);

    // the host's own go before the package's, and give way to them again
    machine.write("/srv/agnes/.env", env).unwrap();
    let units = |verb: &str| machine.ops(DIR, &["units", verb]);
    units("install").exits(0).with_outcome("changed");
    units("install").exits(0).with_outcome("unchanged");
    units("status").exits(0);
    all_timers(&machine, "active", "enabled");
    let from = || machine.property("agnes-watch.timer", "FragmentPath");
    assert_eq!(from(), "/etc/systemd/system/agnes-watch.timer");
    units("remove").exits(0).with_outcome("changed");
    // /lib is /usr/lib
    let packaged = from();
    assert!(
        packaged.ends_with("/lib/systemd/system/agnes-watch.timer"),
        "{packaged}"
    );
    all_timers(&machine, "inactive", "disabled");

    // removed: nothing runs into the void; what is the deployment's stays, and it goes on when the package is back
    units("install").exits(0);
    machine.ops(DIR, &["secrets", "ensure"]).exits(0);
    let kept = || {
        sh(
            &machine,
            "cd /srv/agnes && find . -type f | sort | xargs sha256sum",
        )
    };
    let data = kept();
    assert!(data.contains("secrets"), "{data}");
    dpkg("--remove", "agnes-ops");
    all_timers(&machine, "inactive", "disabled");
    let gone =
        format!("! test -e /usr/bin/agnes-ops && ! test -L {LINK} && ! command -v agnes-ops");
    sh(&machine, &gone);
    dpkg("--install", IN_MACHINE);
    units("install").exits(0).with_outcome("changed");
    all_timers(&machine, "active", "enabled");

    // units that run a program of the host's own are not the package's to stop
    sh(
        &machine,
        &format!("rm {LINK} && cp /usr/bin/agnes-ops {LINK}"),
    );
    dpkg("--purge", "agnes-ops");
    all_timers(&machine, "active", "enabled");
    machine.run(&[LINK, "-C", DIR, "units", "status"]).exits(0);
    sh(&machine, &format!("rm {LINK}"));

    // purged: all of it is gone but data, configuration and what a person wrote
    let theirs = "/etc/systemd/system/agnes-watch.service.d/theirs.conf";
    machine.write(theirs, "[Service]\nNice=5\n").unwrap();
    dpkg("--install", IN_MACHINE);
    units("install").exits(0);
    let data = kept();
    dpkg("--purge", "agnes-ops");
    let after = files(&machine);
    let left: Vec<&String> = after.difference(&before).collect();
    assert_eq!(left, [theirs]);
    let missing: Vec<&String> = before.difference(&after).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!(kept(), data);
}
