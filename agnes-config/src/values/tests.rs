//! Tables of values, right and wrong.

use super::*;

#[test]
fn domains() {
    for (text, name) in [
        ("localhost", "localhost"),
        ("Agnes.Example.COM.", "agnes.example.com"),
        ("*.example.com", "*.example.com"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("1a.example.com", "1a.example.com"),
    ] {
        assert_eq!(domain(text).unwrap().as_str(), name);
    }
    let long = format!("{}.example.com", "x".repeat(64));
    let longer = format!("{}example.com", "abcdefgh.".repeat(30));
    for text in [
        "",
        ".",
        "a..b",
        "-a.example.com",
        "a-.example.com",
        "a_b.example.com",
        "bücher.example",
        "10.0.0.1",
        "::1",
        "x:443",
        "https://x",
        "x/y",
        "a.*.example.com",
        "*",
        "a b",
        "example.123",
        &long,
        &longer,
    ] {
        assert!(domain(text).is_err(), "{text}");
    }
}

#[test]
fn subjects() {
    let parsed =
        subject::subject("/C=US/ST=Illinois/L=Chicago/O=Your Org/CN=agnes.example.com").unwrap();
    assert_eq!(parsed.len(), 5);
    assert_eq!(parsed[3], ("O".to_owned(), "Your Org".to_owned()));
    let parsed =
        subject::subject(r"/O=A\/B \\ C=D/OU=x/OU=y/emailAddress=ops@example.com").unwrap();
    assert_eq!(parsed[0].1, r"A/B \ C=D");
    let long = format!("/CN={}", "x".repeat(65));
    for text in [
        "",
        "/",
        "CN=x",
        "/CN=",
        "/CN= ",
        "/C=usa",
        "/C=us",
        "/CN=a/CN=b",
        "/X=1",
        "/cn=x",
        "/O=a//CN=b",
        r"/O=a\",
        r"/O=a\n",
        "/O=a/b",
        "/O=a\nb",
        "/emailAddress=é",
        &long,
    ] {
        assert!(subject::subject(text).is_err(), "{text}");
    }
}

#[test]
fn subjects_that_no_request_can_be_written_with() {
    let sound = r"/ST=a/ST=b/L=a/L=b/O=a/O=b/OU=a/OU=b/serialNumber=A-1 '()+,-.\/:=?/CN=x";
    assert_eq!(subject::subject(sound).unwrap().len(), 10);
    let wrong = |text: &str| subject::subject(text).unwrap_err();
    assert_eq!(
        wrong("/OU=a/OU=b/OU=c/CN=x"),
        "has 3 times OU, and a request can be written with at most 2"
    );
    for name in ["C", "CN", "emailAddress", "serialNumber"] {
        assert!(
            wrong(&format!("/{name}=AB/{name}=CD")).contains("at most 1"),
            "{name}"
        );
    }
    assert!(wrong("/serialNumber=12_3/CN=x").contains("cannot carry '_'"));
    for value in ["1@2", "1*", "1&2", "é", "1;2"] {
        wrong(&format!("/serialNumber={value}"));
    }
    for (name, most) in [
        ("CN", 64),
        ("O", 64),
        ("OU", 64),
        ("L", 128),
        ("ST", 128),
        ("serialNumber", 64),
        ("emailAddress", 255),
    ] {
        let of = |count: usize| format!("/{name}={}", "x".repeat(count));
        assert!(subject::subject(&of(most)).is_ok(), "{name}");
        assert!(wrong(&of(most + 1)).contains("longer than"), "{name}");
    }
}

#[test]
fn served_addresses() {
    assert_eq!(served("none"), Ok(ServedAddress::Off));
    for text in [
        "127.0.0.1:443",
        "[::1]:443",
        "agnes.example.com:8443",
        "localhost:1",
    ] {
        assert_eq!(served(text), Ok(ServedAddress::At(text.to_owned())));
    }
    for text in [
        "",
        "None",
        "443",
        ":443",
        "::1:443",
        "[::1]",
        "x",
        "x:0",
        "x:65536",
        "x:+1",
        "https://x:443",
        "[x]:443",
        "*.x.com:443",
        "999.1.1.1:443",
    ] {
        assert!(served(text).is_err(), "{text}");
    }
}

#[test]
fn durations_and_sizes() {
    for (text, millis) in [
        ("25s", 25_000),
        ("500ms", 500),
        ("2m", 120_000),
        ("1h", 3_600_000),
        ("0s", 0),
    ] {
        assert_eq!(duration(text), Ok(Duration::from_millis(millis)));
    }
    for text in [
        "",
        "25",
        "s",
        "-1s",
        "1.5s",
        "1 s",
        "1d",
        "25h",
        "99999999999999999999s",
        "1S",
        "18446744073709551615m",
    ] {
        assert!(duration(text).is_err(), "{text}");
    }
    assert!(deadline("0ms").is_err());
    for (text, bytes) in [("1MiB", 1 << 20), ("64KiB", 65_536), ("1000B", 1000)] {
        assert_eq!(size(text), Ok(bytes));
    }
    for text in [
        "",
        "1",
        "1MB",
        "0B",
        "65MiB",
        "18446744073709551615MiB",
        "1mib",
    ] {
        assert!(size(text).is_err(), "{text}");
    }
}

#[test]
fn log_levels() {
    for text in [
        "info",
        "DEBUG",
        "off",
        "info,agnes_ops=debug",
        "agnes_ops::tls=trace, warn",
    ] {
        assert!(log_level(text).is_ok(), "{text}");
    }
    for text in [
        "verbose",
        "warning",
        "agnes_ops",
        "info,",
        "=info",
        "a=b",
        "a b=info",
    ] {
        assert!(log_level(text).is_err(), "{text}");
    }
}

#[test]
fn endpoints_leave_the_host_only_under_tls() {
    for text in [
        "https://x.example.com",
        "http://127.0.0.1:4443",
        "http://[::1]:1/",
        "http://localhost:1/storage",
    ] {
        assert!(endpoint(text).is_ok(), "{text}");
    }
    for text in [
        "http://x.example.com",
        "http://10.0.0.1",
        "http://localhost.example.com",
        "ftp://localhost",
        "x",
        "https://u@x",
        "https://x?y",
        "https://x#y",
        "unix:/x",
    ] {
        assert!(endpoint(text).is_err(), "{text}");
    }
}

#[test]
fn owners_and_projects() {
    assert_eq!(owner("1000:0"), Ok(FileOwner { uid: 1000, gid: 0 }));
    for text in [
        "",
        "1000",
        "a:b",
        "1:",
        "-1:1",
        "+1:1",
        "1:1:1",
        "4294967295:0",
        "4294967296:0",
    ] {
        assert!(owner(text).is_err(), "{text}");
    }
    assert!(project("example-project").is_ok() && project("example.com:p").is_ok());
    for text in ["", "a/b", "-x", "a?b", "a b", "a#b", "a%2fb"] {
        assert!(project(text).is_err(), "{text}");
    }
}

#[test]
fn a_url_that_does_not_parse_shows_no_credential() {
    for (text, shown) in [
        ("ftp://u:p@example.com/x?y#z", "ftp://example.com/x"),
        ("https://u:p?q@example.com/", "<not a URL, 26 chars>"),
        ("https://u:p#q@example.com/", "<not a URL, 26 chars>"),
        ("https://u:p/q@example.com/", "https://example.com/"),
        ("token", "<not a URL, 5 chars>"),
        ("to ken://x", "<not a URL, 10 chars>"),
    ] {
        assert_eq!(redacted_url(text), shown);
    }
}
