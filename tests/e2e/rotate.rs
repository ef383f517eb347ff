//! `tls rotate` on files: from nothing to a CA's certificate, and everything that must leave the disk alone.

use agnes_e2e::authority::{Authority, Leaf, leaf_sha256};
use agnes_e2e::deployment::{DOMAIN, Deployment, run};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "openssl {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

pub(crate) fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// A deployment whose CA certificate is installed, its authority and what is published.
pub(crate) fn with_ca_certificate(days: i64) -> (Deployment, Authority, String) {
    let deployment = Deployment::polling();
    deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("changed");
    let authority = Authority::root("Example Root").intermediate("Example Issuing CA");
    let chain = authority.answer(&deployment.request(), &Leaf::new(DOMAIN).days(-1, days));
    deployment.publish(&chain);
    deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("changed");
    (deployment, authority, chain)
}

#[test]
fn the_first_run_makes_key_request_and_bridge_that_openssl_accepts() {
    let deployment = Deployment::new()
        .with("TLS_KEY_TYPE", "rsa-2048")
        .with(
            "TLS_CSR_SUBJECT",
            "/C=US/ST=Illinois/L=Chicago/O=Your Org/CN=agnes.example.com",
        )
        .with("DOMAIN_ALIAS", "www.agnes.example.com");
    let deployment = deployment.polls_itself();
    let ran = deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("changed");
    assert_eq!(ran.detail("cert.source"), "self-signed");
    assert_eq!(ran.detail("fetch.reason"), "not-published");
    assert_eq!(ran.detail("proof"), "off");
    assert!(ran.detail("reload.by").is_null());
    let certs = deployment.certs();
    let request = certs.join("cert.csr");
    let text = openssl(&[
        "req",
        "-in",
        request.to_str().unwrap(),
        "-noout",
        "-verify",
        "-text",
    ]);
    for expected in [
        "verify OK",
        "C = US, ST = Illinois, L = Chicago, O = Your Org, CN = agnes.example.com",
        "Public-Key: (2048 bit)",
        "DNS:agnes.example.com, DNS:www.agnes.example.com",
        "Digital Signature, Key Encipherment",
        "TLS Web Server Authentication",
    ] {
        assert!(text.contains(expected), "{expected} is not in {text}");
    }
    // t08: a strict client takes the bridge
    let bridge = certs.join("fullchain.pem");
    let text = openssl(&["x509", "-in", bridge.to_str().unwrap(), "-noout", "-text"]);
    for expected in [
        "CA:FALSE",
        "DNS:agnes.example.com",
        "Digital Signature, Key Encipherment",
    ] {
        assert!(text.contains(expected), "{expected} is not in {text}");
    }
    let key = certs.join("privkey.pem");
    let (ours, leafs) = (
        openssl(&["pkey", "-in", key.to_str().unwrap(), "-pubout"]),
        openssl(&["x509", "-in", bridge.to_str().unwrap(), "-noout", "-pubkey"]),
    );
    assert_eq!(ours, leafs);
    assert_eq!(
        (mode(&key), mode(&bridge), mode(&request), mode(&certs)),
        (0o600, 0o644, 0o644, 0o755)
    );
    for link in ["privkey.pem", "fullchain.pem", "current"] {
        assert!(
            std::fs::read_link(certs.join(link)).unwrap().is_relative(),
            "{link}"
        );
    }
}

#[test]
fn t08_webpki_accepts_the_bridge_as_a_server_certificate() {
    use rustls::pki_types::{
        CertificateDer, ServerName, TrustAnchor, UnixTime, pem::PemObject as _,
    };
    let (deployment, ..) = {
        let deployment = Deployment::polling();
        deployment.ops(&["tls", "rotate"]).exits(0);
        (deployment, ())
    };
    let pem = std::fs::read(deployment.certs().join("fullchain.pem")).unwrap();
    let der = CertificateDer::from_pem_slice(&pem).unwrap();
    let leaf = webpki::EndEntityCert::try_from(&der).unwrap();
    leaf.verify_is_valid_for_subject_name(&ServerName::try_from(DOMAIN).unwrap())
        .unwrap();
    // a bridge is its own anchor for a client that pins it
    let anchors: Vec<TrustAnchor<'_>> = vec![webpki::anchor_from_trusted_cert(&der).unwrap()];
    let algorithms =
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
    leaf.verify_for_usage(
        algorithms.all,
        &anchors,
        &[],
        UnixTime::now(),
        webpki::KeyUsage::server_auth(),
        None,
        None,
    )
    .unwrap();
}

