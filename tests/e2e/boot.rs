//! `boot` and its data disk: real devices of this machine, in every state in which a cloud may hand one over.

mod given;
mod told;

use std::path::{Path, PathBuf};

use agnes_e2e::components::require;
use agnes_e2e::deployment::{Deployment, Ran, run};
use agnes_e2e::disk::Disk;
use agnes_e2e::systemd::Machine;
use serde_json::Value;

use crate::crash::{checkpoints, chosen, killed_at};

/// XFS is not made on less.
const MIB: u64 = 320;

/// A host without Docker whose `/etc` is a directory of its own.
struct Host {
    deployment: Deployment,
}

impl Host {
    /// `None` after saying `SKIP`.
    fn new(disk: &Path, consent: bool) -> Option<Self> {
        for program in ["mkfs.xfs", "cryptsetup", "sfdisk"] {
            require(program)?;
        }
        let host = Self {
            deployment: Deployment::new().with("AGNES_RUNTIME", "process"),
        };
        host.declare(disk, consent);
        Some(host)
    }

    fn declare(&self, disk: &Path, consent: bool) {
        let toml = format!(
            "[host]\ndata_device = \"{}\"\nformat_blank = {consent}\n",
            disk.display()
        );
        std::fs::write(self.deployment.dir().join("agnes.toml"), toml).unwrap();
    }

    fn boot(&self) -> Ran {
        self.deployment.ops(&["boot", "--root", &self.root()])
    }

    /// The deployment's directory is below it, and its data, and the `/etc` of this host.
    fn root(&self) -> String {
        self.deployment.dir().display().to_string()
    }

    fn data(&self) -> PathBuf {
        self.deployment.state().parent().unwrap().to_owned()
    }

    /// Who looks and who mends without the disk leaves nothing where it should be (B02).
    fn looks_write_nothing(&self) {
        let watched = self.deployment.ops(&["watch"]).exits(0);
        assert_eq!(watched.detail("findings")[0]["id"], "disk.mounted");
        let mending = self.deployment.ops(&["doctor", "--fix"]).exits(1);
        assert_eq!(mending.detail("reason"), "state-disk");
        // alerts are kept beside those of the host's other deployments
        let dir = self.deployment.dir().display().to_string();
        for entry in std::fs::read_dir("/run/agnes/alerts").unwrap() {
            let path = entry.unwrap().path();
            if std::fs::read_to_string(&path).is_ok_and(|text| text.contains(&dir)) {
                std::fs::remove_file(path).unwrap();
            }
        }
    }

    fn step(ran: &Ran, name: &str) -> String {
        let steps = ran.json["steps"].as_array().unwrap();
        let step = steps.iter().find(|step| step["name"] == name).unwrap();
        step["result"].as_str().unwrap().to_owned()
    }

    /// Refused for this reason, and not a byte of the disk is another.
    #[track_caller]
    fn refuses(&self, disk: &Disk, reason: &str) {
        let before = disk.hash();
        let refused = self.boot().exits(1);
        assert_eq!(refused.detail("reason"), reason, "{}", refused.stdout);
        assert_eq!(refused.detail("failed_step"), "disk");
        assert_eq!(Self::step(&refused, "directories"), "not-reached");
        // safety tooling comes first
        assert!(["done", "unchanged"].contains(&Self::step(&refused, "units").as_str()));
        assert_eq!(disk.hash(), before, "bytes were changed");
        // nothing else writes where the disk should be
        let others = self.deployment.ops(&["secrets", "ensure"]).exits(1);
        assert_eq!(others.detail("reason"), "state-disk");
        self.looks_write_nothing();
        let there = std::fs::read_dir(self.data()).map_or(0, Iterator::count);
        assert_eq!(there, 0, "something was written on the boot disk");
    }
}

