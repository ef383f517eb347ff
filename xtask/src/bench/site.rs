//! What the bench stands around the programs: an authority, an https source, a deployment and what serves it.
//!
//! Always true: everything listens on 127.0.0.1 alone, lives in one temporary directory and ends with its value.
//!
//! Does not: share a line with the product: certificates are made by the openssl program, the source is a Caddy.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::command;

/// The name that is served.
pub(super) const DOMAIN: &str = "agnes.example.com";

const START_DEADLINE: Duration = Duration::from_secs(20);

const OPENSSL_CONFIG: &str = "\
[req]
distinguished_name = name
prompt = no
[name]
CN = example.com
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
[source]
subjectAltName = DNS:localhost
extendedKeyUsage = serverAuth
[leaf]
basicConstraints = critical, CA:FALSE
subjectAltName = DNS:agnes.example.com
extendedKeyUsage = serverAuth
";

/// A process that ends with its value.
#[derive(Debug)]
pub(super) struct Running(Child);

impl Running {
    /// Starts it, output to `log`, and waits until it listens at `address`.
    pub(super) fn start(command: &mut Command, log: &Path, address: SocketAddr) -> Result<Self> {
        let output = fs::File::create(log).with_context(|| format!("create {}", log.display()))?;
        let line = command::line(command);
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("log")?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("start `{line}`"))?;
        let mut running = Self(child);
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = running.0.try_wait().context("wait")?.is_some();
            if ended || started.elapsed() > START_DEADLINE {
                let said = fs::read_to_string(log).unwrap_or_default();
                bail!("`{line}` does not listen: {}", command::tail(&said, 10));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(running)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A root and an issuing CA below it, in files.
pub(super) struct Authority {
    directory: PathBuf,
}

impl Authority {
    pub(super) fn new(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory).context("the authority's directory")?;
        fs::write(directory.join("openssl.cnf"), OPENSSL_CONFIG).context("openssl.cnf")?;
        let authority = Self {
            directory: directory.to_owned(),
        };
        authority.openssl(
            "req -config openssl.cnf -x509 -extensions ca -subj /CN=Example-Root -days 3650 -nodes \
             -newkey ec -pkeyopt ec_paramgen_curve:P-256 -keyout root.key -out root.pem",
        )?;
        authority.request("issuing", "Example-Issuing-CA")?;
        authority.openssl(
            "x509 -req -in issuing.csr -CA root.pem -CAkey root.key -days 1800 -extfile openssl.cnf -extensions ca \
             -out issuing.pem",
        )?;
        authority.request("source", "localhost")?;
        authority.openssl(
            "x509 -req -in source.csr -CA root.pem -CAkey root.key -days 30 -extfile openssl.cnf -extensions source \
             -out source.pem",
        )?;
        Ok(authority)
    }

    fn request(&self, file: &str, name: &str) -> Result<()> {
        self.openssl(&format!(
            "req -config openssl.cnf -new -subj /CN={name} -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 \
             -keyout {file}.key -out {file}.csr",
        ))
    }

    /// The root, PEM.
    pub(super) fn root(&self) -> PathBuf {
        self.directory.join("root.pem")
    }

    /// Signs a request for so many days, and puts leaf and issuer where they are published.
    pub(super) fn publish(&self, request: &Path, days: usize, to: &Path) -> Result<()> {
        let request = request.to_str().context("a path that is no text")?;
        self.openssl(&format!(
            "x509 -req -in {request} -CA issuing.pem -CAkey issuing.key -days {days} -extfile openssl.cnf \
             -extensions leaf -out leaf.pem",
        ))?;
        let read = |name: &str| {
            fs::read_to_string(self.directory.join(name)).context("read a certificate")
        };
        let unfinished = to.with_extension("unfinished");
        fs::write(&unfinished, read("leaf.pem")? + &read("issuing.pem")?).context("publish")?;
        fs::rename(&unfinished, to).context("publish")
    }

    fn openssl(&self, words: &str) -> Result<()> {
        let mut run = Command::new("openssl");
        run.args(words.split_whitespace())
            .current_dir(&self.directory);
        command::capture(&mut run).map(drop)
    }
}

/// A directory with an authority and an https source that serves files.
pub(super) struct Site {
    pub(super) authority: Authority,
    caddy: PathBuf,
    address: SocketAddr,
    _source: Running,
    home: TempDir,
}

impl Site {
    pub(super) fn new(caddy: &Path) -> Result<Self> {
        let home = tempfile::tempdir().context("a temporary directory")?;
        let authority = Authority::new(&home.path().join("authority"))?;
        let published = home.path().join("published");
        fs::create_dir(&published).context("the published directory")?;
        let address = free_address()?;
        let site = format!(
            "https://localhost:{port} {{\n\tbind 127.0.0.1\n\ttls {dir}/source.pem {dir}/source.key\n\
             \troot * {published}\n\tfile_server\n}}\n",
            port = address.port(),
            dir = authority.directory.display(),
            published = published.display(),
        );
        let source = start_caddy(caddy, &home.path().join("source"), &site, address)?;
        Ok(Self {
            authority,
            caddy: caddy.to_owned(),
            address,
            _source: source,
            home,
        })
    }

