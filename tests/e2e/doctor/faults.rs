//! What goes wrong with a host, one thing at a time.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use agnes_e2e::authority::{Authority, Leaf, common_name, ec_key, key_pem, public};
use agnes_e2e::deployment::DOMAIN;
use serde_json::json;

use super::Well;

pub(super) fn mode(path: PathBuf, bits: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(bits)).unwrap();
}

fn signal(well: &Well, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(well.pid(), signal).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
}

/// A pair that no client of this deployment should see.
pub(super) fn foreign_pair(domain: &str, from: i64, to: i64) -> (String, String) {
    let key = ec_key();
    let authority = Authority::root("Other Root").intermediate("Other Issuing CA");
    let leaf = authority.sign_key(
        &public(&key),
        &common_name(domain),
        &Leaf::new(domain).days(from, to),
    );
    (authority.chain(&leaf), key_pem(&key))
}

/// Puts a pair in the place of the one that is served from.
pub(super) fn replace_pair(well: &Well, chain: &str, key: &str) {
    let current = std::fs::canonicalize(well.state("certs/current")).unwrap();
    std::fs::write(current.join("fullchain.pem"), chain).unwrap();
    std::fs::write(current.join("privkey.pem"), key).unwrap();
}

fn failed(well: &Well, slug: &str) {
    well.record(slug, |record| {
        record["exit"] = json!(1);
        record["at"] = json!("2026-11-28T00:00:00Z");
        record["details"] = json!({"reason": "made-up", "message": "by a test"});
    });
}

