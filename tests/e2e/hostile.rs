//! What a hostile or careless neighbour leaves in the operator's way: foreign numbers in pid files, fifos, links and
//! devices where files belong, names that speak to terminals, and command lines that are wrong.

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Child, Command};

use agnes_e2e::authority::{Authority, Leaf};
use agnes_e2e::deployment::{Deployment, Ran, agnes_ops, run};
use agnes_e2e::ports;

/// A child that is ended when dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Ended {
    fn runs(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

fn process() -> Deployment {
    Deployment::new()
        .with("AGNES_RUNTIME", "process")
        .with("AGNES_LISTEN", ports::free_address().to_string())
}

fn fifo(path: &Path) {
    nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
}

/// Without `-C`.
fn ops(arguments: &[&str]) -> Ran {
    let mut command = Command::new(agnes_ops());
    command.env_clear().args(arguments);
    run(command)
}

#[test]
fn down_never_stops_a_stranger_whose_number_stands_in_the_pid_file() {
    let deployment = process();
    std::fs::create_dir_all(deployment.state()).unwrap();
    let pid_file = deployment.state().join("agnesd.pid");
    let mut stranger = Ended(Command::new("sleep").arg("1000").spawn().unwrap());
    let its_number = stranger.0.id().to_string();
    // process 1 comes last: a test that fails must not reach it
    for number in [its_number.as_str(), "0", "-1", "1"] {
        std::fs::write(&pid_file, number).unwrap();
        deployment.ops(&["down"]).exits(0).with_outcome("unchanged");
        assert!(stranger.runs());
    }
    // called as the server is, and still none: it holds no lock
    let named = deployment.dir().join("agnesd");
    std::fs::copy(sleep(), &named).unwrap();
    let mut named = Ended(Command::new(named).arg("1000").spawn().unwrap());
    std::fs::write(&pid_file, named.0.id().to_string()).unwrap();
    deployment.ops(&["down"]).exits(0).with_outcome("unchanged");
    assert!(named.runs());
    // a lock that another process of this name holds is not its own
    let lock = std::fs::File::create(deployment.state().join("agnesd.lock")).unwrap();
    std::io::Write::write_all(&mut &lock, b"4711\n").unwrap();
    lock.lock().unwrap();
    deployment.ops(&["down"]).exits(0).with_outcome("unchanged");
    assert!(named.runs());
}

/// A `sleep` that goes by any name it is given, which a program of many names does not.
fn sleep() -> std::path::PathBuf {
    std::fs::canonicalize("/usr/bin/sleep").unwrap()
}

#[test]
fn a_fifo_in_the_place_of_a_file_is_told_at_once() {
    let deployment = process();
    std::fs::create_dir_all(deployment.state()).unwrap();
    fifo(&deployment.state().join("agnesd.pid"));
    let mut command = Command::new("timeout");
    command.args(["20", agnes_ops().to_str().unwrap(), "-C"]);
    command.arg(deployment.dir()).arg("status").env_clear();
    let ran = run(command).exits(10);
    assert!(
        ran.stdout.contains("ops.files: ") && ran.stdout.contains("agnesd.pid: is no file"),
        "{}",
        ran.stdout
    );
    // who needs what is in it says so, and waits for nobody
    let mut command = Command::new("timeout");
    command.args(["20", agnes_ops().to_str().unwrap(), "-C"]);
    command.arg(deployment.dir()).arg("down").env_clear();
    let ran = run(command).exits(1);
    assert!(
        ran.stderr
            .contains("agnesd.pid: read: a fifo, not a regular file"),
        "{}",
        ran.stderr
    );
}

#[test]
fn inspect_names_what_it_cannot_read() {
    let directory = tempfile::tempdir().unwrap();
    let name = directory.path().to_str().unwrap();
    let ran = ops(&["tls", "inspect", name]).exits(1);
    let line = format!("{name}: read: a directory, not a regular file; nothing was touched");
    assert!(ran.stderr.contains(&line), "{}", ran.stderr);
}

#[test]
fn a_certificate_s_names_cannot_forge_a_hint_or_speak_to_the_terminal() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chain.pem");
    let evil = "Example\nhint: run this\u{1b}[2J";
    let root = Authority::root_with(
        evil,
        agnes_e2e::authority::ec_key(),
        &Leaf::new("").days(-1, 90),
    );
    std::fs::write(&path, root.pem()).unwrap();
    let ran = ops(&["tls", "inspect", path.to_str().unwrap()]);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(said.contains("Example"), "{said}");
    assert!(!said.contains('\u{1b}'), "{said:?}");
    assert!(
        !said.lines().any(|line| line.starts_with("hint:")),
        "{said}"
    );
    // the command line itself is as foreign
    let ran = ops(&["tls", "inspect", "no\nhint: such\u{1b}[2J"]).exits(1);
    assert_eq!(ran.stderr.lines().count(), 1, "{:?}", ran.stderr);
    assert!(!ran.stderr.contains('\u{1b}'), "{:?}", ran.stderr);
}

