//! Every check there is: what it is called, how bad it is, what it means, where it is explained, and what it comes from.
//!
//! Always true: an id stands once and never changes its meaning; what explains a finding stands before it.
//!
//! Does not: look.

use super::{
    Check, Depth, Severity, alerts, config, disks, files, network, records, secrets, server,
    snapshots, stack, tls, units, vitals,
};

macro_rules! check {
    ($id:literal, $depth:ident, $severity:ident, $impact:literal, $runbook:literal, [$($cause:literal),*], $look:expr) => {
        Check {
            id: $id,
            depth: Depth::$depth,
            severity: Severity::$severity,
            impact: $impact,
            runbook: $runbook,
            causes: &[$($cause),*],
            look: $look,
        }
    };
}

/// In the order of what comes from what.
// a table: one line a check
#[rustfmt::skip]
pub static CHECKS: &[Check] = &[
    check!("config.valid", Quick, Critical, "no command does anything, and the server does not start again", "settings-are-wrong", [], config::valid),
    check!("disk.mounted", Quick, Critical, "there is no data: nothing runs, and nothing is written in its place", "lost-vm", [], disks::mounted),
    check!("disk.writable", Quick, Critical, "nothing can be written", "disk-full", ["disk.mounted"], disks::writable),
    check!("disk.space", Quick, Critical, "writes fail, and snapshots and upgrades are refused", "disk-full", ["disk.mounted"], disks::space),
    check!("disk.inodes", Quick, Critical, "no file can be made: writes, snapshots and upgrades fail", "disk-full", ["disk.mounted"], disks::inodes),
    check!("clock.synchronized", Deep, Warning, "certificates and tokens are judged by a wrong time", "clock", [], network::clock),
    check!("files.owner", Quick, Critical, "the server cannot read or write its files, or others can", "files", ["disk.mounted"], files::owner),
    check!("ops.files", Quick, Critical, "commands end before they do anything", "files", ["disk."], files::books),
    check!("docker.engine", Quick, Critical, "no container can be started or looked at", "database-down", [], stack::engine),
    check!("docker.compose", Deep, Warning, "no upgrade and no change of the stack can be applied", "upgrade-by-hand", ["docker.engine"], stack::compose),
    check!("upgrade.regressed", Quick, Critical, "calls fail since the last upgrade", "upgrade-by-hand", ["disk.", "docker.engine"], vitals::regressed),
    check!("secrets.missing", Quick, Critical, "the server does not start again", "quarterly-rotation", ["disk.mounted"], |patient| secrets::of(patient, "secrets.missing")),
    check!("secrets.damaged", Quick, Critical, "a value is in one place alone, and that may be lost", "quarterly-rotation", ["disk.mounted"], |patient| secrets::of(patient, "secrets.damaged")),
    check!("secrets.short", Quick, Critical, "a key can be guessed", "compromised-agent", [], |patient| secrets::of(patient, "secrets.short")),
    check!("secrets.placeholder", Quick, Critical, "a key can be guessed", "compromised-agent", [], |patient| secrets::of(patient, "secrets.placeholder")),
    check!("secrets.env-missing", Quick, Warning, "side-cars start without their secret", "quarterly-rotation", ["secrets.missing", "secrets.damaged"], |patient| secrets::of(patient, "secrets.env-missing")),
    check!("secrets.env-differs", Quick, Warning, "side-cars start with another secret than the server has", "quarterly-rotation", ["secrets.short", "secrets.placeholder"], |patient| secrets::of(patient, "secrets.env-differs")),
    check!("secrets.live-differs", Quick, Critical, "the server starts with another secret, or does not start", "quarterly-rotation", ["secrets.missing", "secrets.damaged", "files.owner"], |patient| secrets::of(patient, "secrets.live-differs")),
    check!("secrets.readable", Quick, Critical, "who may read it is whoever has an account here", "compromised-agent", [], |patient| secrets::of(patient, "secrets.readable")),
    check!("secrets.shared", Quick, Warning, "whoever learns one secret has two", "quarterly-rotation", [], |patient| secrets::of(patient, "secrets.shared")),
    check!("config.server", Quick, Critical, "the server does not start again", "settings-are-wrong", ["secrets."], config::server),
    check!("stack.oom", Quick, Critical, "the kernel ended it for its memory: calls in flight were lost", "oom", ["docker.engine", "upgrade.regressed"], stack::out_of_memory),
    check!("stack.restarts", Quick, Critical, "calls fail while it starts", "database-down", ["docker.engine", "upgrade.regressed", "disk.", "stack.oom", "config.server", "secrets."], stack::restarts),
    check!("stack.down", Quick, Critical, "nobody is served", "database-down", ["docker.engine", "disk.", "stack.oom", "stack.restarts", "config.server", "secrets."], stack::down),
    check!("stack.unhealthy", Quick, Critical, "calls may fail", "database-down", ["docker.engine", "upgrade.regressed", "disk.", "stack.oom", "stack.restarts"], stack::unhealthy),
    check!("stack.stopped", Quick, Warning, "a part of the stack does nothing", "database-down", ["docker.engine", "stack.oom"], stack::stopped),
    check!("stack.mounts", Quick, Critical, "the server writes to the boot disk, and that data is hidden or lost", "lost-vm", ["docker.engine", "disk.mounted"], stack::mounts),
    check!("stack.drift", Deep, Warning, "what runs is not what was applied", "upgrade-by-hand", ["docker.engine", "stack.down", "stack.stopped"], stack::drift),
    check!("server.answers", Quick, Critical, "nobody is served", "database-down", ["docker.engine", "disk.", "config.", "stack.", "secrets."], server::answers),
    check!("store.quarantined", Quick, Critical, "the server does not start: its log could not be replayed, and what it held needs a decision", "database-down", [], server::quarantined),
    check!("store.write", Quick, Critical, "every write fails", "database-down", ["server.answers", "disk.", "files.owner"], server::write),
    check!("server.ready", Quick, Critical, "load balancers take it out of service", "database-down", ["server.answers", "disk.", "store.write"], server::ready),
    check!("upgrade.open", Quick, Critical, "an upgrade was cut off; writes may be held", "upgrade-by-hand", ["disk.", "ops.files", "docker.engine"], |patient| server::open(patient, "upgrade", "upgrade")),
    check!("restore.open", Quick, Critical, "a restore was cut off; writes may be held", "restore", ["disk.", "ops.files", "docker.engine"], |patient| server::open(patient, "restore", "snapshot prune")),
    check!("server.held", Quick, Critical, "writes get 503", "hold", ["server.answers", "upgrade.open", "restore.open"], server::held),
    check!("store.wal", Quick, Warning, "a start takes long, and the log fills the disk", "database-down", ["disk.", "server.held"], server::wal),
    check!("store.audit", Quick, Critical, "the audit log has a gap, or was changed", "compromised-agent", ["server.answers"], server::audit),
    check!("store.chain", Deep, Critical, "the audit log is not the one that was written", "compromised-agent", ["server.answers", "store.audit"], server::chain),
    check!("jobs.failing", Quick, Warning, "a job's work is not done", "database-down", ["server.answers", "store.write", "server.held"], server::jobs),
    check!("server.sign-in", Quick, Warning, "somebody cannot sign in, or set a new password", "nobody-can-sign-in", ["server.answers"], server::sign_in),
    check!("server.limited", Deep, Warning, "somebody's calls get 429", "rate-limit-false-positives", ["server.answers"], server::limited),
    check!("secrets.rotation-open", Quick, Warning, "an old secret still opens what it opened", "quarterly-rotation", ["server.answers"], |patient| secrets::of(patient, "secrets.rotation-open")),
    check!("secrets.not-in-process", Quick, Critical, "calls with the right secret are refused, or with an old one taken", "quarterly-rotation", ["secrets.live-differs", "secrets.env-differs", "server.answers"], |patient| secrets::of(patient, "secrets.not-in-process")),
    check!("secrets.overdue", Quick, Warning, "a secret is used for longer than a quarter", "quarterly-rotation", ["secrets.rotation-open"], |patient| secrets::of(patient, "secrets.overdue")),
    check!("tls.missing", Quick, Critical, "nothing can be served over TLS", "certificate-late", ["disk.mounted"], |patient| tls::of(patient, "no-certificate")),
    check!("tls.pair", Quick, Critical, "a proxy that starts again serves nothing", "certificate-late", ["disk.mounted"], |patient| tls::of(patient, "pair-broken")),
    check!("tls.unreadable", Quick, Critical, "what is installed is not known", "certificate-late", ["disk.", "ops.files"], |patient| tls::of(patient, "unreadable")),
    check!("tls.key-mode", Quick, Critical, "others on this host can be the server", "compromised-agent", [], |patient| tls::of(patient, "key-readable")),
    check!("tls.layout", Quick, Warning, "the next rotation does not reach who reads the documented paths", "certificate-late", ["tls.pair"], |patient| tls::of(patient, "layout")),
    check!("tls.pending", Quick, Warning, "a certificate that the CA still signs may find no key", "certificate-late", [], |patient| tls::of(patient, "unusable")),
    check!("tls.open", Quick, Warning, "a rotation was cut off", "certificate-late", ["disk."], |patient| tls::of(patient, "interrupted")),
    check!("tls.name", Quick, Critical, "clients refuse to connect", "certificate-late", ["tls.pair"], |patient| tls::of(patient, "not-desired")),
    check!("tls.source", Deep, Warning, "no new certificate can come", "certificate-late", ["clock.synchronized", "tls.missing", "tls.pair", "tls.pending", "tls.name"], tls::source),
    check!("tls.expiry", Quick, Critical, "clients will refuse to connect", "certificate-late", ["tls.source"], |patient| tls::of(patient, "expiring")),
    check!("tls.listens", Quick, Critical, "nobody is served over TLS", "certificate-late", ["docker.engine", "disk.", "stack.", "server.answers", "tls.missing", "tls.pair"], |patient| tls::of(patient, "nothing-listens")),
    check!("tls.served", Quick, Critical, "clients see another certificate than the one that is installed", "certificate-late", ["tls.pair", "tls.name", "tls.expiry", "tls.unreadable", "tls.open", "docker.engine", "stack."], |patient| tls::of(patient, "reload-pending")),
    check!("dns.resolves", Deep, Critical, "nobody finds the deployment", "certificate-late", [], network::resolves),
    check!("dns.address", Deep, Critical, "some clients come to another server", "certificate-late", ["dns.resolves", "tls.served", "tls.listens"], network::addresses),
    check!("net.exposed", Quick, Critical, "a port that is for this host alone is open to others", "compromised-agent", [], network::exposed),
    check!("registry.answers", Deep, Warning, "no upgrade can come", "upgrade-by-hand", ["docker.engine", "stack.down"], stack::registry),
    check!("units.no-program", Quick, Critical, "nothing is looked after", "timers", [], |patient| units::of(patient, "units.no-program")),
    check!("units.writable", Quick, Critical, "others may have root do what they like", "compromised-agent", [], |patient| units::of(patient, "units.writable")),
    check!("units.odd", Quick, Warning, "a part of the deployment is not looked after", "timers", [], |patient| units::of(patient, "units.odd")),
    check!("units.missing", Quick, Warning, "a part of the deployment is not looked after", "timers", [], |patient| units::of(patient, "units.missing")),
    check!("units.differs", Quick, Warning, "a unit does what nobody shipped", "timers", [], |patient| units::of(patient, "units.differs")),
    check!("units.left-over", Quick, Warning, "a unit does what nobody wants any more", "timers", [], |patient| units::of(patient, "units.left-over")),
    check!("units.not-enabled", Quick, Warning, "after a reboot a part of the deployment is not looked after", "timers", ["units.missing"], |patient| units::of(patient, "units.not-enabled")),
    check!("units.not-active", Quick, Warning, "a part of the deployment is not looked after", "timers", ["units.missing", "units.not-enabled", "units.no-program"], |patient| units::of(patient, "units.not-active")),
    check!("boot.failed", Quick, Warning, "the host is not what it should be", "lost-vm", ["disk.", "docker.engine", "secrets.", "stack."], |patient| records::failed(patient, "boot", "boot")),
    check!("secrets.failed", Quick, Warning, "a secret is not fetched", "quarterly-rotation", ["disk.", "secrets.missing", "secrets.damaged"], |patient| records::failed(patient, "secrets-ensure", "secrets ensure")),
    check!("tls.failed", Quick, Warning, "no new certificate comes", "certificate-late", ["disk.", "tls."], |patient| records::failed(patient, "tls-rotate", "tls rotate")),
    check!("upgrade.failed", Quick, Warning, "a new version did not prove itself, or could not be tried", "upgrade-by-hand", ["disk.", "docker.engine", "registry.answers", "stack.", "upgrade.open"], |patient| records::failed(patient, "upgrade", "upgrade")),
    check!("snapshot.failed", Quick, Critical, "there is no fresh way back", "restore", ["disk.", "docker.engine", "stack.", "server.answers", "store."], |patient| records::failed(patient, "snapshot-create", "snapshot create")),
    check!("snapshot.damaged", Quick, Critical, "a way back is not one", "restore", ["disk.mounted"], snapshots::damaged),
    check!("snapshot.age", Quick, Critical, "there is no fresh way back", "restore", ["disk.", "snapshot.failed", "snapshot.damaged", "server.answers", "units."], snapshots::age),
    check!("snapshot.proven", Quick, Warning, "nobody knows whether the way back works", "drill", ["snapshot.age", "snapshot.damaged", "snapshot.failed"], snapshots::proven),
    check!("snapshot.opens", Deep, Critical, "the newest way back does not work", "restore", ["disk.", "snapshot.damaged", "docker.engine"], snapshots::opens),
    check!("snapshot.remote", Quick, Warning, "a host that is lost takes its snapshots with it", "restore", ["snapshot.age", "snapshot.failed"], snapshots::remote),
    check!("drill.failed", Quick, Warning, "nobody knows how long a restore takes", "drill", ["disk.", "docker.engine", "snapshot."], |patient| records::failed(patient, "snapshot-drill", "snapshot drill")),
    check!("units.failed", Quick, Warning, "its work is not done", "timers", ["config.", "disk.", "docker.engine", "server.answers", "snapshot.failed", "tls.failed", "secrets.failed", "upgrade.failed", "drill.failed", "boot.failed", "units.no-program"], |patient| units::of(patient, "units.failed")),
    check!("timers.effect", Quick, Warning, "its work is not done, and nothing says so", "timers", ["units.", "disk.", "config."], units::effect),
    check!("alerts.mail", Deep, Warning, "no mail is sent: findings are not told, people cannot sign in by it", "alerts-not-delivered", ["dns.resolves"], alerts::mail),
    check!("alerts.undelivered", Quick, Warning, "somebody is not told what is wrong", "alerts-not-delivered", ["disk.", "alerts.mail"], alerts::undelivered),
];

