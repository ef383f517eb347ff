//! W02, W03: what is wrong is told until somebody takes it, once, and again when it is over; all is well is told to whoever waits outside.

mod changes;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use agnes_e2e::components::require;
use serde_json::Value;

use crate::doctor::Well;

/// Takes what chats take: a POST of JSON, answered with a status; and asks for a heartbeat.
struct Receiver {
    port: u16,
    status: Arc<AtomicU16>,
    taken: Arc<Mutex<Vec<(String, Value)>>>,
    stop: Arc<AtomicBool>,
    serves: Option<std::thread::JoinHandle<()>>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let status = Arc::new(AtomicU16::new(200));
        let taken = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (answers, seen, stops) = (status.clone(), taken.clone(), stop.clone());
        let serves = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stops.load(Ordering::SeqCst) {
                    return;
                }
                let mut stream = stream.unwrap();
                let mut said = Vec::new();
                let mut piece = [0; 4096];
                loop {
                    let text = String::from_utf8_lossy(&said).to_lowercase();
                    if let Some((head, body)) = text.split_once("\r\n\r\n") {
                        let length = head.split("content-length: ").nth(1).unwrap_or("0");
                        let length: usize = length.lines().next().unwrap().trim().parse().unwrap();
                        if body.len() >= length {
                            break;
                        }
                    }
                    match stream.read(&mut piece) {
                        Ok(read) if read > 0 => said.extend(&piece[..read]),
                        _ => break,
                    }
                }
                let said = String::from_utf8(said).unwrap();
                let (head, body) = said.split_once("\r\n\r\n").unwrap();
                let path = head.split(' ').nth(1).unwrap().to_owned();
                let status = answers.load(Ordering::SeqCst);
                if status == 200 {
                    let body = serde_json::from_str(body).unwrap_or_default();
                    seen.lock().unwrap().push((path, body));
                }
                write!(
                    stream,
                    "HTTP/1.1 {status} Status\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )
                .unwrap();
            }
        });
        Self {
            port,
            status,
            taken,
            stop,
            serves: Some(serves),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// What came since the last time, by path.
    fn took(&self, path: &str) -> Vec<Value> {
        let mut taken = self.taken.lock().unwrap();
        let (these, others) = taken.drain(..).partition(|(at, _)| at == path);
        *taken = others;
        let these: Vec<(String, Value)> = these;
        these.into_iter().map(|(_, body)| body).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = std::net::TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.serves.take().unwrap().join();
    }
}