#[test]
fn b06_a_blank_disk_becomes_the_data_disk_once() {
    let disk = Disk::blank(MIB).unwrap();
    let Some(host) = Host::new(disk.device(), true) else {
        return;
    };
    let first = host.boot().exits(0).with_outcome("changed");
    assert_eq!(Host::step(&first, "disk"), "done");
    assert_eq!(Host::step(&first, "secrets"), "done");
    assert!(host.data().join(".agnes-disk.json").is_file());
    for _ in 0..2 {
        let again = host.boot().exits(0).with_outcome("unchanged");
        assert_eq!(Host::step(&again, "disk"), "unchanged", "{}", again.stdout);
    }
    // shared blocks are what a restore point costs milliseconds by
    let data = host.data().join("a");
    std::fs::write(&data, "a").unwrap();
    let copy = host.data().join("b");
    let reflink = std::process::Command::new("cp")
        .arg("--reflink=always")
        .args([&data, &copy])
        .status();
    assert!(reflink.unwrap().success());
    let unit = std::fs::read_dir(host.deployment.dir().join("etc/systemd/system"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|end| end == "mount"))
        .unwrap();
    let unit = std::fs::read_to_string(unit).unwrap();
    assert!(
        unit.contains("What=/dev/disk/by-uuid/") && unit.contains("Type=xfs"),
        "{unit}"
    );
    let docker = host
        .deployment
        .dir()
        .join("etc/systemd/system/docker.service.d/10-agnes-data.conf");
    assert!(
        std::fs::read_to_string(docker)
            .unwrap()
            .contains("RequiresMountsFor=")
    );

    // after a reboot it is mounted again, and after it was made larger it is used whole
    disk.unmount();
    let back = host.boot().exits(0).with_outcome("changed");
    assert_eq!(Host::step(&back, "secrets"), "unchanged");
    assert_eq!(std::fs::read_to_string(&data).unwrap(), "a");
    disk.grow_to(2 * MIB).unwrap();
    let grown = host.boot().exits(0).with_outcome("changed");
    assert!(Host::step(&grown, "disk") == "done", "{}", grown.stdout);
    host.boot().exits(0).with_outcome("unchanged");
}

#[test]
fn b01_nothing_but_a_blank_disk_is_formatted_and_that_only_with_consent() {
    let blank = Disk::blank(MIB).unwrap();
    let Some(host) = Host::new(blank.device(), false) else {
        return;
    };
    host.refuses(&blank, "disk-blank");
    let zero = "/dev/zero";
    let luks = [
        "cryptsetup",
        "luksFormat",
        "--batch-mode",
        "--type",
        "luks2",
        "--pbkdf",
        "pbkdf2",
        "--pbkdf-force-iterations",
        "1000",
        "--key-file",
        zero,
        "--keyfile-size",
        "32",
    ];
    let foreign = Disk::made_by(MIB, &["mkfs.ext4", "-q"]).unwrap();
    foreign
        .inside(|at| std::fs::write(at.join("photos"), "precious").unwrap())
        .unwrap();
    let partitioned = Disk::blank(MIB).unwrap();
    partitioned
        .run(&["sh", "-c", "echo 'label: gpt\n,,L' | sfdisk --quiet \"$0\""])
        .unwrap();
    let noise = Disk::made_by(
        MIB,
        &[
            "sh",
            "-c",
            "printf data | dd of=\"$0\" bs=1 seek=4096 conv=notrunc status=none",
        ],
    )
    .unwrap();
    let at_its_end = Disk::made_by(
        MIB,
        &[
            "sh",
            "-c",
            "printf data | dd of=\"$0\" bs=1M seek=319 conv=notrunc status=none",
        ],
    )
    .unwrap();
    let scenes = [
        (Disk::made_by(MIB, &luks).unwrap(), "disk-not-ours"),
        (partitioned, "disk-not-ours"),
        (
            Disk::made_by(MIB, &["mkswap", "-q"]).unwrap(),
            "disk-not-ours",
        ),
        (foreign, "disk-foreign"),
        (noise, "disk-not-blank"),
        (at_its_end, "disk-not-blank"),
    ];
    for (disk, reason) in &scenes {
        host.declare(disk.device(), true);
        host.refuses(disk, reason);
    }
    host.declare(Path::new("/dev/disk/by-id/absent"), true);
    let missing = host.boot().exits(1);
    assert_eq!(missing.detail("reason"), "disk-missing");
}

