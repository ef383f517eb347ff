//! Files that are not taken: why is said, and nothing of them is left.

use super::super::client;
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_name_or_a_form_that_is_none_is_refused_and_leaves_nothing() {
    let place = Place::new();
    let (server, _, _) = started(&place).await;
    let raw = Raw::of(&server, ADMIN).await;
    let long = "a".repeat(129);
    for name in [
        "",
        ".",
        "..",
        "..%2fx",
        "%2e%2e%2fx",
        "..%252fx",
        "a%00",
        "a%2fb",
        "a%5cb",
        ".x",
        "-x",
        "a+b",
        "a%0ab",
        "%c3%a4",
        &long,
    ] {
        let refused = raw.bring(name, b"x");
        assert_eq!(refused.status, 422, "{name}: {refused:?}");
        assert_eq!(refused.json()["reason"], "bad-name", "{name}");
    }
    assert_eq!(raw.bring("%ff", b"x").status, 422);
    for name in ["", "../x", "/etc/passwd", "a\0", "..\\\\x", &long] {
        let refused = raw.bring_form(&form(&file_head(name), b"x"));
        assert!(
            [400, 422].contains(&refused.status),
            "{name:?}: {refused:?}"
        );
    }
    let no_name = raw.ask("POST", "/api/uploads", OCTETS, b"x");
    assert_eq!(no_name.status, 422, "{no_name:?}");
    let unknown = raw.ask("POST", "/api/uploads?name=a&nmae=b", OCTETS, b"x");
    assert_eq!(unknown.status, 400, "{unknown:?}");
    let other = raw.ask(
        "POST",
        "/api/uploads?name=a",
        "Content-Type: text/csv\r\n",
        b"x",
    );
    assert_eq!(other.status, 415, "{other:?}");

    let two = [form(&file_head("a"), b"x"), form(&file_head("b"), b"y")].concat();
    let two = String::from_utf8(two)
        .unwrap()
        .replacen("--XX--\r\n", "", 1);
    let text_alone = form("Content-Disposition: form-data; name=\"a\"", b"x");
    let cut_off = &form(&file_head("a"), b"x")[..60];
    let cut_at_end = form(&file_head("a"), b"x");
    let cut_at_end = &cut_at_end[..cut_at_end.len() - 4];
    let mut endless_head = b"--XX\r\n".to_vec();
    endless_head.extend(b"A: ".repeat(300_000));
    let many = form(
        "Content-Disposition: form-data; name=\"a\"",
        &[b'x'; 40_000],
    );
    for (what, form, status) in [
        ("two files", two.as_bytes(), 422),
        ("no file", &text_alone, 422),
        ("nothing", b"", 400),
        ("no boundary", b"hello", 400),
        ("cut off in its head", cut_off, 400),
        ("cut off at its end", cut_at_end, 400),
        ("a head without an end", &endless_head, 400),
        ("too much beside the file", &many, 400),
    ] {
        let kind = "Content-Type: multipart/form-data; boundary=XX\r\n";
        let headers = format!("Content-Length: {}\r\n{kind}", form.len());
        let mut stream = raw.begin("POST", "/api/uploads", &headers);
        // it may have been refused before all was sent
        let _ = stream.write_all(form);
        match answer(&mut stream) {
            Ok(refused) => assert_eq!(refused.status, status, "{what}: {refused:?}"),
            Err(e) => assert!(form.len() > 100_000, "{what}: {e}"),
        }
    }
    // a head without an end, and what never becomes a form: refused long before they are all there
    for start in ["--XX\r\nA: ", ""] {
        let kind = "Content-Type: multipart/form-data; boundary=XX\r\n";
        let headers = format!("{kind}Content-Length: {}\r\n", 3_u64 << 30);
        let mut stream = raw.begin("POST", "/api/uploads", &headers);
        stream.write_all(start.as_bytes()).unwrap();
        stream.write_all(&[b'x'; 1 << 20]).unwrap();
        assert_eq!(answer(&mut stream).unwrap().status, 400, "{start:?}");
    }
    // who sends all of it before it listens hears why all the same
    assert_eq!(raw.bring("-", &vec![1; 30 << 20]).status, 422);
    let boundary = format!("Content-Type: multipart/form-data; boundary={long}\r\n");
    assert_eq!(raw.ask("POST", "/api/uploads", &boundary, b"x").status, 400);
    assert_eq!(names(&place), [""; 0]);
    assert!(held_open(&server).is_empty());
    assert_eq!(raw.bring("fine", b"x").status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_above_the_limit_is_413_and_leaves_nothing() {
    let place = Place::new();
    let dir = place.path().join("deployment");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(
        dir.join("agnes.toml"),
        "[server]\nmax_upload = \"100KiB\"\n",
    )
    .unwrap();
    let (server, _, _) = started_with(&place, |command| {
        command.env("AGNES_DIR", &dir);
    })
    .await;
    let raw = Raw::of(&server, ADMIN).await;
    let most = 100 << 10;
    assert_eq!(raw.bring("most", &vec![1; most]).status, 201);
    assert_eq!(
        raw.bring_form(&form(&file_head("most2"), &vec![1; most]))
            .status,
        201
    );
    let refused = raw.bring_form(&form(&file_head("more"), &vec![1; most + 1]));
    assert_eq!(refused.status, 413, "{refused:?}");
    // by its length alone: nothing of it was sent
    for declared in [most + 1, 50 << 30] {
        let head = format!("{OCTETS}Content-Length: {declared}\r\n");
        let mut stream = raw.begin("POST", "/api/uploads?name=more", &head);
        assert_eq!(answer(&mut stream).unwrap().status, 413, "{declared}");
    }
    // who sends all of it before it listens hears why all the same
    let many = vec![1; 30 << 20];
    assert_eq!(raw.bring("more", &many).status, 413);
    assert_eq!(raw.bring_form(&form(&file_head("more"), &many)).status, 413);
    assert_eq!(raw.bring("-", &many).status, 413);
    // who asks first sends nothing
    let head = format!(
        "{OCTETS}Expect: 100-continue\r\nContent-Length: {}\r\n",
        most + 1
    );
    let mut stream = raw.begin("POST", "/api/uploads?name=more", &head);
    assert_eq!(answer(&mut stream).unwrap().status, 413);
    // one that does not say its length
    let mut stream = raw.begin(
        "POST",
        "/api/uploads?name=more",
        &format!("{OCTETS}Transfer-Encoding: chunked\r\n"),
    );
    write!(stream, "{:x}\r\n", most + 1).unwrap();
    stream.write_all(&vec![1; most + 1]).unwrap();
    assert_eq!(answer(&mut stream).unwrap().status, 413);
    assert_eq!(names(&place).len(), 2);
    // the other addresses keep their own limit
    let head = format!(
        "Content-Type: application/json\r\nContent-Length: {}\r\n",
        (1 << 20) + 1
    );
    let mut stream = raw.begin("POST", "/api/groups", &head);
    assert_eq!(answer(&mut stream).unwrap().status, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_writes_are_held_nothing_is_brought_or_removed_and_files_are_fetched() {
    let place = Place::new();
    let (server, _, admin) = started(&place).await;
    let raw = Raw::of(&server, ADMIN).await;
    let control = Control::of(&place);
    assert_eq!(raw.bring("a", b"old").status, 201);
    // one that is on its way when the hold begins
    let content = bytes(1 << 20, 1);
    let mut under_way = raw.begin(
        "POST",
        "/api/uploads?name=a",
        &format!("{OCTETS}Content-Length: {}\r\n", content.len()),
    );
    under_way.write_all(&content[..1000]).unwrap();
    until("it is being received", || !held_open(&server).is_empty()).await;
    assert_eq!(
        control.post("/v1/writes/hold", json!({"id": "u"})).await.0,
        200
    );
    under_way.write_all(&content[1000..]).unwrap();
    let refused = answer(&mut under_way).unwrap();
    assert_eq!(
        (refused.status, &refused.json()["reason"]),
        (503, &json!("writes-held"))
    );
    // refused before it is sent
    let mut stream = raw.begin(
        "POST",
        "/api/uploads?name=b",
        &format!("{OCTETS}Content-Length: 90000000\r\n"),
    );
    let refused = answer(&mut stream).unwrap();
    assert_eq!(
        (refused.status, &refused.json()["reason"]),
        (503, &json!("writes-held"))
    );
    assert!(refused.head.contains("retry-after: 2"));
    assert_eq!(admin.delete("/api/data/a").await.status, 503);
    assert_eq!(raw.fetch("a", "").2, b"old");
    let (_, state) = control.get("/v1/state").await;
    assert_eq!(
        state["requests"]["server_errors"], 0,
        "calls that were only held are no errors: {state}"
    );
    assert_eq!(control.post("/v1/writes/release", json!({})).await.0, 200);
    assert_eq!(names(&place).len(), 1);
    assert_eq!(raw.bring("a", b"new").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_shut_out_in_the_middle_publishes_nothing() {
    let place = Place::new();
    let (server, anyone, admin) = started(&place).await;
    let _ = member(&admin, &anyone, "bo@example.com").await;
    let raw = Raw::of(&server, "bo@example.com").await;
    let mut stream = raw.begin(
        "POST",
        "/api/uploads?name=a",
        &format!("{OCTETS}Content-Length: 2000\r\n"),
    );
    stream.write_all(&[1; 1000]).unwrap();
    until("it is being received", || !held_open(&server).is_empty()).await;
    let (status, said) = Control::of(&place)
        .post("/v1/principals/bo@example.com/contain", json!({}))
        .await;
    assert_eq!(status, 200, "{said}");
    stream.write_all(&[1; 1000]).unwrap();
    assert_eq!(answer(&mut stream).unwrap().status, 401);
    until("nothing is left", || {
        names(&place).is_empty() && held_open(&server).is_empty()
    })
    .await;
    assert_eq!(admin.audit("upload.published").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a08_a_token_that_is_revoked_in_the_middle_publishes_nothing() {
    let place = Place::new();
    let (server, _, admin) = started(&place).await;
    let mut raw = Raw::of(&server, ADMIN).await;
    let made = admin.post("/auth/tokens", json!({"name": "one"})).await;
    raw.token = made.text("token");
    let mut stream = raw.begin(
        "POST",
        "/api/uploads?name=a",
        &format!("{OCTETS}Content-Length: 2000\r\n"),
    );
    stream.write_all(&[1; 1000]).unwrap();
    until("it is being received", || !held_open(&server).is_empty()).await;
    let path = format!("/auth/tokens/{}", made.text("id"));
    assert_eq!(admin.delete(&path).await.status, 204);
    stream.write_all(&[1; 1000]).unwrap();
    assert_eq!(answer(&mut stream).unwrap().status, 401);
    until("nothing is left", || names(&place).is_empty()).await;
    assert_eq!(admin.audit("upload.published").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_may_what_their_scopes_say_and_the_scheduler_nothing() {
    let place = Place::new();
    let (server, anyone, admin) = started(&place).await;
    let mut raw = Raw::of(&server, ADMIN).await;
    assert_eq!(raw.bring("a", b"x").status, 201);
    for (scope, read, write) in [("read", 200, 403), ("write", 200, 200)] {
        let form = json!({"name": scope, "scopes": [scope]});
        let reply = admin.post("/auth/tokens", form).await;
        raw.token = reply.text("token");
        assert_eq!(raw.fetch("a", "").0, read, "{scope}");
        assert_eq!(raw.bring("a", b"x").status, write, "{scope}");
    }
    raw.token = client::SCHEDULER.to_owned();
    assert_eq!(
        (raw.fetch("a", "").0, raw.bring("a", b"x").status),
        (403, 403)
    );
    for (method, path) in [
        (Method::GET, "/api/data"),
        (Method::GET, "/api/data/a/download"),
        (Method::DELETE, "/api/data/a"),
        (Method::POST, "/api/uploads"),
    ] {
        let reply = anyone.try_call(method, path, None).await.unwrap();
        assert_eq!(reply.status, 401, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_takes_no_file_leaves_nothing_of_it_and_room_for_the_database() {
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(&place.state(), 96) else {
        return;
    };
    let (server, _, admin) = started(&place).await;
    let raw = Raw::of(&server, ADMIN).await;
    assert_eq!(raw.bring("a", &bytes(1 << 20, 1)).status, 201);
    // by its length alone
    let mut stream = raw.begin(
        "POST",
        "/api/uploads?name=b",
        &format!("{OCTETS}Content-Length: {}\r\n", 200 << 20),
    );
    let refused = answer(&mut stream).unwrap();
    assert_eq!(
        (refused.status, &refused.json()["reason"]),
        (507, &json!("disk-full"))
    );
    let kind = "Content-Type: multipart/form-data; boundary=XX\r\n";
    let head = format!("{kind}Content-Length: {}\r\n", 200 << 20);
    let mut stream = raw.begin("POST", "/api/uploads", &head);
    write!(stream, "--XX\r\n{}\r\n\r\n", file_head("b")).unwrap();
    assert_eq!(answer(&mut stream).unwrap().status, 507);
    // and one that does not say it
    let mut stream = raw.begin(
        "POST",
        "/api/uploads?name=b",
        &format!("{OCTETS}Transfer-Encoding: chunked\r\n"),
    );
    let block = vec![7; 1 << 20];
    for _ in 0..200 {
        let sent = write!(stream, "{:x}\r\n", block.len())
            .and_then(|()| stream.write_all(&block))
            .and_then(|()| stream.write_all(b"\r\n"));
        if sent.is_err() {
            break;
        }
    }
    if let Ok(refused) = answer(&mut stream) {
        assert_eq!(
            (refused.status, &refused.json()["reason"]),
            (507, &json!("disk-full"))
        );
    }
    until("nothing is left", || {
        names(&place).len() == 1 && held_open(&server).is_empty()
    })
    .await;
    // the database went on all the time
    let group = admin.post("/api/groups", json!({"name": "after"})).await;
    assert_eq!(group.status, 201, "{group:?}");
    assert_eq!(raw.bring("b", &bytes(1 << 20, 2)).status, 201);
    // what others fill is told in the same way
    disk.fill_but(600);
    assert_eq!(raw.bring("c", b"x").status, 507);
    assert_eq!(raw.fetch("a", "").2, bytes(1 << 20, 1));
    disk.free();
    assert_eq!(raw.bring("c", b"x").status, 201);
}
