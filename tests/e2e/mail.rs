//! W02: findings are told by mail, through a real mail server, until it takes them; a password goes nowhere in clear.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use agnes_e2e::deployment::{Deployment, Ran};
use agnes_e2e::mail_server::{MailServer, PASSWORD, UNKNOWN, USER, Way};
use agnes_e2e::ports;

const ONE: &str = "one@example.com";
const TWO: &str = "two@example.com";

/// A deployment with one fault that comes and goes, and people who are told.
struct Host {
    deployment: Deployment,
}

impl Host {
    /// With a certificate's key that others may read, once [`Host::breaks`].
    fn new(server: &MailServer, tls: &str, to: &str) -> Self {
        let deployment = Deployment::process(ports::free_address())
            .with("SMTP_HOST", "localhost")
            .with("SMTP_PORT", server.port().to_string())
            .with("SMTP_TLS", tls)
            .with("ALERT_EMAIL_TO", to);
        let mut host = Self { deployment };
        let authority = server.authority().display().to_string();
        host.deployment.set_environment("SSL_CERT_FILE", authority);
        if tls != "none" {
            host.deployment.set("SMTP_USER", USER);
            host.deployment.set("SMTP_PASSWORD", PASSWORD);
        }
        host.deployment.ops(&["up"]).exits(0);
        host
    }

    fn key(&self, mode: u32) {
        let key = self.deployment.certs().join("current/privkey.pem");
        std::fs::set_permissions(key, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn breaks(&self) {
        self.key(0o644);
    }

    fn is_mended(&self) {
        self.key(0o600);
    }

    /// One look; of what waits, that of the fault that is ours.
    fn watch(&self) -> (Ran, Vec<String>) {
        let ran = self.deployment.ops(&["watch"]).exits(0);
        assert!(!format!("{}{}", ran.stdout, ran.stderr).contains(PASSWORD));
        let waiting = ran.detail("waiting").as_array().unwrap().iter();
        let waiting = waiting
            .map(|one| one.as_str().unwrap().to_owned())
            .filter(|one| one.contains("tls.key-mode"))
            .collect();
        (ran, waiting)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.deployment.ops(&["down"]);
    }
}

fn header<'a>(mail: &'a str, name: &str) -> &'a str {
    let (head, _) = mail.split_once("\n\n").unwrap();
    let line = head.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in {mail}")).trim()
}

fn of<'a>(mails: &'a [String], to: &str, what: &str) -> Vec<&'a str> {
    let mails = mails.iter().map(String::as_str);
    mails
        .filter(|mail| header(mail, "Envelope-to:") == to)
        .filter(|mail| header(mail, "Subject:").contains(what))
        .collect()
}

#[test]
fn w02_everybody_is_written_once_and_again_when_it_is_over() {
    for (way, tls) in [(Way::Starttls, "starttls"), (Way::Tls, "tls")] {
        let Some(mut server) = MailServer::start(way).unwrap() else {
            return;
        };
        let host = Host::new(&server, tls, &format!("{ONE}, {TWO}"));
        host.watch();
        host.deployment.ops(&["doctor", "alerts.mail"]).exits(0);
        let before = server.mails(0).len();
        // nobody takes it: it waits
        server.stop();
        host.breaks();
        let (_, waiting) = host.watch();
        assert_eq!(waiting.len(), 2, "{waiting:?}");
        server.start_again().unwrap();
        let (_, waiting) = host.watch();
        assert!(waiting.is_empty(), "{waiting:?}");
        host.watch();
        let mails = server.mails(before + 2);
        let mut conversations = Vec::new();
        for to in [ONE, TWO] {
            let told = of(&mails, to, "critical: tls.key-mode");
            assert_eq!(told.len(), 1, "{mails:?}");
            assert!(told[0].contains("next:    chmod 600"), "{}", told[0]);
            assert_eq!(header(told[0], "From:"), "agnes@agnes.example.com");
            assert_eq!(header(told[0], "To:"), to);
            conversations.push(header(told[0], "Message-ID:").to_owned());
        }
        host.is_mended();
        host.watch();
        let mails = server.mails(before + 4);
        for (to, conversation) in [ONE, TWO].iter().zip(&conversations) {
            let over = of(&mails, to, "resolved: tls.key-mode");
            assert_eq!(over.len(), 1, "{mails:?}");
            assert_eq!(header(over[0], "In-Reply-To:"), conversation);
        }
    }
}

