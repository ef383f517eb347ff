//! A mail server: Exim, with a configuration, a spool and a mailbox of its own.
//!
//! Always true: it takes mail for everybody of `example.com` and delivers it into one maildir; nothing leaves the host.
//!
//! Does not: run without root: Exim gives its privileges away itself.

use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::unistd::{Uid, User};
use tempfile::TempDir;

use crate::authority::{Authority, Leaf, common_name, ec_key, key_pem, public};
use crate::components::{require, skip};
use crate::ports;
use crate::process::Daemon;

/// As whom Debian's Exim runs.
const ACCOUNT: &str = "Debian-exim";
const PATIENCE: Duration = Duration::from_secs(20);

/// How it is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// In clear; TLS is not offered.
    Clear,
    /// In clear, with TLS on demand.
    Starttls,
    /// With TLS from the first byte.
    Tls,
}

/// Who may send.
pub const USER: &str = "agnes";
/// And with what.
pub const PASSWORD: &str = "hunter2-of-the-mail-server";
/// Whom it does not know.
pub const UNKNOWN: &str = "nobody@example.com";

/// One of them.
#[derive(Debug)]
pub struct MailServer {
    home: TempDir,
    address: SocketAddr,
    daemon: Option<Daemon>,
}

impl MailServer {
    /// One that is to be spoken to in this way, with a certificate for `localhost`; whoever does not sign in is refused where
    /// there is TLS. `None`: it cannot run here.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(way: Way) -> Result<Option<Self>> {
        let Some(program) = require("exim4") else {
            return Ok(None);
        };
        if !Uid::effective().is_root() {
            skip("exim4", "needs root");
            return Ok(None);
        }
        let mut server = Self {
            home: tempfile::tempdir()?,
            address: ports::free_address(),
            daemon: None,
        };
        server.lay_out(way)?;
        server.run(&program)?;
        Ok(Some(server))
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The certificate of the authority that vouches for it, PEM.
    pub fn authority(&self) -> PathBuf {
        self.home.path().join("authority.pem")
    }

    /// Nobody answers from here on.
    pub fn stop(&mut self) {
        self.daemon = None;
    }

    /// Answers again, at the same port.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_again(&mut self) -> Result<()> {
        let program = require("exim4").context("it was there before")?;
        self.run(&program)
    }

    /// Everything that was delivered, once there are so many; the order is nobody's.
    #[track_caller]
    pub fn mails(&self, count: usize) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let delivered = std::fs::read_dir(self.home.path().join("mail/new"));
            let delivered = delivered.into_iter().flatten();
            let mails: Vec<String> = delivered
                .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
                .collect();
            if mails.len() >= count {
                return mails;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{} of {count} mails came: {}",
                mails.len(),
                std::fs::read_to_string(self.home.path().join("log-main")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn lay_out(&self, way: Way) -> Result<()> {
        let home = self.home.path();
        let account = User::from_name(ACCOUNT)?.context("Exim's account is not there")?;
        let (uid, gid) = (account.uid.as_raw(), account.gid.as_raw());
        std::fs::set_permissions(home, PermissionsExt::from_mode(0o755))?;
        let key = ec_key();
        let authority = Authority::root("Example Mail CA");
        let leaf = authority.sign_key(
            &public(&key),
            &common_name("localhost"),
            &Leaf::new("localhost"),
        );
        std::fs::write(home.join("authority.pem"), authority.pem())?;
        std::fs::write(home.join("fullchain.pem"), authority.chain(&leaf))?;
        std::fs::write(home.join("key.pem"), key_pem(&key))?;
        for name in ["spool", "mail", ""] {
            let path = home.join(name);
            std::fs::create_dir_all(&path)?;
            chown(&path, Some(uid), Some(gid))?;
        }
        chown(home.join("key.pem"), Some(uid), Some(gid))?;
        // a configuration that others may write is refused
        let configuration = home.join("exim.conf");
        std::fs::write(&configuration, self.configuration(way))?;
        std::fs::set_permissions(&configuration, PermissionsExt::from_mode(0o644))?;
        Ok(())
    }

    fn configuration(&self, way: Way) -> String {
        let home = self.home.path().display();
        let port = self.port();
        let (offers, on_connect) = match way {
            Way::Clear => ("", String::new()),
            Way::Starttls => ("*", String::new()),
            Way::Tls => ("*", format!("tls_on_connect_ports = {port}\n")),
        };
        let strangers = match way {
            Way::Clear => "",
            Way::Starttls | Way::Tls => {
                "  deny !authenticated = *\n       message = sign in first\n"
            }
        };
        format!(
            "spool_directory = {home}/spool\n\
             log_file_path = {home}/log-%s\n\
             pid_file_path = {home}/pid\n\
             primary_hostname = localhost\n\
             daemon_smtp_ports = {port}\n\
             local_interfaces = 127.0.0.1\n\
             {on_connect}\
             tls_certificate = {home}/fullchain.pem\n\
             tls_privatekey = {home}/key.pem\n\
             tls_advertise_hosts = {offers}\n\
             auth_advertise_hosts = ${{if eq{{$tls_in_cipher}}{{}}{{}}{{*}}}}\n\
             acl_smtp_rcpt = recipients\n\
             acl_smtp_data = accept\n\
             keep_environment =\n\
             exim_user = {ACCOUNT}\n\
             exim_group = {ACCOUNT}\n\
             begin acl\n\
             recipients:\n\
             {strangers}\
             \x20 deny recipients = {UNKNOWN}\n\
             \x20      message = no such mailbox\n\
             \x20 accept domains = example.com\n\
             begin routers\n\
             all:\n\
             \x20 driver = accept\n\
             \x20 transport = mailbox\n\
             begin transports\n\
             mailbox:\n\
             \x20 driver = appendfile\n\
             \x20 directory = {home}/mail\n\
             \x20 maildir_format\n\
             \x20 envelope_to_add\n\
             \x20 user = {ACCOUNT}\n\
             \x20 group = {ACCOUNT}\n\
             begin authenticators\n\
             plain:\n\
             \x20 driver = plaintext\n\
             \x20 public_name = PLAIN\n\
             \x20 server_prompts = :\n\
             \x20 server_condition = ${{if and{{{{eq{{$auth2}}{{{USER}}}}}{{eq{{$auth3}}{{{PASSWORD}}}}}}}}}\n\
             \x20 server_set_id = $auth2\n"
        )
    }

    fn run(&mut self, program: &std::path::Path) -> Result<()> {
        let mut command = Command::new(program);
        command.arg("-C").arg(self.home.path().join("exim.conf"));
        let mut daemon = Daemon::spawn(command.arg("-bdf"))?;
        daemon.wait_listening(self.address, PATIENCE)?;
        self.daemon = Some(daemon);
        Ok(())
    }
}