/// Whether a check has this name, or the area that it is in has.
pub(super) fn is_named(id: &str, name: &str) -> bool {
    id == name || id.split('.').next() == Some(name)
}

/// Whether there is one of this name, or in this area.
pub fn known(name: &str) -> bool {
    CHECKS.iter().any(|check| is_named(check.id, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_stands_once_and_its_causes_are_known() {
        for (at, check) in CHECKS.iter().enumerate() {
            let first = CHECKS.iter().position(|one| one.id == check.id);
            assert_eq!(first, Some(at), "{}", check.id);
            for cause in check.causes {
                let area = cause.strip_suffix('.').unwrap_or(cause);
                let mut before = CHECKS.iter().take(at);
                assert!(
                    before.any(|one| is_named(one.id, area)),
                    "{}: {cause}",
                    check.id
                );
            }
        }
    }

    /// W07: a runbook that is not there is none, and one that does not name the check is another's.
    #[test]
    fn every_runbook_is_a_section_that_names_its_checks() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (_, runbooks) = text.split_once("\n## Runbooks\n").unwrap();
        let (runbooks, _) = runbooks.split_once("\n## ").unwrap();
        let mut named = 0;
        for section in runbooks.split("\n### ").skip(1) {
            let (title, body) = section.split_once('\n').unwrap();
            let anchor = title.to_lowercase().replace(' ', "-");
            let line = body
                .lines()
                .find(|line| line.starts_with("Checks: "))
                .unwrap();
            for id in line.trim_start_matches("Checks: ").split(", ") {
                let id = id.trim_matches(['`', '.']);
                let check = CHECKS.iter().find(|check| check.id == id);
                assert_eq!(
                    check.map(|check| check.runbook),
                    Some(anchor.as_str()),
                    "{id}"
                );
                named += 1;
            }
            for part in ["Symptoms", "Evidence", "Action", "Proof", "Afterwards"] {
                assert!(body.contains(&format!("\n- {part}: ")), "{title}: {part}");
            }
        }
        assert_eq!(named, CHECKS.len());
    }

    /// W07: a check of which nobody hears has a reason for it, which is written down where people look.
    #[test]
    fn every_check_is_told_by_watch_or_stands_in_the_table_of_others() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let read = |name: &str| std::fs::read_to_string(format!("{root}/{name}")).unwrap();
        let (docs, rules) = (
            read("docs/operations.md"),
            read("monitoring/prometheus/rules/agnes.yml"),
        );
        let (_, section) = docs.split_once("\n### Who tells of what\n").unwrap();
        let (section, _) = section.split_once("\n## ").unwrap();
        let names = |text: &str| -> Vec<String> {
            let parts = text.split('`').skip(1).step_by(2);
            parts.map(str::to_owned).collect()
        };
        let of = |id: &str| CHECKS.iter().find(|check| check.id == id);
        let mut others = Vec::new();
        for row in section.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<&str> = row.trim_matches(['|', ' ']).split(" | ").collect();
            let [ids, who, why] = cells.as_slice() else {
                panic!("three cells: {row}");
            };
            assert!(why.len() > 30, "{ids}: no reason");
            let tellers = names(who);
            for id in names(ids) {
                let check = of(&id).unwrap_or_else(|| panic!("{id}: there is no such check"));
                match who.strip_prefix("rule ") {
                    Some(_) => {
                        let [rule] = tellers.as_slice() else {
                            panic!("{id}: one rule: {who}");
                        };
                        assert!(rules.contains(&format!("alert: {rule}\n")), "{id}: {rule}");
                    }
                    None => {
                        assert_eq!(check.depth, Depth::Deep, "{id}: watch looks at it");
                        assert!(!tellers.is_empty() || *who == "nobody", "{id}: {who}");
                        for teller in &tellers {
                            let depth = of(teller).map(|check| check.depth);
                            assert_eq!(
                                depth,
                                Some(Depth::Quick),
                                "{id}: {teller} is told by nobody"
                            );
                        }
                    }
                }
                others.push(id);
            }
        }
        for check in CHECKS.iter().filter(|check| check.depth == Depth::Deep) {
            let rows = others.iter().filter(|id| *id == check.id).count();
            assert_eq!(rows, 1, "{}: watch does not look, and who tells?", check.id);
        }
    }
}