#[test]
fn b01_a_disk_that_cannot_be_read_is_not_formatted() {
    let disk = Disk::blank(MIB).unwrap();
    let Some(host) = Host::new(disk.device(), true) else {
        return;
    };
    let before = disk.hash();
    let command = host
        .deployment
        .command(&["boot", "--root", &host.root(), "--json"]);
    let mut strace = std::process::Command::new("strace");
    strace
        .args([
            "-f",
            "-o",
            "/dev/null",
            "-e",
            "trace=pread64",
            "-e",
            "inject=pread64:error=EIO",
            "-P",
        ])
        .arg(disk.device())
        .arg(command.get_program())
        .args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => strace.env(key, value),
            None => strace.env_remove(key),
        };
    }
    let refused = run(strace).exits(1);
    assert_eq!(
        refused.detail("reason"),
        "disk-unreadable",
        "{}",
        refused.stdout
    );
    assert_eq!(disk.hash(), before);
}

/// Of the file system there, in bytes.
fn size_of(mounted: &Path) -> u64 {
    let stat = nix::sys::statvfs::statvfs(mounted).unwrap();
    stat.blocks() * stat.fragment_size()
}

#[test]
fn b02_a_disk_with_data_is_mounted_as_it_is_and_another_one_is_refused() {
    for kind in ["ext4", "xfs"] {
        let disk = Disk::made_by(MIB, &[&format!("mkfs.{kind}"), "-q"]).unwrap();
        let Some(host) = Host::new(disk.device(), true) else {
            return;
        };
        disk.inside(|at| {
            std::fs::create_dir(at.join("state")).unwrap();
            std::fs::write(at.join("state/kept"), kind).unwrap();
        })
        .unwrap();
        host.boot().exits(0).with_outcome("changed");
        let kept = std::fs::read_to_string(host.deployment.state().join("kept"));
        assert_eq!(kept.unwrap(), kind);
        host.boot().exits(0).with_outcome("unchanged");
        // a disk that was made larger is used whole, whatever is on it
        let before = size_of(&host.data());
        disk.grow_to(2 * MIB).unwrap();
        let grown = host.boot().exits(0);
        let said = grown.json["details"]["said"]["disk"].as_str().unwrap();
        // a machine that may not grow a mounted file system says so
        if !said.ends_with("not grown: resize2fs: Permission denied to resize filesystem") {
            assert!(size_of(&host.data()) > before * 3 / 2, "{kind}: {said}");
        }
        host.boot().exits(0).with_outcome("unchanged");

        // the name leads to another disk, which would have been good for another host
        disk.unmount();
        let other = Disk::made_by(MIB, &[&format!("mkfs.{kind}"), "-q"]).unwrap();
        other
            .inside(|at| std::fs::create_dir(at.join("state")).unwrap())
            .unwrap();
        host.declare(other.device(), true);
        host.refuses(&other, "disk-swapped");
        // also when somebody has mounted it there
        let mount = std::process::Command::new("mount")
            .arg(other.device())
            .arg(host.data())
            .status();
        assert!(mount.unwrap().success());
        let refused = host.boot().exits(1);
        assert_eq!(refused.detail("reason"), "disk-swapped");
        let others = host.deployment.ops(&["secrets", "ensure"]).exits(1);
        assert_eq!(others.detail("reason"), "state-disk");
        other.unmount();

        // files that a service has left on the boot disk are not hidden
        host.declare(disk.device(), true);
        std::fs::write(host.data().join("left"), "behind").unwrap();
        let refused = host.boot().exits(1);
        assert_eq!(refused.detail("reason"), "mount-point-not-empty");
        std::fs::remove_file(host.data().join("left")).unwrap();
        host.boot().exits(0);
        disk.unmount();
    }
}

