//! Tables of URLs and addresses, and one server that a changed name must not lead away from.

use std::collections::HashMap;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// Answers from a table, and remembers what was asked.
#[derive(Default)]
struct Table {
    names: HashMap<&'static str, Vec<&'static str>>,
    asked: Mutex<Vec<String>>,
}

impl Table {
    fn of(names: &[(&'static str, &[&'static str])]) -> Self {
        Self {
            names: names.iter().map(|(n, ips)| (*n, ips.to_vec())).collect(),
            asked: Mutex::default(),
        }
    }
}

impl Lookup for Table {
    async fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.asked.lock().unwrap().push(host.to_owned());
        match self.names.get(host) {
            Some(ips) if *ips == ["never"] => std::future::pending().await,
            Some(ips) => Ok(ips
                .iter()
                .map(|ip| SocketAddr::new(ip.parse().unwrap(), port))
                .collect()),
            None => Err(io::Error::other("no such name")),
        }
    }
}

fn nets(nets: &[&str]) -> Vec<IpNet> {
    nets.iter().map(|net| net.parse().unwrap()).collect()
}

async fn word(guard: &Guard<Table>, url: &str) -> &'static str {
    match guard.vet(&url.parse().unwrap()).await {
        Ok(_) => "ok",
        Err(refused) => refused.reason.word(),
    }
}