#[test]
fn w02_a_person_who_is_refused_keeps_nothing_from_another() {
    let Some(server) = MailServer::start(Way::Clear).unwrap() else {
        return;
    };
    let host = Host::new(&server, "none", &format!("{UNKNOWN}, {ONE}"));
    host.breaks();
    let (_, waiting) = host.watch();
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    assert!(
        waiting[0].starts_with(&format!("email {UNKNOWN}: tls.key-mode"))
            && waiting[0].contains("no such mailbox"),
        "{waiting:?}"
    );
    let mails = server.mails(1);
    assert_eq!(of(&mails, ONE, "critical: tls.key-mode").len(), 1);

    // who is not told for so long is a finding, which the others are told
    let alerts = host.deployment.state().join("ops/alerts");
    for entry in std::fs::read_dir(alerts).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut kept: serde_json::Value = serde_json::from_str(&text).unwrap();
        if let Some(refused) = kept["refused"].as_object_mut() {
            let long_ago = refused.iter_mut().map(|(_, at)| at);
            long_ago.for_each(|at| *at = "2026-01-01T00:00:00Z".into());
        }
        std::fs::write(path, kept.to_string()).unwrap();
    }
    let found = host.deployment.ops(&["doctor", "alerts"]).exits(10);
    let findings = found.detail("findings").as_array().unwrap();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0]["id"], "alerts.undelivered");
    assert_eq!(findings[0]["object"], format!("email {UNKNOWN}"));
    let before = server.mails(1).len();
    host.watch();
    let mails = server.mails(before + 1);
    assert_eq!(of(&mails, ONE, "alerts.undelivered").len(), 1, "{mails:?}");
}

#[test]
fn w02_nothing_is_said_on_a_way_that_is_not_protected() {
    let Some(server) = MailServer::start(Way::Clear).unwrap() else {
        return;
    };
    let found = |host: &Host, why: &str| {
        let ran = host.deployment.ops(&["doctor", "alerts.mail"]).exits(10);
        let evidence = ran.detail("findings")[0]["evidence"].as_str().unwrap();
        assert!(evidence.to_lowercase().contains(why), "{evidence}");
        assert!(!ran.stdout.contains(PASSWORD));
        host.breaks();
        assert_eq!(host.watch().1.len(), 1);
        assert_eq!(server.mails(0).len(), 0);
    };
    // TLS is insisted on, and not offered
    found(&Host::new(&server, "starttls", ONE), "starttls");
    let Some(server) = MailServer::start(Way::Starttls).unwrap() else {
        return;
    };
    // it is somebody else's certificate
    let mut host = Host::new(&server, "starttls", ONE);
    let nobody = host.deployment.dir().join("nobody.pem");
    let authority = agnes_e2e::authority::Authority::root("Example Other CA");
    std::fs::write(&nobody, authority.pem()).unwrap();
    let nobody = nobody.display().to_string();
    host.deployment.set_environment("SSL_CERT_FILE", nobody);
    let ran = host.deployment.ops(&["doctor", "alerts.mail"]).exits(10);
    let evidence = ran.detail("findings")[0]["evidence"].as_str().unwrap();
    assert!(evidence.contains("certificate"), "{evidence}");
    // it is not our password
    let mut host = Host::new(&server, "starttls", ONE);
    host.deployment.set("SMTP_PASSWORD", "another-password");
    let ran = host.deployment.ops(&["doctor", "alerts.mail"]).exits(10);
    let evidence = ran.detail("findings")[0]["evidence"].as_str().unwrap();
    assert!(evidence.contains("535"), "{evidence}");
    assert!(!ran.stdout.contains("another-password"));

    // a password is not for a way in clear that leaves the host
    let wrong = Deployment::new()
        .with("SMTP_HOST", "smtp.example.com")
        .with("SMTP_TLS", "none")
        .with("SMTP_USER", USER)
        .with("SMTP_PASSWORD", PASSWORD);
    let refused = wrong.ops(&["config", "check"]).exits(78);
    assert!(refused.stderr.contains("SMTP_TLS"), "{}", refused.stderr);
    let alone = Deployment::new().with("ALERT_EMAIL_TO", ONE);
    let refused = alone.ops(&["config", "check"]).exits(78);
    assert!(refused.stderr.contains("SMTP_HOST"), "{}", refused.stderr);
}

#[test]
fn t12_a_mail_server_that_speaks_a_byte_a_second_keeps_no_look_waiting() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            std::thread::spawn(move || {
                while stream.write_all(b"2").is_ok() {
                    std::thread::sleep(Duration::from_secs(1));
                }
            });
        }
    });
    let deployment = Deployment::process(ports::free_address())
        .with("SMTP_HOST", "127.0.0.1")
        .with("SMTP_PORT", port.to_string())
        .with("ALERT_EMAIL_TO", ONE);
    let begun = Instant::now();
    let ran = deployment.ops(&["doctor", "alerts.mail"]).exits(10);
    let evidence = ran.detail("findings")[0]["evidence"].as_str().unwrap();
    assert!(evidence.contains("no answer in 20 s"), "{evidence}");
    assert!(begun.elapsed() < Duration::from_secs(40));
}