#[test]
fn b06_a_boot_that_is_killed_anywhere_is_finished_by_the_next() {
    let count = {
        let disk = Disk::blank(MIB).unwrap();
        let Some(host) = Host::new(disk.device(), true) else {
            return;
        };
        let root = host.root();
        let count = checkpoints(&host.deployment, &["boot", "--root", &root]);
        disk.unmount();
        count
    };
    assert!(count > 60, "{count}");
    for number in chosen(count) {
        let disk = Disk::blank(MIB).unwrap();
        let Some(host) = Host::new(disk.device(), true) else {
            return;
        };
        let root = host.root();
        if killed_at(&host.deployment, &["boot", "--root", &root], number).is_none() {
            continue;
        }
        let finished = host.boot();
        assert_eq!(
            finished.code, 0,
            "checkpoint {number}: {}{}",
            finished.stdout, finished.stderr
        );
        host.deployment.ops(&["secrets", "check"]);
        host.boot().exits(0).with_outcome("unchanged");
        let record = std::fs::read_to_string(host.deployment.dir().join(".host.json")).unwrap();
        let record: Value = serde_json::from_str(&record).unwrap();
        assert!(
            record["disk"].is_string() && record.get("formatting").is_none(),
            "{record}"
        );
        disk.unmount();
    }
}

#[test]
fn b02_systemd_mounts_the_disk_and_the_unit_brings_the_host_up() {
    const UUID: &str = "3b6f2f6e-0a4c-4f0e-9d55-8f1f0e3f2c11";
    if require("mkfs.xfs").is_none() {
        return;
    }
    let uuid = format!("uuid={UUID}");
    let disk = Disk::made_by(MIB, &["mkfs.xfs", "-q", "-m", &uuid]).unwrap();
    let Some(machine) = Machine::boot_with(&[disk.device()]).unwrap() else {
        return;
    };
    let device = disk.device().display();
    let env = "DOMAIN=agnes.example.com\nAGNES_RUNTIME=process\nAGNES_LISTEN=127.0.0.1:8000\n";
    let toml = format!("[host]\ndata_device = \"{device}\"\n");
    machine.write("/opt/agnes/.env", env).unwrap();
    machine.write("/opt/agnes/agnes.toml", &toml).unwrap();
    // what udev does on a machine
    let by_uuid = format!("/dev/disk/by-uuid/{UUID}");
    machine.run(&["mkdir", "-p", "/dev/disk/by-uuid"]).exits(0);
    machine
        .run(&["ln", "-s", &device.to_string(), &by_uuid])
        .exits(0);

    let dir = "/opt/agnes";
    // whatever mask a person's shell has; the server is not root
    machine
        .run(&["chmod", "0644", "/opt/agnes/agnes.toml"])
        .exits(0);
    let boot = machine.ops(dir, &["boot"]);
    assert_eq!(
        boot.code,
        0,
        "{}{}",
        boot.stdout,
        machine.journal("agnesd.service")
    );
    let boot = boot.with_outcome("changed");
    assert_eq!(Host::step(&boot, "start"), "done", "{}", boot.stdout);
    assert_eq!(machine.property("data.mount", "ActiveState"), "active");
    assert_eq!(machine.property("data.mount", "UnitFileState"), "enabled");
    assert_eq!(machine.property("agnesd.service", "ActiveState"), "active");
    assert!(machine.read("/data/.agnes-disk.json").is_ok());
    machine
        .ops(dir, &["boot"])
        .exits(0)
        .with_outcome("unchanged");

    // the next boot of the machine: its units alone
    machine
        .run(&["systemctl", "stop", "agnesd.service", "data.mount"])
        .exits(0);
    let nothing = machine.ops(dir, &["secrets", "ensure"]).exits(1);
    assert_eq!(nothing.detail("reason"), "state-disk");
    let started = machine.run(&["systemctl", "start", "agnes-boot.service"]);
    assert_eq!(started.code, 0, "{}", machine.journal("agnes-boot.service"));
    assert_eq!(machine.property("data.mount", "ActiveState"), "active");
    assert_eq!(machine.property("agnesd.service", "ActiveState"), "active");
    machine.ops(dir, &["status"]);
    machine
        .run(&["systemctl", "stop", "agnesd.service", "data.mount"])
        .exits(0);
}
