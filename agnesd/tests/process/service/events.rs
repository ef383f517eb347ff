//! Events over a WebSocket: what happens is told as it happens, to whom it may be shown, and nobody holds anybody up.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::tungstenite::{Error, http::HeaderValue};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::client::{ADMIN, Caller, PASSWORD, SCHEDULER, member, started, started_with};
use super::control::Control;
use crate::pki::Pki;
use crate::server::{PATIENCE, Place, Server};

struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// The status of a handshake that is refused.
async fn opened(server: &Server, headers: &[(&'static str, &str)]) -> Result<Socket, u16> {
    let url = format!("ws://{}/api/events", server.http);
    let mut request = url.into_client_request().unwrap();
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).unwrap();
        request.headers_mut().insert(*name, value);
    }
    match connect_async(request).await {
        Ok((socket, _)) => Ok(Socket(socket)),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(other) => panic!("{other}"),
    }
}

async fn watching(server: &Server, token: &str) -> Socket {
    let bearer = format!("Bearer {token}");
    let mut socket = opened(server, &[("authorization", &bearer)])
        .await
        .unwrap_or_else(|status| panic!("{status}"));
    assert_eq!(socket.next().await["type"], "hello");
    socket
}

impl Socket {
    /// What comes next; the code, when it is the end.
    async fn try_next(&mut self) -> Result<Value, Option<u16>> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.0.next()).await.unwrap();
            match next {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => return Err(frame.map(|frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    async fn next(&mut self) -> Value {
        self.try_next()
            .await
            .unwrap_or_else(|code| panic!("closed: {code:?}"))
    }

    /// The next one of this kind.
    async fn until(&mut self, kind: &str) -> Value {
        loop {
            let event = self.next().await;
            if event["type"] == kind {
                return event;
            }
        }
    }

    async fn end(&mut self) -> Option<u16> {
        loop {
            if let Err(code) = self.try_next().await {
                return code;
            }
        }
    }
}

async fn token(anyone: &Caller, email: &str) -> String {
    anyone.sign_in(email, PASSWORD).await.text("access_token")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_told_as_it_happens_to_whom_it_may_be_shown() {
    let place = Place::new();
    let (server, anyone, admin) = started(&place).await;
    member(&admin, &anyone, "one@example.com").await;
    let mut all = watching(&server, &token(&anyone, ADMIN).await).await;
    let mut few = watching(&server, &token(&anyone, "one@example.com").await).await;
    let mut jobs = watching(&server, SCHEDULER).await;
    let form = json!({"email": "two@example.com", "password": PASSWORD});
    admin.post("/api/users", form).await;
    let event = loop {
        let event = all.until("audit").await;
        if event["action"] == "user.created" {
            break event;
        }
    };
    assert_eq!(event["resource"], "user:two@example.com");
    assert_eq!(event["actor"], ADMIN);
    let row = &admin.audit("user.created").await[0];
    for field in [
        "id",
        "at",
        "actor",
        "outcome",
        "ip",
        "request_id",
        "count",
        "metadata",
    ] {
        assert_eq!(event[field], row[field], "{field}");
    }
    admin.post("/api/jobs/self-check/run", json!({})).await;
    let (began, ended) = (jobs.next().await, jobs.next().await);
    assert_eq!(
        (&began["job"], &began["what"], &began["outcome"]),
        (&json!("self-check"), &json!("began"), &Value::Null)
    );
    assert_eq!(
        (&ended["what"], &ended["outcome"]),
        (&json!("ended"), &json!("success"))
    );
    assert_eq!(all.until("job").await["job"], "self-check");
    let control = Control::of(&place);
    control.post("/v1/writes/hold", json!({"id": "x"})).await;
    control.post("/v1/writes/release", json!({"id": "x"})).await;
    // neither rows nor jobs came before
    for socket in [&mut few, &mut jobs] {
        for what in ["writes-held", "writes-released"] {
            let event = socket.next().await;
            assert_eq!(
                (&event["type"], &event["what"]),
                (&json!("upgrade"), &json!(what))
            );
        }
    }
    assert!(!server.log().contains("events:"), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_certificate_is_told_whoever_serves_it() {
    let (place, pki) = (Place::new(), Pki::new());
    let pairs = [pki.pair(), pki.pair(), pki.pair()];
    place.install(1, &pairs[0]);
    let (server, anyone, _) = started(&place).await;
    let mut socket = watching(&server, &token(&anyone, ADMIN).await).await;
    place.install(2, &pairs[1]);
    let event = socket.until("certificate").await;
    assert_eq!(event["what"], "installed");
    assert_eq!(event["sha256"], pairs[1].sha256);
    drop(server);
    let (server, anyone, _) = {
        let server = place.start_with(|command| {
            super::client::usual(command);
            command.env("AGNES_TLS_LISTEN", "127.0.0.1:0");
        });
        let anyone = Caller::of(&server);
        (server, anyone.clone(), ())
    };
    let mut socket = watching(&server, &token(&anyone, ADMIN).await).await;
    place.install(3, &pairs[2]);
    server.signal(nix::sys::signal::Signal::SIGUSR1);
    let event = socket.until("certificate").await;
    assert_eq!(
        (&event["what"], &event["sha256"]),
        (&json!("taken-up"), &json!(pairs[2].sha256))
    );
    place.install_bytes(4, "junk", "junk");
    server.signal(nix::sys::signal::Signal::SIGUSR1);
    let event = socket.until("certificate").await;
    assert_eq!(
        (&event["what"], &event["sha256"]),
        (&json!("refused"), &json!(pairs[2].sha256))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_watches_without_a_credential_or_from_another_sites_page() {
    let place = Place::new();
    let (server, anyone, admin) = started(&place).await;
    assert_eq!(opened(&server, &[]).await.err(), Some(401));
    assert_eq!(
        opened(&server, &[("authorization", "Bearer x")])
            .await
            .err(),
        Some(401)
    );
    assert_eq!(admin.get("/api/events").await.status, 400);
    let form = "email=admin%40example.com&password=correct%20horse%20battery%20staple";
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let signed = client
        .post(format!("http://{}/login", server.http))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form)
        .send()
        .await
        .unwrap();
    let cookie = signed.headers()["set-cookie"]
        .to_str()
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let ours = format!("http://{}", server.http);
    for (origin, want) in [
        (Some("https://evil.example.net"), Some(403)),
        (None, Some(403)),
        (Some(&*ours), None),
    ] {
        let mut headers = vec![("cookie", cookie.as_str())];
        headers.extend(origin.map(|origin| ("origin", origin)));
        assert_eq!(opened(&server, &headers).await.err(), want, "{origin:?}");
    }
    drop(anyone);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_talks_too_much_or_is_shut_out_is_cut_off_and_a_stop_says_so() {
    let place = Place::new();
    let (mut server, anyone, admin) = started(&place).await;
    let mut talker = watching(&server, &token(&anyone, ADMIN).await).await;
    for _ in 0..30 {
        talker.0.send(Message::text("x")).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(1100)).await;
    talker.0.send(Message::text("x")).await.unwrap();
    admin.post("/api/jobs/self-check/run", json!({})).await;
    talker.until("job").await;
    for _ in 0..40 {
        // it may be closed in the middle of it
        let _ = talker.0.send(Message::text("x")).await;
    }
    assert_eq!(talker.end().await, Some(1008));
    let mut long = watching(&server, &token(&anyone, ADMIN).await).await;
    let _ = long.0.send(Message::text("x".repeat(5000))).await;
    assert!(long.end().await.is_none_or(|code| code == 1009));
    // A08
    member(&admin, &anyone, "one@example.com").await;
    let mut out = watching(&server, &token(&anyone, "one@example.com").await).await;
    admin
        .post("/api/users/one@example.com/disable", json!({}))
        .await;
    assert_eq!(out.end().await, Some(4401));
    let mut left = watching(&server, &token(&anyone, ADMIN).await).await;
    server.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(left.end().await, Some(1001));
    assert_eq!(server.wait(PATIENCE).code(), Some(0), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_takes_all_places_and_frames_without_end_are_cut() {
    let place = Place::new();
    let (server, anyone, admin) = started(&place).await;
    member(&admin, &anyone, "one@example.com").await;
    let greedy = token(&anyone, "one@example.com").await;
    let mut all = Vec::new();
    for _ in 0..32 {
        all.push(watching(&server, &greedy).await);
    }
    let bearer = format!("Bearer {greedy}");
    assert_eq!(
        opened(&server, &[("authorization", &bearer)]).await.err(),
        Some(503)
    );
    watching(&server, &token(&anyone, ADMIN).await).await;
    drop(all);
    // an opening frame of a text, and then continuations that carry nothing and never end
    let admin_token = token(&anyone, ADMIN).await;
    let address = server.http;
    let cut = tokio::task::spawn_blocking(move || {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        write!(
            stream,
            "GET /api/events HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {admin_token}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"HTTP/1.1 101");
        stream.write_all(&[0x01, 0x80, 0, 0, 0, 0]).unwrap();
        let nothing = [0x00, 0x80, 0, 0, 0, 0].repeat(1000);
        let began = std::time::Instant::now();
        while began.elapsed() < PATIENCE {
            if stream.write_all(&nothing).is_err() {
                return true;
            }
        }
        false
    });
    assert!(cut.await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_is_dropped_and_the_others_miss_nothing() {
    let place = Place::new();
    let (server, anyone, admin) = started_with(&place, |command| {
        command.env("METRICS_ADDR", "127.0.0.1:0");
    })
    .await;
    let slow = reads_nothing(&server, &token(&anyone, ADMIN).await).await;
    let mut quick = watching(&server, &token(&anyone, ADMIN).await).await;
    let counted = tokio::spawn(async move {
        let mut seen = 0;
        while seen < 8000 {
            if quick.until("audit").await["action"] == "group.created" {
                seen += 1;
            }
        }
    });
    // large enough together that no buffer of the kernel takes all of it
    let name = "x".repeat(90);
    let mut calls = tokio::task::JoinSet::new();
    for caller in 0..10 {
        let (admin, name) = (
            admin.with_header("user-agent", &"y".repeat(250)),
            name.clone(),
        );
        calls.spawn(async move {
            for n in 0..800 {
                let body =
                    json!({"name": format!("{caller}-{n}-{name}"), "external_id": "z".repeat(250)});
                assert_eq!(admin.post("/api/groups", body).await.status, 201);
            }
        });
    }
    calls.join_all().await;
    tokio::time::timeout(PATIENCE, counted)
        .await
        .unwrap()
        .unwrap();
    let began = std::time::Instant::now();
    let dropped = "agnes_ws_closed_total{reason=\"slow\"} 1";
    loop {
        let metrics = metrics(&place).await;
        if metrics.contains(dropped) {
            break assert!(metrics.contains("agnes_ws_connections 0"), "{metrics}");
        }
        assert!(began.elapsed() < PATIENCE, "{metrics}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(slow);
}

/// A client whose kernel takes little, and which takes nothing from it.
async fn reads_nothing(server: &Server, token: &str) -> WebSocketStream<TcpStream> {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(server.http).await.unwrap();
    let url = format!("ws://{}/api/events", server.http);
    let mut request = url.into_client_request().unwrap();
    let bearer = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    request.headers_mut().insert("authorization", bearer);
    let (socket, _) = tokio_tungstenite::client_async(request, stream)
        .await
        .unwrap();
    socket
}

async fn metrics(place: &Place) -> String {
    let (_, state) = Control::of(place).get("/v1/state").await;
    let all = state["listeners"].as_array().unwrap();
    let scraped = all.iter().find(|one| one["serves"] == "metrics").unwrap();
    let url = format!("http://{}/metrics", scraped["address"].as_str().unwrap());
    reqwest::get(url).await.unwrap().text().await.unwrap()
}