#[test]
fn an_empty_url_is_unchanged_and_makes_nothing() {
    let deployment = Deployment::new();
    let ran = deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("unchanged");
    assert!(ran.detail("cert").is_null());
    assert!(!deployment.certs().exists());
}

#[test]
fn a_signed_chain_is_installed_as_published_and_the_next_run_is_unchanged() {
    let (deployment, _, chain) = with_ca_certificate(89);
    let installed = std::fs::read_to_string(deployment.certs().join("fullchain.pem")).unwrap();
    assert_eq!(installed, chain);
    let before = deployment.certs_snapshot();
    let ran = deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("unchanged");
    assert_eq!(ran.detail("cert.source"), "ca");
    assert_eq!(
        ran.detail("cert.sha256"),
        leaf_sha256(chain.as_bytes()).as_str()
    );
    assert_eq!(ran.detail("cert.days_left"), 88);
    assert_eq!(ran.detail("fetch.not_modified"), true);
    assert_eq!(deployment.certs_snapshot(), before);
    assert!(
        std::fs::read_dir(deployment.certs().join("pending"))
            .unwrap()
            .next()
            .is_none()
    );
    deployment.ops(&["tls", "check"]).exits(0);
}

#[test]
fn only_the_generation_before_is_kept() {
    let (deployment, authority, _) = with_ca_certificate(80);
    for days in [81, 82] {
        deployment
            .publish(authority.answer(&deployment.request(), &Leaf::new(DOMAIN).days(0, days)));
        deployment
            .ops(&["tls", "rotate"])
            .exits(0)
            .with_outcome("changed");
    }
    let mut kept: Vec<_> = std::fs::read_dir(deployment.certs().join("generations"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    kept.sort();
    assert_eq!(kept, ["3", "4"]);
}

#[test]
fn t05_a_failed_chain_fetch_never_installs_the_key() {
    // the chain's URL serves the key: by a copy-and-paste error, or because the fetch of the chain fell through
    let deployment = Deployment::new();
    let key = agnes_e2e::authority::ec_key();
    let key_path = deployment.dir().join("key.pem");
    std::fs::write(&key_path, agnes_e2e::authority::key_pem(&key)).unwrap();
    let key_url = format!("file://{}", key_path.display());
    let mut deployment = deployment
        .with("TLS_PRIVKEY_URL", key_url.as_str())
        .with("TLS_FULLCHAIN_URL", key_url.as_str());
    let ran = deployment.ops(&["tls", "rotate"]).exits(1);
    assert_eq!(ran.detail("reason"), "contains-key");
    let chain = std::fs::read_to_string(deployment.certs().join("fullchain.pem")).unwrap();
    assert!(
        !chain.contains("PRIVATE"),
        "the key is in the world-readable file"
    );
    // and when the chain is not there at all, the bridge stays
    let before = deployment.certs_snapshot();
    deployment.set("TLS_FULLCHAIN_URL", "file:///nonexistent/chain.pem");
    deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("unchanged");
    assert_eq!(deployment.certs_snapshot(), before);
}

#[test]
fn a_provisioned_key_is_installed_with_its_chain() {
    let deployment = Deployment::new();
    let key = agnes_e2e::authority::rsa_key(2048);
    let authority = Authority::root("Example Root").intermediate("Example Issuing CA");
    let subject = agnes_e2e::authority::common_name(DOMAIN);
    let leaf = authority.sign_key(
        &agnes_e2e::authority::public(&key),
        &subject,
        &Leaf::new(DOMAIN),
    );
    let key_path = deployment.dir().join("key.pem");
    std::fs::write(&key_path, agnes_e2e::authority::key_pem(&key)).unwrap();
    let url = deployment.publish(authority.chain(&leaf));
    let deployment = deployment
        .with("TLS_PRIVKEY_URL", format!("file://{}", key_path.display()))
        .with("TLS_FULLCHAIN_URL", url);
    let ran = deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("changed");
    assert_eq!(ran.detail("cert.source"), "ca");
    assert!(ran.detail("csr").is_null());
    assert!(!deployment.certs().join("cert.csr").exists());
    deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("unchanged");
    assert_eq!(
        deployment.ops(&["tls", "csr"]).exits(1).detail("reason"),
        "key-is-provisioned"
    );
}

#[test]
fn t11_pending_keys_are_kept_until_a_certificate_for_them_appears() {
    let (deployment, authority, _) = with_ca_certificate(60);
    let old_request = deployment.request();
    let served = deployment.certs_snapshot();
    deployment
        .ops(&["tls", "csr", "--new-key"])
        .exits(0)
        .with_outcome("changed");
    let new_request = deployment.request();
    assert_ne!(old_request, new_request);
    let key = deployment.certs().join("current/privkey.pem");
    assert_eq!(
        std::fs::read(&key).unwrap(),
        served[&std::fs::canonicalize(&key).unwrap()].2
    );
    // the CA answers the older request first, the newer one later; both find their keys
    deployment.publish(authority.answer(&old_request, &Leaf::new(DOMAIN).days(0, 61)));
    deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("changed");
    deployment.publish(authority.answer(&new_request, &Leaf::new(DOMAIN).days(0, 62)));
    deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("changed");
    assert_eq!(
        deployment.request(),
        new_request,
        "the request for the key in use stays"
    );
}

#[test]
fn a_printed_request_is_the_request_and_nothing_else() {
    let deployment = Deployment::new();
    let ran = run(deployment.command(&["tls", "csr", "--print"])).exits(0);
    assert_eq!(ran.stdout.as_bytes(), deployment.request());
    assert!(
        ran.stdout
            .starts_with("-----BEGIN CERTIFICATE REQUEST-----\n")
    );
    let again = run(deployment.command(&["tls", "csr", "--print"])).exits(0);
    assert_eq!(ran.stdout, again.stdout);
}

#[test]
fn t07_a_bridge_that_nears_its_end_is_renewed() {
    let deployment = Deployment::new();
    let certs = deployment.certs();
    std::fs::create_dir_all(&certs).unwrap();
    // nine days left of a bridge that an older installation made
    let key = agnes_e2e::authority::ec_key();
    let subject = agnes_e2e::authority::common_name(DOMAIN);
    let old = Authority::root_with(DOMAIN, key.clone(), &Leaf::new("").days(-21, 9));
    let _ = subject;
    std::fs::write(
        certs.join("privkey.pem"),
        agnes_e2e::authority::key_pem(&key),
    )
    .unwrap();
    std::fs::write(certs.join("fullchain.pem"), old.pem()).unwrap();
    let deployment = deployment.polls_itself();
    let ran = deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("changed");
    assert_eq!(ran.detail("cert.source"), "self-signed");
    assert!(ran.detail("cert.days_left").as_i64().unwrap() >= 29);
}

#[test]
fn t10_and_t09_a_full_disk_leaves_the_installed_pair_and_no_truncated_key() {
    let deployment = Deployment::new();
    let state = deployment.dir().join("data");
    std::fs::create_dir_all(&state).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
        .arg(&state)
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "a tmpfs cannot be mounted"
        );
        println!("SKIP mount: a tmpfs cannot be mounted here");
        return;
    }
    let unmount = Unmount(state.clone());
    let deployment = deployment.polls_itself();
    deployment.ops(&["tls", "rotate"]).exits(0);
    let authority = Authority::root("Example Root").intermediate("Example Issuing CA");
    deployment.publish(authority.answer(&deployment.request(), &Leaf::new(DOMAIN)));
    let before = deployment.certs_snapshot();
    // leave less than a page
    let filler = std::fs::File::create(state.join("filler")).unwrap();
    let mut filler = std::io::BufWriter::with_capacity(512, filler);
    while std::io::Write::write_all(&mut filler, &[0; 512]).is_ok() {}
    drop(filler.into_parts());
    let ran = deployment.ops(&["tls", "rotate"]).exits(1);
    assert!(
        ran.stderr.contains("No space left on device"),
        "{}",
        ran.stderr
    );
    let after = deployment.certs_snapshot();
    for (path, found) in &before {
        assert_eq!(
            after.get(path).map(|now| &now.2),
            Some(&found.2),
            "{}",
            path.display()
        );
    }
    std::fs::remove_file(state.join("filler")).unwrap();
    deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("changed");
    deployment.ops(&["tls", "check"]).exits(0);
    drop(unmount);
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn t16_an_unchanged_tick_writes_one_status_record_and_nothing_else() {
    let Some(strace) = agnes_e2e::components::require("strace") else {
        return;
    };
    let (deployment, ..) = with_ca_certificate(89);
    deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("unchanged");
    let trace = deployment.dir().join("trace");
    let ops = deployment.command(&["tls", "rotate", "--json"]);
    let mut command = Command::new(strace);
    command
        .args(["-f", "-y", "-e", "trace=openat,open,creat,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,symlink,symlinkat,link,linkat,chmod,fchmod,fchmodat,chown,fchown,kill,tgkill,tkill,pidfd_send_signal,write,pwrite64", "-o"])
        .arg(&trace)
        .arg(ops.get_program())
        .args(ops.get_args());
    command.env_clear().envs(
        ops.get_envs()
            .filter_map(|(key, value)| Some((key, value?))),
    );
    run(command).exits(0);
    let trace = std::fs::read_to_string(trace).unwrap();
    let certs = deployment.certs().display().to_string();
    let touched: Vec<&str> = trace
        .lines()
        .filter(|line| line.contains(&certs))
        .filter(|line| !line.contains("O_RDONLY"))
        .collect();
    assert!(touched.is_empty(), "{touched:#?}");
    let renamed: Vec<&str> = trace
        .lines()
        .filter(|line| line.contains("rename"))
        .collect();
    assert_eq!(renamed.len(), 1, "{renamed:#?}");
    assert!(
        renamed[0].contains("ops/status/tls-rotate.json"),
        "{renamed:#?}"
    );
    assert!(!trace.contains("kill("), "somebody was signalled");
    assert!(
        !trace.contains("symlink") && !trace.contains("mkdir"),
        "{trace}"
    );
}

#[test]
fn a_held_lock_defers_and_names_its_holder() {
    let deployment = Deployment::new().with("TLS_FULLCHAIN_URL", "file:///nonexistent");
    let lock = std::fs::File::create(deployment.dir().join(".lock")).unwrap();
    lock.lock().unwrap();
    std::io::Write::write_all(
        &mut &lock,
        b"agnes-ops upgrade (pid 4711, since 2026-01-31T03:00:00Z)\n",
    )
    .unwrap();
    let ran = deployment
        .ops(&["tls", "rotate"])
        .exits(75)
        .with_outcome("deferred");
    assert_eq!(ran.detail("reason"), "lock-held");
    assert!(
        ran.stderr.contains("agnes-ops upgrade (pid 4711"),
        "{}",
        ran.stderr
    );
    assert!(!deployment.certs().exists());
    drop(lock);
    deployment.ops(&["tls", "rotate"]).exits(0);
}

#[test]
fn a_dry_run_says_what_it_would_do_and_does_nothing() {
    let deployment = Deployment::new().with("TLS_FULLCHAIN_URL", "file:///nonexistent");
    let ran = deployment
        .ops(&["tls", "rotate", "--dry-run"])
        .exits(0)
        .with_outcome("unchanged");
    let plan: Vec<&str> = ran
        .detail("plan")
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line.as_str().unwrap())
        .collect();
    assert_eq!(plan.len(), 4, "{plan:?}");
    assert!(!deployment.state().exists());
}