#[tokio::test]
async fn addresses_that_are_not_public_are_refused_by_their_class() {
    let guard = Guard::with_lookup(Vec::new(), Table::default());
    for (host, want) in [
        ("8.8.8.8", "ok"),
        ("172.15.255.255", "ok"),
        ("172.32.0.1", "ok"),
        ("100.63.255.255", "ok"),
        ("100.128.0.1", "ok"),
        ("192.0.1.1", "ok"),
        ("198.20.0.1", "ok"),
        ("223.255.255.255", "ok"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.255", "loopback"),
        ("10.1.2.3", "private"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.168.0.1", "private"),
        ("100.64.0.1", "shared-nat"),
        ("100.127.255.255", "shared-nat"),
        ("169.254.0.1", "link-local"),
        ("169.254.169.254", "metadata"),
        ("169.254.170.2", "metadata"),
        ("100.100.100.200", "metadata"),
        ("168.63.129.16", "metadata"),
        ("192.0.0.192", "metadata"),
        ("192.0.0.8", "reserved"),
        ("192.88.99.1", "reserved"),
        ("192.0.2.1", "documentation"),
        ("198.51.100.1", "documentation"),
        ("203.0.113.1", "documentation"),
        ("198.18.0.1", "benchmark"),
        ("198.19.255.255", "benchmark"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.255", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.254", "reserved"),
        ("255.255.255.255", "broadcast"),
        ("[2606:4700:4700::1111]", "ok"),
        ("[2a00:1450::1]", "ok"),
        ("[::]", "unspecified"),
        ("[::1]", "loopback"),
        ("[fe80::1]", "link-local"),
        ("[febf::1]", "link-local"),
        ("[fec0::1]", "private"),
        ("[fc00::1]", "private"),
        ("[fdff::1]", "private"),
        ("[fd00:ec2::254]", "metadata"),
        ("[ff02::1]", "multicast"),
        ("[2001:db8::1]", "documentation"),
        ("[3fff::1]", "documentation"),
        ("[3fff:1000::1]", "ok"),
        ("[100::1]", "reserved"),
        ("[5f00::1]", "reserved"),
        ("[4000::1]", "reserved"),
        ("[2001:2::1]", "benchmark"),
        ("[2001:20::1]", "reserved"),
        ("[2001:200::1]", "ok"),
    ] {
        assert_eq!(
            word(&guard, &format!("http://{host}/")).await,
            want,
            "{host}"
        );
    }
}

#[tokio::test]
async fn an_ipv4_address_inside_an_ipv6_address_is_judged_too() {
    let guard = Guard::with_lookup(Vec::new(), Table::default());
    for (host, want) in [
        ("[::ffff:127.0.0.1]", "loopback"),
        ("[::ffff:a9fe:a9fe]", "metadata"),
        ("[::ffff:8.8.8.8]", "transition"),
        ("[::ffff:0:10.0.0.1]", "private"),
        ("[::127.0.0.1]", "loopback"),
        ("[::8.8.8.8]", "transition"),
        ("[64:ff9b::10.0.0.1]", "private"),
        ("[64:ff9b::169.254.169.254]", "metadata"),
        ("[64:ff9b::8.8.8.8]", "ok"),
        ("[64:ff9b:1::10.0.0.1]", "private"),
        ("[64:ff9b:1:abcd::8.8.8.8]", "transition"),
        ("[2002:7f00:1::1]", "loopback"),
        ("[2002:c0a8:101::]", "private"),
        ("[2002:808:808::1]", "transition"),
        // 127.0.0.1 and 8.8.8.8, inverted
        ("[2001:0:1:2:3:4:80ff:fffe]", "loopback"),
        ("[2001:0:1:2:3:4:f7f7:f7f7]", "transition"),
    ] {
        assert_eq!(
            word(&guard, &format!("https://{host}/")).await,
            want,
            "{host}"
        );
    }
}

#[tokio::test]
async fn every_spelling_of_an_address_is_that_address() {
    let guard = Guard::with_lookup(Vec::new(), Table::default());
    for host in [
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "127.0.0.1.",
        "①②⑦.0.0.1",
        "%31%32%37.0.0.1",
    ] {
        assert_eq!(
            word(&guard, &format!("http://{host}/")).await,
            "loopback",
            "{host}"
        );
    }
    assert!(
        guard.lookup.asked.lock().unwrap().is_empty(),
        "a literal was looked up"
    );
}

#[tokio::test]
async fn schemes_credentials_and_metadata_names_are_refused_before_any_lookup() {
    let guard = Guard::with_lookup(nets(&["0.0.0.0/0", "::/0"]), Table::default());
    for (url, want) in [
        ("ftp://example.com/", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("gopher://example.com/", "scheme"),
        ("data:text/plain,x", "scheme"),
        ("http://user@example.com/", "userinfo"),
        ("http://:password@example.com/", "userinfo"),
        ("http://example.com@127.0.0.1/", "userinfo"),
        (
            "http://metadata.google.internal/computeMetadata/v1/",
            "metadata",
        ),
        ("http://METADATA.google.internal./", "metadata"),
        ("http://instance-data/", "metadata"),
    ] {
        assert_eq!(word(&guard, url).await, want, "{url}");
    }
    assert!(guard.lookup.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn one_bad_address_among_many_refuses_the_name() {
    let table = Table::of(&[
        ("good.example.com", &["8.8.8.8", "2606:4700:4700::1111"]),
        (
            "last.example.com",
            &["8.8.8.8", "2606:4700:4700::1111", "10.0.0.1"],
        ),
        ("six.example.com", &["8.8.8.8", "::1"]),
        ("mapped.example.com", &["8.8.8.8", "::ffff:192.168.1.1"]),
        ("none.example.com", &[]),
    ]);
    let guard = Guard::with_lookup(Vec::new(), table);
    for (name, want) in [
        ("good", "ok"),
        ("last", "private"),
        ("six", "loopback"),
        ("mapped", "private"),
        ("none", "unresolvable"),
        ("absent", "unresolvable"),
    ] {
        assert_eq!(
            word(&guard, &format!("https://{name}.example.com/")).await,
            want,
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_name_that_never_answers_is_given_up() {
    let mut guard = Guard::with_lookup(Vec::new(), Table::of(&[("slow.example.com", &["never"])]));
    assert_eq!(guard.patience, Duration::from_secs(5));
    guard.patience = Duration::from_millis(50);
    assert_eq!(
        word(&guard, "http://slow.example.com/").await,
        "unresolvable"
    );
}

#[tokio::test]
async fn allowed_networks_let_private_addresses_through_and_metadata_only_by_its_one_address() {
    let guard = |allowed: &[&str]| Guard::with_lookup(nets(allowed), Table::default());
    for (allowed, host, want) in [
        (&["10.0.0.0/8"][..], "10.9.9.9", "ok"),
        (&["10.0.0.0/8"], "192.168.0.1", "private"),
        (&["10.0.0.0/8"], "[::ffff:10.0.0.1]", "ok"),
        (&["127.0.0.0/8"], "127.0.0.1", "ok"),
        (&["127.0.0.0/8"], "[::1]", "loopback"),
        (&["10.0.0.0/8"], "[2002:a00:1::]", "private"),
        (&["fd00::/8"], "[fd12::1]", "ok"),
        (&["fd00::/8"], "[fd00:ec2::254]", "metadata"),
        (&["fd00:ec2::254/128"], "[fd00:ec2::254]", "ok"),
        (&["169.254.0.0/16"], "169.254.1.1", "ok"),
        (&["169.254.0.0/16"], "169.254.169.254", "metadata"),
        (&["0.0.0.0/0"], "169.254.169.254", "metadata"),
        (&["169.254.169.254/31"], "169.254.169.254", "metadata"),
        (&["169.254.169.254/32"], "169.254.169.254", "ok"),
        (&["0.0.0.0/0"], "0.0.0.0", "unspecified"),
        (&["0.0.0.0/0"], "224.0.0.1", "multicast"),
        (&["0.0.0.0/0"], "255.255.255.255", "broadcast"),
    ] {
        let url = format!("http://{host}/");
        assert_eq!(
            word(&guard(allowed), &url).await,
            want,
            "{allowed:?} {host}"
        );
    }
}

#[tokio::test]
async fn the_systems_own_lookup_is_judged_alike() {
    for (allowed, want) in [
        (&[][..], None),
        (&["127.0.0.0/8", "::1/128"], Some("localhost")),
    ] {
        let vetted = Guard::new(nets(allowed))
            .vet(&"http://localhost:1/".parse().unwrap())
            .await;
        let host = vetted.as_ref().map(|vetted| vetted.host.as_str());
        assert_eq!(host.ok(), want);
        let refused = vetted.map_err(|refused| refused.reason).err();
        assert_eq!(refused, want.is_none().then_some(Reason::Loopback));
    }
}

/// Answers every request with a redirect to itself; counts nothing, hides nothing.
async fn server() -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = socket.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let _ = stream.read(&mut head).await;
            let answer = "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

#[tokio::test]
async fn a_name_that_changes_after_the_check_leads_nowhere_else() {
    let address = server().await;
    // a name that no resolver knows: only the pinned address can lead to the server
    let table = Table::of(&[("rebinding.invalid", &["127.0.0.1"])]);
    let guard = Guard::with_lookup(nets(&["127.0.0.0/8"]), table);
    let url: Url = format!("http://rebinding.invalid:{}/", address.port())
        .parse()
        .unwrap();
    let vetted = guard.vet(&url).await.unwrap();
    let client = vetted.client(Duration::from_secs(5)).unwrap();
    for _ in 0..2 {
        let answer = client.get(url.clone()).send().await.unwrap();
        // and the redirect is handed over, not followed
        assert_eq!(answer.status(), 302);
        assert_eq!(answer.remote_addr(), Some(address));
    }
    assert_eq!(
        guard.lookup.asked.lock().unwrap().len(),
        1,
        "looked up once, by the guard"
    );

    let other = format!("http://localhost:{}/", address.port());
    assert!(
        client.get(other).send().await.is_err(),
        "another name was connected to"
    );
}
