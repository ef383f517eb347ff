//! Files of this host, and locations that are none.

use super::*;

fn file(path: &Path) -> Result<Fetched, Failure> {
    let options = Options {
        max_bytes: 1000,
        ..options()
    };
    fetch(&options, &format!("file://{}", path.display()))
}

#[test]
fn t13_every_kind_of_file_has_its_reason_and_a_fifo_never_blocks() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("chain"), b"chain").unwrap();
    std::fs::write(path("full"), vec![b'x'; 1000]).unwrap();
    std::fs::write(path("large"), vec![b'x'; 1001]).unwrap();
    std::os::unix::fs::symlink("chain", path("link")).unwrap();
    std::os::unix::fs::symlink("loop", path("loop")).unwrap();
    nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
    assert_eq!(body(file(&path("chain"))), b"chain");
    assert_eq!(body(file(&path("link"))), b"chain");
    assert_eq!(body(file(&path("full"))).len(), 1000);
    failed(file(&path("large")), Reason::TooLarge);
    failed(file(Path::new("/dev/zero")), Reason::Malformed);
    failed(file(&path("absent")), Reason::NotPublished);
    failed(file(&path("chain/absent")), Reason::NotPublished);
    for (name, words) in [
        ("fifo", "a fifo"),
        ("socket", "a socket"),
        (".", "a directory"),
        ("loop", "symbolic"),
    ] {
        let failure = failed(file(&path(name)), Reason::Malformed);
        assert!(failure.message.contains(words), "{failure}");
    }
    // /proc files claim length 0 and have content all the same.
    failed(file(Path::new("/proc/self/smaps")), Reason::TooLarge);
    if !nix::unistd::geteuid().is_root() {
        std::fs::set_permissions(path("chain"), std::fs::Permissions::from_mode(0o000)).unwrap();
        failed(file(&path("chain")), Reason::Forbidden);
    }
}

#[test]
fn a_location_that_does_not_parse_fails_like_one_that_cannot_be_fetched() {
    let failure = failed(
        fetch(&options(), "http://user:hunter2@h/x"),
        Reason::UnsupportedScheme,
    );
    assert_eq!(
        failure.to_string(),
        "fetch http://: is not fetched; use https://, sm://, gs:// or file://"
    );
    failed(fetch(&options(), "gs://bucket"), Reason::Malformed);
}
