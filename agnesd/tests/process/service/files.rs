//! Files as callers bring and fetch them: what is published is whole, and of what was cut off nothing is left.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{ADMIN, Caller, PASSWORD, member, started, started_with, usual};
use super::control::Control;
use crate::server::{Answer, PATIENCE, Place, Server, answer};
use crate::small_disk::SmallDisk;

mod fetch;
mod interrupted;
mod refused;

/// A caller of raw HTTP: bytes that no library would send, and sockets that close when the test says so.
struct Raw {
    server: std::net::SocketAddr,
    token: String,
}

impl Raw {
    async fn of(server: &Server, email: &str) -> Self {
        let reply = Caller::of(server).sign_in(email, PASSWORD).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        Self {
            server: server.http,
            token: reply.text("access_token"),
        }
    }

    /// Sends the head of a request.
    fn begin(&self, method: &str, path: &str, headers: &str) -> TcpStream {
        let mut stream = crate::server::connect(self.server).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n{headers}\r\n",
            self.token
        )
        .unwrap();
        stream
    }

    fn ask(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        let headers = format!("Content-Length: {}\r\n{headers}", body.len());
        let mut stream = self.begin(method, path, &headers);
        stream.write_all(body).unwrap();
        answer(&mut stream).unwrap()
    }

    fn bring(&self, name: &str, content: &[u8]) -> Answer {
        let path = format!("/api/uploads?name={name}");
        self.ask("POST", &path, OCTETS, content)
    }

    fn bring_form(&self, form: &[u8]) -> Answer {
        let kind = "Content-Type: multipart/form-data; boundary=XX\r\n";
        self.ask("POST", "/api/uploads", kind, form)
    }

    /// The whole answer's body, whatever bytes it has.
    fn fetch(&self, id: &str, headers: &str) -> (u16, String, Vec<u8>) {
        let path = format!("/api/data/{id}/download");
        let mut stream = self.begin("GET", &path, &format!("Connection: close\r\n{headers}"));
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        let end = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(all[..end].to_vec())
            .unwrap()
            .to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head, all[end + 4..].to_vec())
    }
}

const OCTETS: &str = "Content-Type: application/octet-stream\r\n";

fn files_dir(place: &Place) -> PathBuf {
    place.state().join("files")
}

fn names(place: &Place) -> Vec<String> {
    let entries = std::fs::read_dir(files_dir(place)).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Bytes of the file system that files take, those without a name included, as the process's open descriptors show them.
fn held_open(server: &Server) -> Vec<PathBuf> {
    let open = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap();
    open.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .filter(|path| path.to_string_lossy().contains("/files/"))
        .collect()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// As the system's own program has it.
fn sha256sum(content: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    let said = Command::new("sha256sum").arg(file.path()).output().unwrap();
    String::from_utf8(said.stdout).unwrap()[..64].to_owned()
}

fn bytes(length: usize, seed: usize) -> Vec<u8> {
    (0..length)
        .map(|n| ((n * 31 + n / 251 + seed) % 256) as u8)
        .collect()
}

fn form(head: &str, content: &[u8]) -> Vec<u8> {
    let mut form = format!("--XX\r\n{head}\r\n\r\n").into_bytes();
    form.extend(content);
    form.extend(b"\r\n--XX--\r\n");
    form
}

fn file_head(name: &str) -> String {
    format!(
        "Content-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: text/csv"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_brought_is_what_is_fetched_in_both_ways() {
    let place = Place::new();
    let (mut server, _, admin) = started(&place).await;
    let raw = Raw::of(&server, ADMIN).await;
    // as long as the buffers on the way, and a byte around
    let lengths = [0, 1, 65_535, 65_536, 262_143, 262_144, 262_145, 5_000_003];
    for (n, length) in lengths.into_iter().enumerate() {
        let content = bytes(length, n);
        let (by_body, by_form) = (format!("b{n}"), format!("in.c-crm.f{n}"));
        let brought = [
            (&by_body, raw.bring(&by_body, &content)),
            (
                &by_form,
                raw.bring_form(&form(&file_head(&by_form), &content)),
            ),
        ];
        for (id, brought) in brought {
            assert_eq!(brought.status, 201, "{brought:?}");
            let said = brought.json();
            assert_eq!(said["id"], json!(id));
            assert_eq!(said["name"], json!(id));
            assert_eq!(said["size_bytes"], json!(length));
            assert_eq!(said["sha256"], json!(sha256sum(&content)));
            assert!(
                brought
                    .head
                    .contains(&format!("location: /api/data/{id}/download"))
            );
            let (status, head, fetched) = raw.fetch(id, "");
            assert_eq!(status, 200);
            assert!(fetched == content, "{id}: {} bytes", fetched.len());
            for line in [
                format!("etag: \"{}\"", sha256sum(&content)),
                format!("content-length: {length}"),
                "accept-ranges: bytes".to_owned(),
                "content-type: application/octet-stream".to_owned(),
                "x-content-type-options: nosniff".to_owned(),
                format!("content-disposition: attachment; filename=\"{id}\""),
            ] {
                assert!(head.lines().any(|one| one == line), "{line} in {head}");
            }
        }
    }
    let list = admin.get("/api/data").await;
    assert_eq!(list.items().len(), 2 * lengths.len());

    // the same name again is replaced, and the audit log has each
    let replaced = raw.bring("b0", b"new");
    assert_eq!(replaced.status, 200, "{replaced:?}");
    assert_eq!(raw.fetch("b0", "").2, b"new");
    let rows = admin.audit("upload.published").await;
    assert_eq!(rows.len(), 2 * lengths.len() + 1);
    assert_eq!(rows[0]["resource"], "data:b0");
    assert_eq!(rows[0]["actor"], ADMIN);
    assert_eq!(rows[0]["metadata"]["sha256"], json!(sha256sum(b"new")));
    assert_eq!(
        rows[0]["metadata"]["replaced_sha256"],
        json!(sha256sum(b""))
    );

    // a restart changes nothing of it
    assert_eq!(server.stop(), 0);
    let server = place.start_with(usual);
    let raw = Raw::of(&server, ADMIN).await;
    let admin = Caller::of(&server).signed_in(ADMIN, PASSWORD).await;
    assert_eq!(
        admin.get("/api/data").await.items().len(),
        2 * lengths.len()
    );
    assert_eq!(raw.fetch("b0", "").2, b"new");
    assert_eq!(admin.delete("/api/data/b0").await.status, 204);
    assert_eq!(admin.delete("/api/data/b0").await.status, 404);
    assert_eq!(raw.fetch("b0", "").0, 404);
    assert_eq!(admin.audit("data.deleted").await[0]["resource"], "data:b0");
    assert_eq!(names(&place).len(), 2 * lengths.len() - 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_at_once_under_one_name_are_one_whole_file() {
    let place = Place::new();
    let (server, _, admin) = started(&place).await;
    let raw = std::sync::Arc::new(Raw::of(&server, ADMIN).await);
    let threads: Vec<_> = (0..100)
        .map(|n| {
            let raw = std::sync::Arc::clone(&raw);
            std::thread::spawn(move || raw.bring("one", &bytes(300_000, n)).status)
        })
        .collect();
    let statuses: Vec<u16> = threads.into_iter().map(|one| one.join().unwrap()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1);
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 99);
    let (_, head, content) = raw.fetch("one", "");
    assert_eq!(content.len(), 300_000);
    assert!((0..100).any(|n| content == bytes(300_000, n)));
    assert!(head.contains(&sha256sum(&content)));
    assert_eq!(names(&place).len(), 1);
    assert_eq!(admin.audit("upload.published").await.len(), 100);
}
