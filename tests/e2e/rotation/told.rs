//! How the server is told when its control socket does not do it.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use agnes_e2e::deployment::Deployment;
use agnes_e2e::ports;

use super::host::Host;

/// Stands at the socket's path like a server that does not know `POST /v1/keys/reload` yet; all else goes to the real one.
fn older_server(socket: &Path) {
    let behind: PathBuf = socket.with_extension("behind");
    std::fs::rename(socket, &behind).unwrap();
    let listener = UnixListener::bind(socket).unwrap();
    // it ends with this process
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let behind = behind.clone();
            std::thread::spawn(move || serve(stream.unwrap(), &behind));
        }
    });
}

fn serve(mut client: UnixStream, behind: &Path) {
    let mut first = vec![0; 64 << 10];
    let read = client.read(&mut first).unwrap();
    first.truncate(read);
    if first.starts_with(b"POST /v1/keys/reload ") {
        let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        client.write_all(answer).unwrap();
        return;
    }
    let mut server = UnixStream::connect(behind).unwrap();
    server.write_all(&first).unwrap();
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    let _ = std::io::copy(&mut server, &mut client);
    let _ = client.shutdown(std::net::Shutdown::Both);
}

fn socket(deployment: &Deployment) -> PathBuf {
    deployment.dir().join("data/run/agnesd.sock")
}

#[test]
fn a_server_that_does_not_know_the_call_is_told_by_a_signal() {
    let host = Host::new();
    host.bootstrap();
    let before = host.sign_in();
    older_server(&socket(&host.deployment));
    let rotated = host.ops(&["secrets", "rotate", "jwt"]).exits(0);
    assert_eq!(rotated.detail("told"), "sighup", "{}", rotated.stdout);
    assert_eq!(rotated.detail("proof.state"), "proven");
    assert_eq!((host.call(&before), host.call(&host.sign_in())), (200, 200));
    host.time_passes("jwt");
    let retired = host.ops(&["secrets", "rotate", "jwt"]).exits(0);
    assert_eq!(retired.detail("told"), "sighup", "{}", retired.stdout);
    assert_eq!(host.call(&before), 401);
}

#[test]
fn a_server_that_up_started_and_that_lost_its_socket_is_restarted() {
    let address = ports::free_address();
    let deployment = Deployment::new()
        .with("AGNES_RUNTIME", "process")
        .with("AGNES_LISTEN", address.to_string())
        .with("METRICS_ADDR", "");
    std::fs::create_dir_all(deployment.dir().join("data")).unwrap();
    deployment.ops(&["secrets", "ensure"]).exits(0);
    deployment.ops(&["up"]).exits(0);
    let pid = || std::fs::read_to_string(deployment.state().join("agnesd.pid")).unwrap();
    let first = pid();
    std::fs::remove_file(socket(&deployment)).unwrap();
    let rotated = deployment.ops(&["secrets", "rotate", "session"]).exits(0);
    assert_eq!(rotated.detail("told"), "re-created", "{}", rotated.stdout);
    assert_eq!(rotated.detail("proof.state"), "proven");
    assert_ne!(first, pid());
    // it is still one that `up` started
    deployment.ops(&["up"]).exits(0).with_outcome("unchanged");
    deployment.ops(&["down"]).exits(0);
}

#[test]
fn a_server_that_can_neither_be_asked_nor_restarted_keeps_its_secrets() {
    let host = Host::new();
    std::fs::remove_file(socket(&host.deployment)).unwrap();
    let old = host.live("SCHEDULER_API_TOKEN");
    let ran = host.ops(&["secrets", "rotate", "scheduler"]).exits(1);
    assert!(ran.stderr.contains("nothing was touched"), "{}", ran.stderr);
    assert_eq!(host.live("SCHEDULER_API_TOKEN"), old);
    assert!(!host.journal("scheduler").exists());
}