fn journal(well: &Well, name: &str) {
    let path = well.state("ops/journal");
    std::fs::create_dir_all(&path).unwrap();
    std::fs::write(path.join(format!("{name}.json")), r#"{"phase":"made up"}"#).unwrap();
}

fn snapshot(well: &Well) -> PathBuf {
    let all = well.deployment.state().parent().unwrap().join("snapshots");
    let mut found = std::fs::read_dir(&all)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    found.next().unwrap()
}

/// One fault: what its first finding is called, and how it comes about.
pub(super) type Fault = (&'static str, fn(&Well));

/// Of each one host is made sick; every part of the deployment is among them.
pub(super) const FAULTS: &[Fault] = &[
    ("config.valid", |well| well.env("TLS_KEY_TYPE", "rot13")),
    ("config.valid", |well| {
        std::fs::write(well.deployment.dir().join("agnes.toml"), "nonsense = 1\n").unwrap();
    }),
    ("config.valid", |well| {
        std::fs::write(well.deployment.dir().join("agnes.toml"), "[upgrade\n").unwrap();
    }),
    ("disk.mounted", |well| {
        let toml = "[host]\ndata_device = \"/dev/disk/by-id/absent\"\n";
        std::fs::write(well.deployment.dir().join("agnes.toml"), toml).unwrap();
    }),
    ("files.owner", |well| mode(well.state("ops"), 0o777)),
    ("files.owner", |well| {
        mode(well.deployment.dir().to_owned(), 0o777);
    }),
    ("files.owner", |well| mode(well.state("audit.key"), 0o666)),
    ("files.owner", |well| {
        mode(well.state("secrets/live"), 0o777);
    }),
    ("ops.files", |well| {
        std::fs::write(well.state("ops/ledger/snapshots.json"), "junk").unwrap();
    }),
    ("ops.files", |well| {
        std::fs::create_dir_all(well.state("ops/journal")).unwrap();
        std::fs::write(well.state("ops/journal/restore.json"), "\0junk").unwrap();
    }),
    ("secrets.missing", |well| {
        let secret = well.state("secrets/SESSION_SECRET");
        std::fs::remove_dir_all(secret).unwrap();
        well.env("SESSION_SECRET", "");
    }),
    ("secrets.damaged", |well| {
        std::fs::write(well.state("secrets/JWT_SECRET_KEY/1"), [0xff, 0xfe]).unwrap();
    }),
    ("secrets.short", |well| well.env("SESSION_SECRET", "short")),
    ("secrets.placeholder", |well| {
        well.env("JWT_SECRET_KEY", "change-me-change-me-change-me-change-me");
    }),
    ("secrets.env-missing", |well| {
        well.env("SCHEDULER_API_TOKEN", "");
    }),
    ("secrets.env-differs", |well| {
        let other = "8f0c1d2e3b4a59687766554433221100ffeeddccbbaa99887766554433221100";
        well.env("SCHEDULER_API_TOKEN", other);
    }),
    ("secrets.live-differs", |well| {
        let path = well.state("secrets/live/SESSION_SECRET");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(path, "another").unwrap();
    }),
    ("secrets.live-differs", |well| {
        mode(well.state("secrets/live/SESSION_SECRET"), 0o444);
    }),
    ("secrets.readable", |well| {
        mode(well.deployment.dir().join(".env"), 0o644);
    }),
    ("secrets.readable", |well| {
        mode(well.state("secrets/JWT_SECRET_KEY/1"), 0o640);
    }),
    ("server.answers", |well| {
        signal(well, nix::sys::signal::Signal::SIGKILL);
    }),
    ("server.answers", |well| {
        std::fs::remove_file(
            well.deployment
                .state()
                .parent()
                .unwrap()
                .join("run/agnesd.sock"),
        )
        .unwrap();
    }),
    ("server.answers", |well| {
        well.ops(&["down"]).exits(0);
    }),
    ("store.quarantined", |well| {
        std::fs::write(well.state("system.duckdb.quarantined"), "").unwrap();
    }),
    ("store.audit", |well| {
        well.ops(&["down"]).exits(0);
        std::fs::write(well.state("audit.head"), "junk").unwrap();
        well.ops(&["up"]).exits(0);
    }),
    ("upgrade.open", |well| journal(well, "upgrade")),
    ("restore.open", |well| journal(well, "restore")),
    ("server.held", |well| {
        well.post("/v1/writes/hold", &json!({"id": "made-up", "by": "a test"}));
    }),
    ("tls.missing", |well| {
        std::fs::remove_file(well.state("certs/current")).unwrap();
        std::fs::remove_dir_all(well.state("certs/generations")).unwrap();
        for name in ["fullchain.pem", "privkey.pem"] {
            std::fs::remove_file(well.state("certs").join(name)).unwrap();
        }
    }),
    ("tls.pair", |well| {
        let (_, key) = foreign_pair(DOMAIN, -1, 90);
        let current = std::fs::canonicalize(well.state("certs/current")).unwrap();
        std::fs::write(current.join("privkey.pem"), key).unwrap();
    }),
    ("tls.pair", |well| {
        let current = std::fs::canonicalize(well.state("certs/current")).unwrap();
        std::fs::write(current.join("fullchain.pem"), "junk").unwrap();
    }),
    ("tls.key-mode", |well| {
        let current = std::fs::canonicalize(well.state("certs/current")).unwrap();
        mode(current.join("privkey.pem"), 0o644);
    }),
    ("tls.layout", |well| {
        std::fs::remove_file(well.state("certs/fullchain.pem")).unwrap();
    }),
    ("tls.pending", |well| {
        std::fs::create_dir_all(well.state("certs/pending")).unwrap();
        std::fs::write(well.state("certs/pending/7.pem"), "junk").unwrap();
    }),
    ("tls.open", |well| journal(well, "tls-rotate")),
    ("tls.expiry", |well| {
        let (chain, key) = foreign_pair(DOMAIN, -89, 1);
        replace_pair(well, &chain, &key);
        signal(well, nix::sys::signal::Signal::SIGHUP);
    }),
    ("tls.expiry", |well| {
        let (chain, key) = foreign_pair(DOMAIN, -90, -1);
        replace_pair(well, &chain, &key);
        signal(well, nix::sys::signal::Signal::SIGHUP);
    }),
    ("tls.name", |well| {
        let (chain, key) = foreign_pair("other.example.com", -1, 90);
        replace_pair(well, &chain, &key);
        signal(well, nix::sys::signal::Signal::SIGHUP);
    }),
    ("tls.served", |well| {
        // issued before the published one, which is no step back from it, however long that was ago
        let (chain, key) = foreign_pair(DOMAIN, -2, 90);
        replace_pair(well, &chain, &key);
    }),
    ("tls.listens", |well| {
        well.env("TLS_SERVED_ADDRESS", "127.0.0.1:1");
    }),
    ("tls.source", |well| {
        std::fs::write(well.deployment.published(), "junk").unwrap();
    }),
    ("tls.source", |well| {
        let (chain, _) = foreign_pair(DOMAIN, -1, 90);
        std::fs::write(well.deployment.published(), chain).unwrap();
    }),
    ("tls.failed", |well| failed(well, "tls-rotate")),
    ("secrets.failed", |well| failed(well, "secrets-ensure")),
    ("snapshot.failed", |well| failed(well, "snapshot-create")),
    ("drill.failed", |well| failed(well, "snapshot-drill")),
    ("boot.failed", |well| failed(well, "boot")),
    ("upgrade.failed", |well| failed(well, "upgrade")),
    ("snapshot.damaged", |well| {
        std::fs::remove_file(snapshot(well).join("system.duckdb")).unwrap();
    }),
    ("snapshot.opens", |well| {
        let path = snapshot(well).join("system.duckdb");
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0xff;
        std::fs::write(path, bytes).unwrap();
    }),
    ("snapshot.proven", |well| {
        std::fs::remove_file(well.state("ops/ledger/snapshots.json")).unwrap();
    }),
    ("snapshot.damaged", |well| {
        std::fs::write(snapshot(well).join("system.duckdb"), "short").unwrap();
    }),
    ("snapshot.age", |well| {
        std::fs::remove_dir_all(snapshot(well)).unwrap();
        let key = std::fs::File::options()
            .write(true)
            .open(well.state("audit.key"))
            .unwrap();
        key.set_modified(std::time::UNIX_EPOCH).unwrap();
    }),
    ("snapshot.remote", |well| {
        let toml = format!(
            "[snapshot]\npush_to = \"file://{}\"\n",
            well.deployment.dir().join("elsewhere").display()
        );
        std::fs::write(well.deployment.dir().join("agnes.toml"), toml).unwrap();
    }),
    ("config.server", |well| {
        let toml = "[[jobs]]\nname = \"job\"\nschedule = \"every 1h\"\nurl = \"https://api.example.com/job\"\ntoken_env = \"NOT_SET\"\n";
        std::fs::write(well.deployment.dir().join("agnes.toml"), toml).unwrap();
    }),
    ("tls.layout", |well| {
        std::fs::remove_file(well.state("certs/privkey.pem")).unwrap();
        symlink("/nowhere", well.state("certs/privkey.pem")).unwrap();
    }),
];
