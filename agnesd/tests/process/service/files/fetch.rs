//! Fetching: ranges, conditions, names that lead elsewhere, and readers that are slow or go away.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn parts_and_conditions() {
    let place = Place::new();
    let (server, _, _) = started(&place).await;
    let raw = Raw::of(&server, ADMIN).await;
    let content = bytes(1_000_000, 3);
    assert_eq!(raw.bring("in.c-crm.orders", &content).status, 201);
    let tag = format!("\"{}\"", sha256sum(&content));
    let part = |range: &str, more: &str| {
        raw.fetch("in.c-crm.orders", &format!("Range: {range}\r\n{more}"))
    };
    for (range, first, last) in [
        ("bytes=0-0", 0, 0),
        ("bytes=0-", 0, 999_999),
        ("bytes=10-300000", 10, 300_000),
        ("bytes=262143-262144", 262_143, 262_144),
        ("bytes=999999-", 999_999, 999_999),
        ("bytes=999999-5000000", 999_999, 999_999),
        ("bytes=-5", 999_995, 999_999),
        ("bytes=-5000000", 0, 999_999),
    ] {
        let (status, head, got) = part(range, &format!("If-Range: {tag}\r\n"));
        assert_eq!(status, 206, "{range}: {head}");
        assert!(got == content[first..=last], "{range}");
        let line = format!("content-range: bytes {first}-{last}/1000000");
        assert!(head.lines().any(|one| one == line), "{line} in {head}");
        let line = format!("content-length: {}", last - first + 1);
        assert!(head.lines().any(|one| one == line), "{line} in {head}");
    }
    for range in [
        "bytes=1000000-",
        "bytes=-0",
        "bytes=99999999999999999999999-",
    ] {
        let (status, head, _) = part(range, "");
        assert_eq!(status, 416, "{range}");
        assert!(head.contains("content-range: bytes */1000000"), "{head}");
        assert!(head.contains("application/problem+json"), "{head}");
    }
    for (range, more) in [
        ("bytes=0-1,5-6", ""),
        ("bytes=5-1", ""),
        ("lines=0-1", ""),
        ("bytes=0-1", "If-Range: \"other\"\r\n"),
    ] {
        let (status, _, got) = part(range, more);
        assert!(status == 200 && got == content, "{range} {more}");
    }
    let (status, head, got) = raw.fetch(
        "in.c-crm.orders",
        &format!("If-None-Match: \"x\", {tag}\r\n"),
    );
    assert!(
        status == 304 && got.is_empty() && head.contains(&tag),
        "{head}"
    );
    assert_eq!(
        raw.fetch("in.c-crm.orders", "If-None-Match: \"x\"\r\n").0,
        200
    );
    assert_eq!(raw.fetch("in.c-crm.orders", "If-Match: \"x\"\r\n").0, 412);

    let mut head = raw.begin(
        "HEAD",
        "/api/data/in.c-crm.orders/download",
        "Connection: close\r\n",
    );
    let mut said = String::new();
    head.read_to_string(&mut said).unwrap();
    let said = said.to_lowercase();
    assert!(
        said.starts_with("http/1.1 200") && said.ends_with("\r\n\r\n"),
        "{said}"
    );
    assert!(
        said.contains("content-length: 1000000") && said.contains(&tag),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_leave_the_directory_is_404() {
    let place = Place::new();
    let (server, _, _) = started(&place).await;
    let raw = Raw::of(&server, ADMIN).await;
    assert_eq!(raw.bring("x", b"x").status, 201);
    // what a way out would find
    std::fs::write(place.state().join("y"), "secret").unwrap();
    let published = names(&place).remove(0);
    let (long, longer) = ("a".repeat(129), "a".repeat(7000));
    for id in [
        "../y",
        "..%2fy",
        "..%2Fy",
        "%2e%2e%2fy",
        "%2e%2e/y",
        "..%252fy",
        "%252e%252e%252fy",
        "..%5cy",
        "..%c0%afy",
        "..%ef%bc%8fy",
        "%00",
        "x%00",
        "x%00.csv",
        ".",
        "..",
        "%2e",
        "%2e%2e",
        "",
        "%20",
        "x%20",
        "%2fetc%2fpasswd",
        "/etc/passwd",
        "x/../x",
        "./x",
        "x%2f",
        "x%0a",
        "%ff",
        "%",
        "%zz",
        "~",
        "-x",
        ".x",
        "x*",
        "x@0",
        &published,
        "files",
        "system.duckdb",
        &long,
        &longer,
    ] {
        for method in ["GET", "HEAD"] {
            let path = format!("/api/data/{id}/download");
            let mut stream = raw.begin(method, &path, "Connection: close\r\n");
            let mut said = Vec::new();
            stream.read_to_end(&mut said).unwrap();
            let said = String::from_utf8_lossy(&said);
            assert!(said.starts_with("HTTP/1.1 404"), "{method} {id}: {said}");
            assert!(!said.contains("secret"), "{said}");
        }
        if !id.contains('/') && !id.is_empty() {
            let reply = raw.ask("DELETE", &format!("/api/data/{id}"), "", b"");
            assert_eq!(reply.status, 404, "{id}: {reply:?}");
        }
    }
    assert_eq!(raw.fetch("x", "").2, b"x");
    // a link that somebody put there leads nowhere either
    let inside = files_dir(&place).join(&published);
    std::fs::remove_file(&inside).unwrap();
    std::os::unix::fs::symlink(place.state().join("y"), &inside).unwrap();
    assert_eq!(raw.fetch("x", "").0, 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_gets_one_content_to_its_end_though_the_file_is_replaced_and_removed() {
    let place = Place::new();
    let (server, _, admin) = started(&place).await;
    let raw = Raw::of(&server, ADMIN).await;
    // more than the buffers of the sockets hold
    let content = bytes(40 << 20, 5);
    assert_eq!(raw.bring("a", &content).status, 201);
    let mut stream = raw.begin("GET", "/api/data/a/download", "Connection: close\r\n");
    let mut first = [0; 1000];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(raw.bring("a", b"new").status, 200);
    assert_eq!(admin.delete("/api/data/a").await.status, 204);
    let mut all = first.to_vec();
    stream.read_to_end(&mut all).unwrap();
    assert!(all.ends_with(&content), "{} bytes", all.len());
    assert_eq!(names(&place).len(), 0);
    until("the file is let go", || held_open(&server).is_empty()).await;
    // and one that goes away holds nothing
    assert_eq!(raw.bring("a", &content).status, 201);
    let mut stream = raw.begin("GET", "/api/data/a/download", "");
    stream.read_exact(&mut first).unwrap();
    until("it is being sent", || !held_open(&server).is_empty()).await;
    drop(stream);
    until("the file is let go", || held_open(&server).is_empty()).await;
}