    /// A deployment whose chain comes from this source and is served at `served`, after a first run of `ops`.
    pub(super) fn deployment(&self, ops: &Path, name: &str) -> Result<Deployment> {
        let directory = self.home.path().join(name);
        fs::create_dir_all(&directory).context("the deployment's directory")?;
        let (served, plain) = (free_address()?, free_address()?);
        let deployment = Deployment {
            ops: ops.to_owned(),
            served,
            url: format!("https://localhost:{}/{name}.pem", self.address.port()),
            published: self.home.path().join(format!("published/{name}.pem")),
            directory,
        };
        let env = format!(
            "AGNES_RUNTIME=process\nDOMAIN={DOMAIN}\nDATA_DIR=data\nTLS_FULLCHAIN_URL={url}\nTLS_CA_BUNDLE={roots}\n\
             TLS_SERVED_ADDRESS={served}\nAGNES_TLS_LISTEN={served}\nAGNES_LISTEN={plain}\n",
            url = deployment.url,
            roots = self.authority.root().display(),
        );
        fs::write(deployment.directory.join(".env"), env).context("write .env")?;
        deployment.rotate()?;
        self.publish(&deployment, 30)?;
        deployment.rotate()?;
        Ok(deployment)
    }

    /// Publishes a new chain for the deployment's request.
    pub(super) fn publish(&self, deployment: &Deployment, days: usize) -> Result<()> {
        let request = deployment.certs().join("cert.csr");
        self.authority
            .publish(&request, days, &deployment.published)
    }

    /// A Caddy that serves the deployment's pair, reloaded by SIGUSR1.
    pub(super) fn caddy(&self, deployment: &Deployment) -> Result<Running> {
        let site = format!(
            "https://{DOMAIN}:{port} {{\n\tbind 127.0.0.1\n\ttls {certs}/fullchain.pem {certs}/privkey.pem\n\trespond ok\n}}\n",
            port = deployment.served.port(),
            certs = deployment.certs().display(),
        );
        let home = self.home.path().join("proxy");
        let pid_file = home.join("caddy.pid");
        let way = format!(
            "[[tls.reload]]\nkind = \"signal\"\npid_file = \"{}\"\n",
            pid_file.display()
        );
        fs::write(deployment.directory.join("agnes.toml"), way).context("write agnes.toml")?;
        start_caddy(&self.caddy, &home, &site, deployment.served)
    }

    /// An agnesd that serves the deployment's pair itself.
    pub(super) fn agnesd(&self, program: &Path, deployment: &Deployment) -> Result<Running> {
        let mut run = Command::new(program);
        run.args(["serve", "-C"])
            .arg(&deployment.directory)
            .env_clear();
        let log = self.home.path().join("agnesd.log");
        Running::start(&mut run, &log, deployment.served)
    }
}

/// One `-C DIR`.
pub(super) struct Deployment {
    ops: PathBuf,
    /// Where its certificate is fetched.
    pub(super) url: String,
    /// Where its certificate is served.
    served: SocketAddr,
    published: PathBuf,
    /// The `-C` directory.
    pub(super) directory: PathBuf,
}

impl Deployment {
    /// `$STATE_DIR/certs`.
    pub(super) fn certs(&self) -> PathBuf {
        self.directory.join("data/state/certs")
    }

    /// Runs `tls rotate --json` to a good end, and returns its object.
    pub(super) fn rotate(&self) -> Result<Value> {
        let mut run = Command::new(&self.ops);
        run.arg("-C")
            .arg(&self.directory)
            .args(["tls", "rotate", "--json"])
            .env_clear();
        serde_json::from_str(&command::capture(&mut run)?).context("the object of --json")
    }

    /// Rotates to what was just published; milliseconds from the flip to the proof.
    pub(super) fn swap_ms(&self) -> Result<u64> {
        let object = self.rotate()?;
        let proof = object.pointer("/details/proof").and_then(Value::as_str);
        ensure!(proof == Some("served"), "not proven: {object}");
        let took = object.pointer("/details/reload/took_ms");
        took.and_then(Value::as_u64)
            .with_context(|| format!("no details.reload.took_ms in {object}"))
    }
}

/// A Caddy with this site, which listens at `address`.
pub(super) fn start_caddy(
    program: &Path,
    home: &Path,
    site: &str,
    address: SocketAddr,
) -> Result<Running> {
    fs::create_dir_all(home).context("Caddy's home")?;
    let config = home.join("Caddyfile");
    let text = format!(
        "{{\n\tadmin off\n\tauto_https off\n\tdefault_sni {DOMAIN}\n\tstorage file_system {}\n}}\n{site}",
        home.join("storage").display()
    );
    fs::write(&config, text).context("write the Caddyfile")?;
    let mut run = Command::new(program);
    run.args(["run", "--adapter", "caddyfile", "--config"])
        .arg(&config)
        .arg("--pidfile")
        .arg(home.join("caddy.pid"))
        .env("HOME", home)
        .env("XDG_DATA_HOME", home)
        .env("XDG_CONFIG_HOME", home);
    Running::start(&mut run, &home.join("caddy.log"), address)
}

/// A port of loopback that nobody listened at a moment ago.
pub(super) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a free port")?;
    listener.local_addr().context("a free port")
}
