//! How a boot ended, as it is seen from outside of the machine.

use agnes_e2e::disk::Disk;

use super::{Host, MIB};

/// Answers one request as the metadata server does, and says what it was.
fn told_once(listener: &std::net::TcpListener) -> String {
    use std::io::{Read as _, Write as _};
    let (mut client, _) = listener.accept().unwrap();
    let mut said = Vec::new();
    let mut piece = [0; 4096];
    // the body may come behind the head
    loop {
        match client.read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(read) => said.extend(&piece[..read]),
        }
        let text = String::from_utf8_lossy(&said);
        let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let length = head.to_lowercase();
            let length = length.split("content-length: ").nth(1).unwrap_or("0");
            let length = length.lines().next().unwrap().trim().parse().unwrap_or(0);
            body.len() >= length
        });
        if whole {
            break;
        }
    }
    client
        .write_all(b"HTTP/1.1 200 OK\r\nMetadata-Flavor: Google\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .unwrap();
    String::from_utf8(said).unwrap()
}

#[test]
fn b06_how_a_boot_ended_is_seen_from_outside_whatever_ended_it() {
    let disk = Disk::blank(MIB).unwrap();
    let Some(mut host) = Host::new(disk.device(), false) else {
        return;
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    host.deployment
        .set_environment("GCE_METADATA_HOST", address);
    let told = |host: &Host, code: i32| {
        std::thread::scope(|scope| {
            let told = scope.spawn(|| told_once(&listener));
            let ran = host.boot().exits(code);
            assert_eq!(
                ran.detail("published"),
                "guest-attributes",
                "{}",
                ran.stdout
            );
            told.join().unwrap()
        })
    };
    let refused = told(&host, 1);
    assert!(
        refused.starts_with("PUT /computeMetadata/v1/instance/guest-attributes/agnes/boot "),
        "{refused}"
    );
    assert!(
        refused.contains("failed: disk: ") && refused.contains("it is blank"),
        "{refused}"
    );
    // settings that are wrong, and another run at work
    host.declare(disk.device(), true);
    let toml = host.deployment.dir().join("agnes.toml");
    let right = std::fs::read_to_string(&toml).unwrap();
    std::fs::write(&toml, format!("{right}nonsense = 1\n")).unwrap();
    assert!(told(&host, 78).contains("failed: "));
    std::fs::write(&toml, right).unwrap();
    let lock = std::fs::File::options()
        .write(true)
        .open(host.deployment.dir().join(".lock"))
        .unwrap();
    lock.lock().unwrap();
    assert!(told(&host, 75).contains("deferred: "));
    drop(lock);
    assert!(told(&host, 0).ends_with("\r\n\r\nok"));
    disk.unmount();
}