#[test]
fn w02_a_finding_is_told_until_it_is_taken_once_and_again_when_it_is_over() {
    let well = Well::new();
    let receiver = Receiver::start();
    well.env("ALERT_WEBHOOK_URL", &receiver.url("chat?token=hunter2"));
    well.env("ALERT_JSON_URL", &receiver.url("json"));
    well.env("HEARTBEAT_URL", &receiver.url("beat"));
    let watch = || well.ops(&["watch"]).exits(0);
    let chat = "/chat?token=hunter2";

    watch();
    assert_eq!(receiver.took("/beat").len(), 1);
    assert!(receiver.took(chat).is_empty());

    // nobody takes it: it waits, and is no reason to fail
    let current = std::fs::canonicalize(well.deployment.state().join("certs/current")).unwrap();
    let key = current.join("privkey.pem");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    receiver.status.store(503, Ordering::SeqCst);
    let waits = watch();
    assert_eq!(waits.detail("delivered"), 0);
    assert_eq!(
        waits.json["details"]["waiting"].as_array().unwrap().len(),
        2
    );
    let said = format!("{}{}", waits.stdout, waits.stderr);
    assert!(!said.contains("hunter2"), "{said}");

    receiver.status.store(200, Ordering::SeqCst);
    assert_eq!(watch().detail("delivered"), 2);
    let told = receiver.took(chat);
    assert_eq!(told.len(), 1);
    let text = told[0]["text"].as_str().unwrap();
    assert!(
        text.contains("critical: tls.key-mode") && text.contains("next: chmod 600"),
        "{text}"
    );
    let told = receiver.took("/json");
    assert_eq!(
        (&told[0]["state"], &told[0]["id"]),
        (&"open".into(), &"tls.key-mode".into())
    );
    assert!(receiver.took("/beat").is_empty(), "all is not well");
    // once
    assert_eq!(watch().detail("delivered"), 0);
    assert!(receiver.took(chat).is_empty());

    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let over = watch();
    assert_eq!(
        (over.detail("resolved"), over.detail("delivered")),
        (&1.into(), &2.into())
    );
    assert!(
        receiver.took(chat)[0]["text"]
            .as_str()
            .unwrap()
            .contains("resolved: tls.key-mode")
    );
    assert_eq!(receiver.took("/json")[0]["state"], "resolved");
    assert_eq!(receiver.took("/beat").len(), 1);

    // what a unit left, and this look cannot judge, is not over: nobody is told that all is well
    receiver.took("/beat");
    well.ops(&["alert", "agnes-test.service"]).exits(0);
    let text = agnes_e2e::deployment::run(well.deployment.command(&["watch"]));
    assert!(
        text.stdout
            .contains("units.failed: agnes-test.service still open"),
        "{}",
        text.stdout
    );
    assert!(receiver.took("/beat").is_empty());
    receiver.took(chat);

    // two looks at once are one
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(watch);
        }
    });
    assert_eq!(receiver.took(chat).len(), 1);
}

#[test]
fn w03_a_collector_reads_when_something_last_had_an_effect() {
    let Some(promtool) = require("promtool") else {
        return;
    };
    let well = Well::new();
    well.ops(&["snapshot", "drill"]).exits(0);
    well.ops(&["watch"]).exits(0);
    let page = well.deployment.state().join("ops/metrics/agnes_ops.prom");
    let text = std::fs::read_to_string(&page).unwrap();
    let checked = std::process::Command::new("sh")
        .args(["-c", "\"$0\" check metrics <\"$1\""])
        .arg(promtool)
        .arg(&page)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&checked.stderr);
    // days are what people count; the same is there in seconds too
    let objections = said
        .lines()
        .filter(|line| !line.starts_with("agnes_ops_certificate_days use"));
    assert_eq!(objections.count(), 0, "{said}{text}");
    for name in [
        "agnes_ops_watch_timestamp_seconds ",
        "agnes_ops_certificate_days ",
        "agnes_ops_certificate_end_timestamp_seconds ",
        "agnes_ops_snapshot_age_seconds ",
        "agnes_ops_snapshot_proven_age_seconds ",
        "agnes_ops_restore_rto_seconds ",
        "agnes_ops_alerts_waiting 0",
        "agnes_ops_last_effect_timestamp_seconds{command=\"snapshot-create\"} ",
        "agnes_ops_last_success_timestamp_seconds{command=\"tls-rotate\"} ",
    ] {
        assert!(text.contains(name), "{name}: {text}");
    }
    // a run that fails is the last one, and not the last that went well
    let of = |text: &str, name: &str| -> i64 {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let success = "agnes_ops_last_success_timestamp_seconds{command=\"tls-rotate\"}";
    let before = of(&text, success);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    std::fs::write(well.deployment.published(), "junk").unwrap();
    well.ops(&["tls", "rotate"]).exits(1);
    well.ops(&["watch"]).exits(0);
    let text = std::fs::read_to_string(&page).unwrap();
    assert_eq!(of(&text, success), before);
    assert!(
        of(
            &text,
            "agnes_ops_last_run_timestamp_seconds{command=\"tls-rotate\"}"
        ) > before
    );
    assert!(
        text.contains("agnes_ops_findings{id=\"tls.failed\",severity=\"warning\"} 1"),
        "{text}"
    );
}
