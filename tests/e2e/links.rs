//! A05: links that are mailed, through a real mail server: the same answer for everybody, one use, nothing in a log.

use std::time::{Duration, Instant};

use agnes_e2e::api::{ADMIN, Caller, PASSWORD, Reply};
use agnes_e2e::deployment::Deployment;
use agnes_e2e::mail_server::{MailServer, PASSWORD as MAIL_PASSWORD, UNKNOWN, USER, Way};
use agnes_e2e::ports;
use serde_json::{Value, json};

const PUBLIC: &str = "https://agnes.example.com:8443";
const ANOTHER: &str = "another correct horse battery";

/// A server of this host that sends mail, and an administrator.
struct Host {
    deployment: Deployment,
    anyone: Caller,
    admin: Caller,
}

impl Host {
    fn new(mail: Option<&MailServer>) -> Self {
        let address = ports::free_address();
        let mut deployment = Deployment::process(address)
            .with("PUBLIC_URL", PUBLIC)
            .with("AGNES_LIMIT_UNAUTHENTICATED_PER_MIN", "0");
        if let Some(mail) = mail {
            for (key, value) in [
                ("SMTP_HOST", "localhost"),
                ("SMTP_PORT", &mail.port().to_string()),
                ("SMTP_TLS", "starttls"),
                ("SMTP_USER", USER),
                ("SMTP_PASSWORD", MAIL_PASSWORD),
            ] {
                deployment.set(key, value);
            }
            let authority = mail.authority().display().to_string();
            deployment.set_environment("SSL_CERT_FILE", authority);
        }
        deployment.ops(&["up"]).exits(0);
        let anyone = Caller::of(address);
        let admin = anyone.first_admin();
        Self {
            deployment,
            anyone,
            admin,
        }
    }

    fn log(&self) -> String {
        let log = self.deployment.state().join("ops/agnesd.log");
        std::fs::read_to_string(log).unwrap()
    }

    fn audit(&self, action: &str) -> Vec<Value> {
        let page = self.admin.get(&format!("/api/audit?action={action}"));
        let items = page.body["items"].as_array();
        items.unwrap_or_else(|| panic!("{page:?}")).clone()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.deployment.ops(&["down"]);
    }
}

fn is_accepted(reply: &Reply) {
    assert_eq!(reply.status, 202, "{}", reply.body);
    assert_eq!(reply.body, json!({"status": "accepted"}));
}

/// What stands in the link of a mail to this address, and the path of the link.
fn link(mails: &[String], to: &str) -> (String, String) {
    let mails: Vec<_> = mails
        .iter()
        .filter(|mail| mail.contains(&format!("Envelope-to: {to}\n")))
        .collect();
    let links: Vec<_> = mails
        .iter()
        .flat_map(|mail| mail.lines())
        .filter_map(|line| line.strip_prefix(PUBLIC))
        .collect();
    let [one] = links.as_slice() else {
        panic!("{links:?} in {mails:?}")
    };
    let (path, token) = one.split_once("#token=").unwrap();
    assert_eq!(token.trim().len(), 64, "{token}");
    (path.to_owned(), token.trim().to_owned())
}

