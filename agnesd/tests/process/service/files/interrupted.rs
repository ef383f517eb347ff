//! Uploads that do not end well: by a socket that closes, by a kill at any moment.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_broken_off_leaves_nothing_and_what_was_there_stays() {
    let place = Place::new();
    let (server, _, admin) = started(&place).await;
    let raw = Raw::of(&server, ADMIN).await;
    assert_eq!(raw.bring("a", b"old").status, 201);
    for chunked in [true, false] {
        for form in [true, false] {
            let kind = if form {
                "Content-Type: multipart/form-data; boundary=XX\r\n"
            } else {
                OCTETS
            };
            let size = if chunked {
                "Transfer-Encoding: chunked\r\n"
            } else {
                "Content-Length: 90000000\r\n"
            };
            let mut stream = raw.begin("POST", "/api/uploads?name=a", &format!("{kind}{size}"));
            let mut sent = Vec::new();
            if form {
                sent.extend(format!("--XX\r\n{}\r\n\r\n", file_head("a")).into_bytes());
            }
            sent.extend(vec![b'x'; 3 << 20]);
            if chunked {
                write!(stream, "{:x}\r\n", sent.len()).unwrap();
            }
            stream.write_all(&sent).unwrap();
            until("it is being received", || !held_open(&server).is_empty()).await;
            drop(stream);
            until("it is given up", || held_open(&server).is_empty()).await;
        }
    }
    assert_eq!(names(&place).len(), 1);
    assert_eq!(raw.fetch("a", "").2, b"old");
    assert_eq!(admin.audit("upload.published").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_leaves_nothing_and_what_was_there_stays() {
    let place = Place::new();
    let (mut server, _, _) = started(&place).await;
    let raw = Raw::of(&server, ADMIN).await;
    assert_eq!(raw.bring("a", b"old").status, 201);
    let before = names(&place);
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = raw.begin(
            "POST",
            "/api/uploads?name=a",
            &format!("{OCTETS}Content-Length: 90000000\r\n"),
        );
        stream.write_all(&vec![b'x'; 3 << 20]).unwrap();
        streams.push(stream);
    }
    until("they are being received", || held_open(&server).len() == 3).await;
    server.signal(Signal::SIGKILL);
    server.wait(PATIENCE);
    // what a file system leaves that knows no files without a name
    let part = files_dir(&place).join("01980000-0000-7000-8000-000000000000.part");
    std::fs::write(&part, "half").unwrap();
    let server = place.start_with(usual);
    assert_eq!(names(&place), before);
    let raw = Raw::of(&server, ADMIN).await;
    assert_eq!(raw.fetch("a", "").2, b"old");
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_while_files_are_published_leave_each_whole_and_in_the_log() {
    let place = Place::new();
    let (mut server, _, _) = started(&place).await;
    let mut acknowledged: std::collections::BTreeMap<String, String> = Default::default();
    for round in 0..6_usize {
        let raw = std::sync::Arc::new(Raw::of(&server, ADMIN).await);
        let writers: Vec<_> = (0..4_usize)
            .map(|writer| {
                let raw = std::sync::Arc::clone(&raw);
                std::thread::spawn(move || {
                    let mut done = Vec::new();
                    for n in 0..1000 {
                        let name = format!("w{writer}-{}", n % 3);
                        let content = bytes(1000 + n, round * 7 + writer);
                        let headers = format!("{OCTETS}Content-Length: {}\r\n", content.len());
                        let Ok(mut stream) = TcpStream::connect(raw.server) else { break };
                        let head = format!(
                            "POST /api/uploads?name={name} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n{headers}\r\n",
                            raw.token
                        );
                        let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&content));
                        let answered = sent.and_then(|()| answer(&mut stream));
                        match answered {
                            Ok(answer) if answer.status < 300 => {
                                let sha256 = answer.json()["sha256"].as_str().unwrap().to_owned();
                                done.push((name, sha256));
                            }
                            _ => break,
                        }
                    }
                    done
                })
            })
            .collect();
        tokio::time::sleep(std::time::Duration::from_millis(120 + 37 * round as u64)).await;
        server.signal(Signal::SIGKILL);
        server.wait(PATIENCE);
        for writer in writers {
            acknowledged.extend(writer.join().unwrap());
        }
        server = place.start_with(usual);
        let admin = Caller::of(&server).signed_in(ADMIN, PASSWORD).await;
        let raw = Raw::of(&server, ADMIN).await;
        let rows = admin.audit("upload.published").await;
        let files = admin.get("/api/data").await;
        assert_eq!(
            names(&place).len(),
            files.items().len(),
            "{:?}",
            names(&place)
        );
        for file in files.items() {
            let (id, sha256) = (
                file["id"].as_str().unwrap(),
                file["sha256"].as_str().unwrap(),
            );
            let newest = rows
                .iter()
                .find(|row| row["resource"] == format!("data:{id}"))
                .unwrap();
            assert_eq!(
                newest["metadata"]["sha256"],
                json!(sha256),
                "{id}: the log and the disk agree"
            );
            assert_eq!(sha256sum(&raw.fetch(id, "").2), sha256, "{id} is whole");
        }
        for id in acknowledged.keys() {
            assert!(
                files.items().iter().any(|file| file["id"] == json!(id)),
                "{id} is lost"
            );
        }
        // the last that was acknowledged, or one that was on its way behind it
        for (id, sha256) in &acknowledged {
            let of: Vec<&Value> = rows
                .iter()
                .filter(|row| row["resource"] == format!("data:{id}"))
                .collect();
            let at = of
                .iter()
                .position(|row| row["metadata"]["sha256"] == json!(sha256));
            assert!(at.is_some_and(|at| at <= 1), "{id}: {at:?}");
        }
    }
    assert!(
        acknowledged.len() > 3,
        "nothing was published in time: {acknowledged:?}"
    );
}
