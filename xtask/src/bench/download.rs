//! `cargo xtask bench download`: files that agnesd sends, beside Caddy's `file_server` on the same file.
//!
//! Always true: both sides send one file of one disk, plain, over loopback, to the same reader, in turns; what was read is as
//! long as the file.
//!
//! Does not: tune either side: both run as they are shipped.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::server::{Home, Server};
use super::site::{free_address, start_caddy};
use super::{Row, Spread, release, table};
use crate::{checkout, components, figures};

const DEADLINE: Duration = Duration::from_secs(120);
/// Read at once.
const BLOCK: usize = 256 << 10;
/// Readers at once, one after the other.
const READERS: [usize; 2] = [1, 4];

/// Measures, prints and, if asked to, writes.
pub(super) fn run(write: bool, rounds: usize, mib: u64, built: Option<&Path>) -> Result<ExitCode> {
    let root = checkout::root()?;
    let agnesd = match built {
        Some(program) => program.to_owned(),
        None => release(&root)?.join("agnesd"),
    };
    let caddy = components::find("caddy-2.11")
        .context("caddy-2.11 is not installed: cargo xtask components")?;
    // not below /tmp, which may be memory
    let home = tempfile::Builder::new()
        .prefix("agnes-bench-")
        .tempdir_in("/var/tmp")
        .context("a temporary directory")?;
    let deployment = Home::new(&agnesd, &home.path().join("ours"))?;
    let server = deployment.start()?;
    server.bootstrap()?;
    let token = server.sign_in()?;
    let bytes = mib << 20;
    let took = upload(&server, &token, bytes)?;

    let shared = home.path().join("shared");
    fs::create_dir(&shared).context("the proxy's files")?;
    let stored = fs::read_dir(deployment.state_dir().with_file_name("files"))
        .context("the server's files")?
        .next()
        .context("the server has no file")??;
    fs::hard_link(stored.path(), shared.join("file")).context("the same file for the proxy")?;
    let address = free_address()?;
    let site = format!(
        "http://{address} {{\n\troot * {}\n\tfile_server\n}}\n",
        shared.display()
    );
    let _proxy = start_caddy(&caddy, &home.path().join("proxy"), &site, address)?;

    let ours = Target {
        to: server.address,
        path: "/api/data/file/download",
        token: &token,
    };
    let theirs = Target {
        to: address,
        path: "/file",
        token: "",
    };
    println!("{mib} MiB, {rounds} rounds a side");
    let mut rows = vec![Row {
        measure: "upload, one caller, hashed and on the disk",
        figure: format!("{} MB/s", per_sec(bytes, took)),
        target: "none",
        met: true,
    }];
    for (readers, measure) in READERS.into_iter().zip(MEASURES) {
        // the first of each side warms what there is to warm
        ours.read(readers, bytes)?;
        theirs.read(readers, bytes)?;
        let (mut sent, mut beside) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            beside.push(theirs.read(readers, bytes)?);
            sent.push(ours.read(readers, bytes)?);
        }
        rows.push(compare(measure, &sent, &beside));
    }
    server.stop()?;
    let table = table(&rows);
    println!("\n{table}");
    if write {
        let note = format!(
            "A file of {mib} MiB, from the page cache, over loopback, without TLS; medians of {rounds} rounds a side, taken in turns. \
             Caddy 2.11 `file_server` sends by `sendfile`; the reader runs on the same machine."
        );
        figures::write(
            &root,
            "bench download",
            "Files: download beside Caddy",
            &format!("{note}\n\n{table}"),
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

const MEASURES: [&str; 2] = ["download, one reader", "download, four readers"];

fn compare(measure: &'static str, ours: &[u64], theirs: &[u64]) -> Row {
    let (ours, theirs) = (
        Spread::of(ours.iter().copied()),
        Spread::of(theirs.iter().copied()),
    );
    let ratio = ours.median as f64 / theirs.median.max(1) as f64;
    Row {
        measure,
        figure: format!(
            "{ratio:.2}× Caddy: {} MB/s ({} to {}); Caddy: {} MB/s ({} to {})",
            ours.median, ours.least, ours.most, theirs.median, theirs.least, theirs.most
        ),
        target: "≥ 0.9×",
        met: ratio >= 0.9,
    }
}

/// MB a second.
fn per_sec(bytes: u64, took: Duration) -> u64 {
    (bytes as f64 / 1_000_000.0 / took.as_secs_f64()) as u64
}

/// Brings a file of `bytes`; how long it took until it was published.
fn upload(server: &Server, token: &str, bytes: u64) -> Result<Duration> {
    let began = Instant::now();
    let mut stream = connect(server.address)?;
    write!(
        stream,
        "POST /api/uploads?name=file HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Connection: close\r\nContent-Type: application/octet-stream\r\nContent-Length: {bytes}\r\n\r\n"
    )
    .context("send")?;
    let block: Vec<u8> = (0..1_u32 << 20).map(|n| (n % 251) as u8).collect();
    for _ in 0..bytes >> 20 {
        stream.write_all(&block).context("send")?;
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("the answer")?;
    ensure!(answer.starts_with("HTTP/1.1 201"), "upload: {answer}");
    Ok(began.elapsed())
}

struct Target<'a> {
    to: SocketAddr,
    path: &'a str,
    token: &'a str,
}

impl Target<'_> {
    /// MB a second of so many readers together, each of which reads all of it.
    fn read(&self, readers: usize, bytes: u64) -> Result<u64> {
        let began = Instant::now();
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..readers)
                .map(|_| scope.spawn(|| self.read_one(bytes)))
                .collect();
            all.into_iter()
                .try_for_each(|one| one.join().map_err(|_| anyhow::anyhow!("a reader"))?)
        })?;
        Ok(per_sec(bytes * readers as u64, began.elapsed()))
    }

    fn read_one(&self, bytes: u64) -> Result<()> {
        let mut stream = connect(self.to)?;
        write!(
            stream,
            "GET {} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
            self.path, self.to, self.token
        )
        .context("send")?;
        let mut block = vec![0; BLOCK];
        let first = stream.read(&mut block).context("read")?;
        let first = block.get(..first).unwrap_or_default();
        let head = first
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .context("no head in what came first")?;
        ensure!(
            first.starts_with(b"HTTP/1.1 200"),
            "{} is not served",
            self.path
        );
        let mut read = (first.len() - head - 4) as u64;
        loop {
            match stream.read(&mut block).context("read")? {
                0 => break,
                more => read += more as u64,
            }
        }
        ensure!(read == bytes, "{read} bytes of {bytes} came");
        Ok(())
    }
}

fn connect(to: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(to).with_context(|| format!("connect to {to}"))?;
    stream
        .set_read_timeout(Some(DEADLINE))
        .context("deadline")?;
    stream
        .set_write_timeout(Some(DEADLINE))
        .context("deadline")?;
    Ok(stream)
}