/// The same call a hundred times at once: what each was answered.
fn a_hundred(anyone: &Caller, path: &str, body: &Value) -> Vec<u16> {
    std::thread::scope(|scope| {
        let tries: Vec<_> = (0..100)
            .map(|_| scope.spawn(|| anyone.post(path, body).status))
            .collect();
        tries.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

fn until(what: impl Fn() -> bool) {
    let began = Instant::now();
    while !what() {
        assert!(began.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a05_a_mailed_link_signs_in_once_and_looking_at_it_uses_nothing_up() {
    let Some(mail) = MailServer::start(Way::Starttls).unwrap() else {
        return;
    };
    let host = Host::new(Some(&mail));
    let asked = json!({"email": "Admin@Example.com"});
    is_accepted(&host.anyone.post("/auth/magic/request", &asked));
    // nobody has it, and nobody is told
    is_accepted(
        &host
            .anyone
            .post("/auth/magic/request", &json!({"email": "who@example.com"})),
    );
    is_accepted(
        &host
            .anyone
            .post("/auth/magic/request", &json!({"email": "no address"})),
    );
    let mails = mail.mails(1);
    let (path, token) = link(&mails, ADMIN);
    assert_eq!(path, "/auth/magic/verify");
    // a scanner looks, with and without what stands behind the #
    for look in ["", &format!("?token={token}")] {
        let page = host.anyone.get(&format!("{path}{look}")).is(200);
        assert!(
            page.body.as_str().unwrap().contains("<form"),
            "{}",
            page.body
        );
        assert!(!page.body.as_str().unwrap().contains(&token));
    }
    let uses = a_hundred(&host.anyone, "/auth/magic/verify", &json!({"token": token}));
    assert_eq!(
        uses.iter().filter(|status| **status == 200).count(),
        1,
        "{uses:?}"
    );
    assert_eq!(
        uses.iter().filter(|status| **status == 401).count(),
        99,
        "{uses:?}"
    );
    // no mail for who is not there, and the secret is nowhere
    assert_eq!(mail.mails(1).len(), 1);
    let audit = host.admin.get("/api/audit").is(200).body.to_string();
    for place in [host.log(), audit] {
        assert!(!place.contains(&token));
        assert!(!place.contains(MAIL_PASSWORD));
    }
    let issued = host.audit("sign_in_link.issued");
    assert_eq!(issued.len(), 1, "{issued:?}");
    assert_eq!(issued[0]["resource"], format!("user:{ADMIN}"));
}

#[test]
fn a05_of_a_hundred_resets_one_wins_and_everything_signed_in_before_ends() {
    let Some(mail) = MailServer::start(Way::Starttls).unwrap() else {
        return;
    };
    let host = Host::new(Some(&mail));
    let form = json!({"email": "one@example.com", "password": PASSWORD});
    host.admin.post("/api/users", &form).is(201);
    let before = host.anyone.signed_in("one@example.com");
    is_accepted(
        &host
            .anyone
            .post("/auth/reset/request", &json!({"email": "one@example.com"})),
    );
    let (path, token) = link(&mail.mails(1), "one@example.com");
    assert_eq!(path, "/auth/reset/confirm");
    assert!(
        host.anyone
            .get(&path)
            .is(200)
            .body
            .as_str()
            .unwrap()
            .contains("New password")
    );
    // a link for one purpose does nothing else; a bad password leaves it
    host.anyone
        .post("/auth/magic/verify", &json!({"token": token}))
        .is(401);
    host.anyone
        .post(
            "/auth/reset/confirm",
            &json!({"token": token, "password": "short"}),
        )
        .is(422);
    host.anyone
        .post(
            "/auth/reset/confirm",
            &json!({"token": "made up", "password": ANOTHER}),
        )
        .is(401);
    let confirm = json!({"token": token, "password": ANOTHER});
    let uses = a_hundred(&host.anyone, "/auth/reset/confirm", &confirm);
    assert_eq!(
        uses.iter().filter(|status| **status == 204).count(),
        1,
        "{uses:?}"
    );
    assert!(
        uses.iter().all(|status| [204, 401, 503].contains(status)),
        "{uses:?}"
    );
    before.get("/api/me").is(401);
    host.anyone.sign_in("one@example.com").is(401);
    let with = json!({"email": "one@example.com", "password": ANOTHER});
    host.anyone.post("/auth/token", &with).is(200);
    assert_eq!(host.audit("user.password_reset").len(), 1);
    assert!(!host.log().contains(&token));
}

#[test]
fn a05_the_link_leads_where_the_settings_say_whatever_host_was_asked() {
    let Some(mail) = MailServer::start(Way::Starttls).unwrap() else {
        return;
    };
    let host = Host::new(Some(&mail));
    let asked = host.anyone.with_header("host", "evil.example.net");
    let asked = asked.with_header("x-forwarded-host", "evil.example.net");
    is_accepted(&asked.post("/auth/magic/request", &json!({"email": ADMIN})));
    let mails = mail.mails(1);
    link(&mails, ADMIN);
    assert!(!mails[0].contains("evil.example.net"), "{}", mails[0]);
}

#[test]
fn a05_letters_to_one_address_are_few_and_none_ends_an_earlier_link() {
    let Some(mail) = MailServer::start(Way::Starttls).unwrap() else {
        return;
    };
    let host = Host::new(Some(&mail));
    for _ in 0..10 {
        is_accepted(
            &host
                .anyone
                .post("/auth/magic/request", &json!({"email": ADMIN})),
        );
    }
    until(|| host.audit("sign_in_link.issued").len() == 3);
    let mails = mail.mails(3);
    assert_eq!(mails.len(), 3);
    for letter in &mails {
        let (_, token) = link(std::slice::from_ref(letter), ADMIN);
        host.anyone
            .post("/auth/magic/verify", &json!({"token": token}))
            .is(200);
    }
    assert_eq!(host.audit("sign_in_link.issued").len(), 3);
}

#[test]
fn w02_a_letter_that_no_server_takes_is_the_operators_to_know_and_not_the_callers() {
    let Some(mut mail) = MailServer::start(Way::Starttls).unwrap() else {
        return;
    };
    let host = Host::new(Some(&mail));
    let form = json!({"email": UNKNOWN, "password": PASSWORD});
    host.admin.post("/api/users", &form).is(201);
    let health =
        || host.admin.get("/api/health/detailed").body["services"]["mail"]["status"].clone();
    assert_eq!(health(), "ok");
    // refused for good
    is_accepted(
        &host
            .anyone
            .post("/auth/magic/request", &json!({"email": UNKNOWN})),
    );
    until(|| !host.audit("mail.failed").is_empty());
    let failed = &host.audit("mail.failed")[0];
    assert_eq!(failed["outcome"], "failure");
    assert_eq!(failed["resource"], format!("user:{UNKNOWN}"));
    assert!(
        failed["metadata"]["why"]
            .as_str()
            .unwrap()
            .contains("no such mailbox"),
        "{failed}"
    );
    assert!(host.log().contains("no letter was sent"));
    assert_eq!(health(), "degraded");
    let told = host.deployment.ops(&["doctor", "server.sign-in"]).exits(10);
    assert!(told.stdout.contains("the last letter"), "{}", told.stdout);
    // away for a moment: tried again, and then it came
    mail.stop();
    is_accepted(
        &host
            .anyone
            .post("/auth/magic/request", &json!({"email": ADMIN})),
    );
    until(|| host.log().contains("tried again in"));
    mail.start_again().unwrap();
    let (_, token) = link(&mail.mails(1), ADMIN);
    host.anyone
        .post("/auth/magic/verify", &json!({"token": token}))
        .is(200);
    until(|| health() == "ok");
    host.deployment.ops(&["doctor", "server.sign-in"]).exits(0);
}

#[test]
fn a_mail_server_that_is_set_later_and_its_next_password_are_taken_up() {
    let Some(mail) = MailServer::start(Way::Starttls).unwrap() else {
        return;
    };
    let mut host = Host::new(None);
    let authority = mail.authority().display().to_string();
    host.deployment.set_environment("SSL_CERT_FILE", authority);
    // as somebody does with an editor: the keys that are there stay
    let file = host.deployment.dir().join(".env");
    let before = std::fs::read_to_string(&file).unwrap();
    let write = |password: &str| {
        let port = mail.port();
        let more = format!(
            "SMTP_HOST=localhost\nSMTP_PORT={port}\nSMTP_TLS=starttls\nSMTP_USER={USER}\nSMTP_PASSWORD={password}\n"
        );
        std::fs::write(&file, format!("{before}\n{more}")).unwrap();
    };
    write("not-the-one");
    host.deployment
        .ops(&["up"])
        .exits(0)
        .with_outcome("changed");
    is_accepted(
        &host
            .anyone
            .post("/auth/magic/request", &json!({"email": ADMIN})),
    );
    until(|| !host.audit("mail.failed").is_empty());
    write(MAIL_PASSWORD);
    let pid = std::fs::read_to_string(host.deployment.state().join("agnesd.pid")).unwrap();
    let server = nix::unistd::Pid::from_raw(pid.trim().parse().unwrap());
    nix::sys::signal::kill(server, nix::sys::signal::Signal::SIGHUP).unwrap();
    until(|| {
        let reloads = host.audit("keys.reloaded");
        reloads
            .iter()
            .any(|row| row["metadata"]["changed"] == json!(["smtp"]))
    });
    is_accepted(
        &host
            .anyone
            .post("/auth/magic/request", &json!({"email": ADMIN})),
    );
    let (_, token) = link(&mail.mails(1), ADMIN);
    host.anyone
        .post("/auth/magic/verify", &json!({"token": token}))
        .is(200);
}

#[test]
fn a04_who_signs_in_by_mail_is_an_administrator_who_can_and_bootstrap_is_closed_for_good() {
    let Some(mail) = MailServer::start(Way::Clear).unwrap() else {
        return;
    };
    let address = ports::free_address();
    let deployment = Deployment::process(address)
        .with("PUBLIC_URL", PUBLIC)
        .with("SEED_ADMIN_EMAIL", ADMIN)
        .with("SMTP_HOST", "localhost")
        .with("SMTP_TLS", "none")
        .with("SMTP_PORT", mail.port().to_string());
    deployment.ops(&["up"]).exits(0);
    let anyone = Caller::of(address);
    is_accepted(&anyone.post("/auth/magic/request", &json!({"email": ADMIN})));
    let (_, token) = link(&mail.mails(1), ADMIN);
    let signed = anyone
        .post("/auth/magic/verify", &json!({"token": token}))
        .is(200);
    let admin = anyone.bearing(&signed.text("access_token"));
    assert_eq!(admin.get("/api/me").is(200).body["admin"], true);
    let form = json!({"email": ADMIN, "password": PASSWORD});
    for _ in 0..2 {
        anyone.post("/auth/bootstrap", &form).is(409);
        // also when nobody is signed in, and after a start
        admin.post("/auth/logout-all", &json!({}));
        deployment.ops(&["down"]).exits(0);
        deployment.ops(&["up"]).exits(0);
    }
    deployment.ops(&["down"]);
}

#[test]
fn a08_a_changed_password_ends_every_link() {
    let Some(mail) = MailServer::start(Way::Starttls).unwrap() else {
        return;
    };
    let host = Host::new(Some(&mail));
    is_accepted(
        &host
            .anyone
            .post("/auth/magic/request", &json!({"email": ADMIN})),
    );
    is_accepted(
        &host
            .anyone
            .post("/auth/reset/request", &json!({"email": ADMIN})),
    );
    let mails = mail.mails(2);
    let change = json!({"current_password": PASSWORD, "new_password": ANOTHER});
    host.admin.post("/auth/password", &change).is(204);
    for letter in &mails {
        let (path, token) = link(std::slice::from_ref(letter), ADMIN);
        let body = json!({"token": token, "password": "a third correct horse"});
        host.anyone.post(&path, &body).is(401);
    }
}

#[test]
fn a05_without_a_mail_server_the_answer_is_the_same() {
    let host = Host::new(None);
    is_accepted(
        &host
            .anyone
            .post("/auth/magic/request", &json!({"email": ADMIN})),
    );
    is_accepted(
        &host
            .anyone
            .post("/auth/reset/request", &json!({"email": ADMIN})),
    );
    assert!(host.audit("sign_in_link.issued").is_empty());
    assert_eq!(
        host.admin.get("/api/health/detailed").body["services"]["mail"]["status"],
        "off"
    );
}
