//! The host, and what its services logged last.
//!
//! Always true: programs that are not here, or do not answer in time, are left out with the reason.
//!
//! Does not: read logs that are not ours.

use std::path::Path;
use std::time::Duration;

use agnes_config::{Runtime, Settings};

use super::Gathered;
use crate::engine::Engine;
use crate::host::Host;

/// So many lines of each log.
const LINES: &str = "2000";
/// Of one program.
const DEADLINE: Duration = Duration::from_secs(20);

/// What is asked of the host: the file's name, and the program.
const ASKED: [(&str, &[&str]); 8] = [
    ("host/uname.txt", &["uname", "-a"]),
    ("host/uptime.txt", &["uptime"]),
    ("host/disks.txt", &["df", "-h"]),
    ("host/inodes.txt", &["df", "-i"]),
    ("host/memory.txt", &["free", "-m"]),
    ("host/docker.txt", &["docker", "version"]),
    (
        "host/timers.txt",
        &["systemctl", "list-timers", "--all", "--no-pager", "agnes-*"],
    ),
    (
        "host/units.txt",
        &[
            "systemctl",
            "status",
            "--no-pager",
            "--full",
            "--lines=0",
            "agnes*",
        ],
    ),
];

/// Adds them.
pub(super) fn gather(
    host: &Host,
    settings: Option<&Settings>,
    dir: &Path,
    docker_host: Option<&str>,
    gathered: &mut Gathered,
) {
    for path in ["/etc/os-release", "/proc/mounts"] {
        let name = path.rsplit('/').next().unwrap_or_default();
        let read = host.read(path.as_ref()).map_err(|why| why.to_string());
        let text =
            read.map(|bytes| String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned());
        gathered.add_or_say(&format!("host/{name}.txt"), text);
    }
    for (name, argv) in ASKED {
        gathered.add_or_say(name, said(host, argv));
    }
    let journal = [
        "journalctl",
        "--no-pager",
        "--output=short-iso",
        "--lines",
        LINES,
        "--unit=agnes*",
    ];
    gathered.add_or_say("logs/journal.log", said(host, &journal));
    match settings.map(|settings| settings.runtime) {
        Some(Runtime::Process) => {
            let log = settings.map(|settings| settings.state_dir.join("ops/agnesd.log"));
            let log = log.unwrap_or_default();
            match host.read_end(&log, super::MOST as u64 + 1) {
                Ok(Some(bytes)) => gathered.add("logs/agnesd.log", String::from_utf8_lossy(&bytes)),
                Ok(None) => {}
                Err(why) => gathered
                    .left_out
                    .push(("logs/agnesd.log".to_owned(), why.to_string())),
            }
        }
        Some(Runtime::Compose) | None => of_containers(host, dir, docker_host, gathered),
    }
}

fn of_containers(host: &Host, dir: &Path, docker_host: Option<&str>, gathered: &mut Gathered) {
    let found = Engine::of(docker_host).and_then(|engine| engine.containers(dir));
    let containers = match found {
        Ok(containers) => containers,
        Err(why) => {
            let why = format!("the Docker engine: {why:#}");
            gathered.left_out.push(("logs".to_owned(), why));
            return;
        }
    };
    for one in containers {
        let short = one.id.get(..12).unwrap_or(&one.id);
        let name = format!("logs/{}-{short}.log", one.service);
        let argv = ["docker", "logs", "--timestamps", "--tail", LINES, &one.id];
        gathered.add_or_say(&name, said(host, &argv));
    }
}

/// Both outputs of a program: some speak on one, some on the other.
fn said(host: &Host, argv: &[&str]) -> Result<String, String> {
    match host.run(argv, None, DEADLINE) {
        Ok(ran) => {
            let mut text = ran.stdout;
            text.push_str(&ran.stderr);
            if ran.code != 0 {
                text.push_str(&format!("\n(exit {})\n", ran.code));
            }
            Ok(text)
        }
        Err(why) => Err(why.to_string()),
    }
}