#[test]
fn fetch_replaces_regular_files_alone() {
    let deployment = Deployment::new();
    let url = deployment.publish("published");
    let place = |name: &str| deployment.dir().join(name);
    fifo(&place("fifo"));
    std::fs::create_dir(place("directory")).unwrap();
    std::fs::write(place("precious"), "kept").unwrap();
    symlink("precious", place("link")).unwrap();
    for name in ["fifo", "directory", "link"] {
        let out = place(name);
        let ran = deployment
            .ops(&["fetch", &url, "-o", out.to_str().unwrap()])
            .exits(1)
            .with_outcome("unchanged");
        let message = ran.detail("message").as_str().unwrap().to_owned();
        assert!(message.contains("not a regular file"), "{message}");
        assert!(message.ends_with("was left as it was"), "{message}");
    }
    let kind = |name: &str| std::fs::symlink_metadata(place(name)).unwrap().file_type();
    assert!(kind("fifo").is_fifo() && kind("directory").is_dir() && kind("link").is_symlink());
    assert_eq!(std::fs::read(place("precious")).unwrap(), b"kept");
    let ran = run(deployment.command(&["fetch", &url, "-o", "-"])).exits(0);
    assert_eq!(ran.stdout, "published");
    assert!(!Path::new("-").exists());
}

#[test]
fn a_directory_that_takes_no_file_is_told_with_the_operation_and_what_was_left() {
    let deployment = Deployment::new();
    let url = deployment.publish("published");
    let ran = deployment
        .ops(&["fetch", &url, "-o", "/proc/self/agnes"])
        .exits(1);
    let message = ran.detail("message").as_str().unwrap().to_owned();
    assert!(
        message.starts_with("/proc/self/agnes: create a file beside: "),
        "{message}"
    );
    assert!(message.ends_with("was left as it was"), "{message}");
}

#[test]
fn a_link_in_the_lock_s_place_is_refused_and_what_it_names_is_kept() {
    let deployment = Deployment::new().with("TLS_FULLCHAIN_URL", "file:///nonexistent");
    let precious = deployment.dir().join("precious");
    std::fs::write(&precious, "kept").unwrap();
    symlink(&precious, deployment.dir().join(".lock")).unwrap();
    let ran = deployment.ops(&["tls", "rotate"]).exits(1);
    assert_eq!(ran.detail("reason"), "lock-unusable");
    assert_eq!(std::fs::read(&precious).unwrap(), b"kept");
}

#[test]
fn a_wrong_command_line_is_one_object_under_json() {
    for (arguments, says) in [
        (&["--json", "tls", "rotat"][..], "rotat"),
        (&["fetch", "--json"], "<URL>"),
        (&["status", "--json", "--frob\u{1b}[2J"], "--frob"),
        (&["--json"], ""),
    ] {
        let ran = ops(arguments).exits(2).with_outcome("unchanged");
        assert_eq!(ran.json["command"], "");
        assert_eq!(ran.json["exit"], 2);
        assert_eq!(ran.json["took_ms"], 0);
        assert_eq!(ran.json["steps"], serde_json::json!([]));
        assert_eq!(ran.detail("reason"), "usage");
        assert_eq!(ran.detail("reasons"), &serde_json::json!(["usage"]));
        let message = ran.detail("message").as_str().unwrap();
        assert!(message.contains(says), "{message}");
        assert!(!message.is_empty() && !message.contains('\n'), "{message}");
        assert!(ran.stderr.contains("Usage:"), "{}", ran.stderr);
    }
    assert_eq!(ops(&["tls", "rotat"]).exits(2).stdout, "");
    assert!(
        ops(&["--json", "--help"])
            .exits(0)
            .stdout
            .contains("Usage:")
    );
    ops(&["--version"]).exits(0);
}

#[test]
fn a_directory_that_was_named_and_is_not_there_is_told_by_the_config_verbs_too() {
    for verb in ["check", "show"] {
        let ran = ops(&["config", verb, "-C", "/nonexistent/typo", "--json"]).exits(78);
        assert_eq!(ran.detail("reason"), "no-directory");
    }
    let directory = tempfile::tempdir().unwrap();
    let chain = directory.path().join("root.pem");
    std::fs::write(&chain, Authority::root("Example Root").pem()).unwrap();
    std::fs::set_permissions(&chain, std::fs::Permissions::from_mode(0o644)).unwrap();
    let name = chain.to_str().unwrap();
    ops(&["tls", "inspect", name, "-C", "/nonexistent/typo"]).exits(0);
}
