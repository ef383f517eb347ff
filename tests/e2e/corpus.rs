//! T05, T06: everything a URL may serve that must never be installed, each with its reason, the disk unchanged.

use agnes_e2e::authority::{
    Authority, Digest, Leaf, Usage, common_name, ec_key, key_pem, pem, public, rsa_key,
};
use agnes_e2e::deployment::{DOMAIN, Deployment};
use openssl::x509::X509;

use crate::rotate::with_ca_certificate;

struct Case {
    name: &'static str,
    published: Vec<u8>,
    reason: &'static str,
}

fn case(name: &'static str, published: impl Into<Vec<u8>>, reason: &'static str) -> Case {
    Case {
        name,
        published: published.into(),
        reason,
    }
}

fn good() -> Leaf {
    Leaf::new(DOMAIN).days(-1, 95)
}

fn not_pem(chain: &str, leaf: &X509) -> Vec<Case> {
    let issuer = &chain[chain.rfind("-----BEGIN").unwrap()..];
    let leaf_pem = pem(leaf);
    let mut trailing = leaf.to_der().unwrap();
    trailing.extend_from_slice(b"trailing");
    let block = |label: &str, der: &[u8]| {
        let base64 = openssl::base64::encode_block(der);
        let lines: Vec<&str> = base64
            .as_bytes()
            .chunks(64)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect();
        format!(
            "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
            lines.join("\n")
        )
    };
    let key = ec_key();
    vec![
        case("an empty file", "", "empty"),
        case("white space", " \n\t\r\n", "empty"),
        case("a web page", "<html><body>Sign in</body></html>", "not-pem"),
        case(
            "a web page with a doctype",
            "<!DOCTYPE html>\n<title>502</title>",
            "not-pem",
        ),
        case("JSON", "{\"error\": \"not found\"}", "not-pem"),
        case("plain text", "certificate pending approval\n", "not-pem"),
        case("DER", leaf.to_der().unwrap(), "not-pem"),
        case("zeros", vec![0; 4096], "not-pem"),
        case(
            "bytes that are no text",
            vec![0xff, 0xfe, 0x2d, 0x2d, 0x80],
            "not-pem",
        ),
        case(
            "half a leaf",
            &leaf_pem.as_bytes()[..leaf_pem.len() / 2],
            "not-pem",
        ),
        case(
            "half an issuer",
            &chain.as_bytes()[..chain.len() - 80],
            "not-pem",
        ),
        case(
            "a chain without its last line",
            chain.trim_end().rsplit_once('\n').unwrap().0,
            "not-pem",
        ),
        case(
            "a good leaf and a junk second block",
            format!("{leaf_pem}-----BEGIN CERTIFICATE-----\nanVuaw==\n-----END CERTIFICATE-----\n"),
            "not-pem",
        ),
        case(
            "a block that is not base64",
            format!("{leaf_pem}-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n"),
            "not-pem",
        ),
        case(
            "bytes behind the certificate",
            block("CERTIFICATE", &trailing),
            "not-pem",
        ),
        case(
            "a request",
            block("CERTIFICATE REQUEST", &leaf.to_der().unwrap()),
            "not-pem",
        ),
        case(
            "a trusted certificate",
            block("TRUSTED CERTIFICATE", &leaf.to_der().unwrap()),
            "not-pem",
        ),
        case(
            "a revocation list",
            format!("{leaf_pem}{}", block("X509 CRL", b"crl")),
            "not-pem",
        ),
        case(
            "a public key",
            public(&key).public_key_to_pem().unwrap(),
            "not-pem",
        ),
        case(
            "a misspelt label",
            leaf_pem.replace("BEGIN CERTIFICATE", "BEGIN CERTIFICAT"),
            "not-pem",
        ),
        case(
            "an empty block",
            format!("{leaf_pem}{}", block("CERTIFICATE", b"")),
            "not-pem",
        ),
        case(
            "the chain and a key",
            format!("{chain}{}", key_pem(&key)),
            "contains-key",
        ),
        case(
            "a key and the chain",
            format!("{}{chain}", key_pem(&key)),
            "contains-key",
        ),
        case("a key alone", key_pem(&key), "contains-key"),
        case(
            "a key in the old form",
            [
                chain.as_bytes(),
                &key.ec_key().unwrap().private_key_to_pem().unwrap(),
            ]
            .concat(),
            "contains-key",
        ),
        case(
            "an encrypted key",
            [
                chain.as_bytes(),
                &key.private_key_to_pem_pkcs8_passphrase(
                    openssl::symm::Cipher::aes_128_cbc(),
                    b"secret",
                )
                .unwrap(),
            ]
            .concat(),
            "contains-key",
        ),
        case(
            "a key in a web page",
            format!("<pre>{}</pre>", key_pem(&key)),
            "contains-key",
        ),
        case(
            "half a key",
            &key_pem(&key).as_bytes()[..60],
            "contains-key",
        ),
        case(
            "issuer before leaf",
            format!("{issuer}{leaf_pem}"),
            "chain-order",
        ),
    ]
}

fn wrong_chains(request: &[u8], root: &Authority, issuing: &Authority) -> Vec<Case> {
    let answer = |leaf: &Leaf| issuing.answer(request, leaf);
    let other_key = issuing.sign_key(&public(&ec_key()), &common_name(DOMAIN), &good());
    let leaf = issuing.sign(request, &good());
    let namesake = Authority::root("Example Root").intermediate("Example Issuing CA");
    let impostor = Authority::root("Elsewhere Root").intermediate("Elsewhere CA");
    let no_ca = issuing.sign_key(
        &public(&ec_key()),
        &common_name("Middle"),
        &Leaf::new("middle.example.com"),
    );
    let names = |names: &[&str]| Leaf {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        ..good()
    };
    let old = Leaf::new("").days(-400, -1);
    let future = Leaf::new("").days(1, 400);
    let expired_issuer = root.intermediate_with("Expired CA", ec_key(), &old);
    let future_issuer = root.intermediate_with("Future CA", ec_key(), &future);
    let weak_issuer =
        root.intermediate_with("Weak CA", rsa_key(1024), &Leaf::new("").days(-10, 400));
    let sha1 = Leaf {
        digest: Digest::Sha1,
        ..Leaf::new("").days(-10, 400)
    };
    let sha1_issuer = root.intermediate_with("Old CA", ec_key(), &sha1);
    let mut bent = leaf.to_der().unwrap();
    *bent.last_mut().unwrap() ^= 1;
    let bent = X509::from_der(&bent).unwrap();
    vec![
        case(
            "a leaf for another key",
            issuing.chain(&other_key),
            "key-mismatch",
        ),
        case(
            "another host's chain in the right order",
            impostor.chain(&other_key),
            "key-mismatch",
        ),
        case(
            "everything in reverse",
            format!("{}{}{}", root.pem(), issuing.pem(), pem(&leaf)),
            "chain-order",
        ),
        case(
            "a CA certificate as leaf",
            answer(&Leaf { ca: true, ..good() }),
            "leaf-is-ca",
        ),
        case(
            "another name",
            answer(&names(&["other.example.com"])),
            "san-mismatch",
        ),
        case("no SAN", answer(&names(&[])), "san-mismatch"),
        case(
            "a wildcard elsewhere",
            answer(&names(&["*.example.org"])),
            "san-mismatch",
        ),
        case(
            "a wildcard one label too deep",
            answer(&names(&["*.agnes.example.com"])),
            "san-mismatch",
        ),
        case(
            "a wildcard one label too high",
            answer(&names(&["*.com"])),
            "san-mismatch",
        ),
        case(
            "a name that only begins alike",
            answer(&names(&["agnes.example.com.example.org"])),
            "san-mismatch",
        ),
        case(
            "for clients",
            answer(&Leaf {
                usage: Usage::Client,
                ..good()
            }),
            "no-server-auth",
        ),
        case(
            "for nothing in particular",
            answer(&Leaf {
                usage: Usage::None,
                ..good()
            }),
            "no-server-auth",
        ),
        case(
            "an issuer of the same name with another key",
            format!("{}{}", pem(&leaf), namesake.pem()),
            "chain-broken",
        ),
        case(
            "an issuer missing",
            format!("{}{}", pem(&leaf), root.pem()),
            "chain-broken",
        ),
        case(
            "the leaf twice",
            format!("{}{}{}", pem(&leaf), pem(&leaf), issuing.pem()),
            "chain-broken",
        ),
        case(
            "a stranger at the end",
            format!("{}{}", issuing.chain(&leaf), impostor.pem()),
            "chain-broken",
        ),
        case(
            "a signature with a bit flipped",
            issuing.chain(&bent),
            "chain-broken",
        ),
        case(
            "issued by no CA",
            format!("{}{}", pem(&leaf), pem(&no_ca)),
            "chain-broken",
        ),
        case(
            "an issuer of 1024 bits",
            weak_issuer.answer(request, &good()),
            "weak-key",
        ),
        case(
            "signed with SHA-1",
            answer(&Leaf {
                digest: Digest::Sha1,
                ..good()
            }),
            "weak-signature",
        ),
        case(
            "an issuer signed with SHA-1",
            sha1_issuer.answer(request, &good()),
            "weak-signature",
        ),
        case(
            "not yet valid",
            answer(&Leaf::new(DOMAIN).days(1, 95)),
            "not-yet-valid",
        ),
        case(
            "an issuer that is not yet valid",
            future_issuer.answer(request, &good()),
            "not-yet-valid",
        ),
        case(
            "expired",
            answer(&Leaf::new(DOMAIN).days(-90, -1)),
            "expired",
        ),
        case(
            "ending within 24 hours",
            answer(&Leaf {
                from_secs: -3600,
                to_secs: 23 * 3600,
                ..good()
            }),
            "expired",
        ),
        case(
            "an expired issuer",
            expired_issuer.answer(request, &good()),
            "expired",
        ),
        case(
            "older than the installed one",
            answer(&Leaf::new(DOMAIN).days(-20, 60)),
            "older-than-installed",
        ),
    ]
}

#[test]
fn t06_no_bad_chain_is_ever_installed() {
    let (deployment, _, _) = with_ca_certificate(89);
    let request = deployment.request();
    let root = Authority::root("Example Root");
    let issuing = root.intermediate("Example Issuing CA");
    let leaf = issuing.sign(&request, &good());
    let mut cases = not_pem(&issuing.chain(&leaf), &leaf);
    cases.extend(wrong_chains(&request, &root, &issuing));
    assert!(cases.len() >= 40, "{} cases", cases.len());
    let before = deployment.certs_snapshot();
    for case in &cases {
        deployment.publish(&case.published);
        let ran = deployment.ops(&["tls", "rotate"]);
        let told = format!("{}: {}", case.name, ran.stderr);
        assert_eq!(ran.code, 1, "{told}");
        assert_eq!(ran.detail("reason"), case.reason, "{told}");
        assert_eq!(ran.detail("reasons")[0], case.reason, "{told}");
        assert_eq!(ran.json["outcome"], "unchanged", "{told}");
        assert_eq!(deployment.certs_snapshot(), before, "{told}");
        assert_eq!(
            ran.stderr
                .lines()
                .filter(|line| line.starts_with("agnes-ops:"))
                .count(),
            1,
            "{told}"
        );
        assert!(!ran.stderr.contains("PRIVATE KEY-----\n"), "{told}");
    }
    // and the good one, so that the cases above were refused for what they are
    deployment.publish(issuing.chain(&leaf));
    deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("changed");
    println!(
        "FIGURE bad-chains {} published files refused, each for its own reason, the disk unchanged",
        cases.len()
    );
}

#[test]
fn t06_every_reason_that_applies_is_listed_in_order() {
    let (deployment, ..) = with_ca_certificate(89);
    let issuing = Authority::root("Example Root").intermediate("Example Issuing CA");
    let leaf = Leaf {
        names: vec!["other.example.com".into()],
        usage: Usage::Client,
        digest: Digest::Sha1,
        ca: true,
        ..Leaf::new("").days(-90, -1)
    };
    deployment.publish(issuing.answer(&deployment.request(), &leaf));
    let ran = deployment.ops(&["tls", "rotate"]).exits(1);
    let reasons: Vec<&str> = ran
        .detail("reasons")
        .as_array()
        .unwrap()
        .iter()
        .map(|reason| reason.as_str().unwrap())
        .collect();
    assert_eq!(
        reasons,
        [
            "leaf-is-ca",
            "san-mismatch",
            "no-server-auth",
            "weak-signature",
            "expired",
            "older-than-installed"
        ]
    );
}

#[test]
fn t06_an_alias_must_be_covered_too() {
    let (mut deployment, authority, _) = with_ca_certificate(60);
    deployment.set("DOMAIN_ALIAS", "www.example.com");
    let ran = deployment.ops(&["tls", "rotate"]).exits(1);
    assert_eq!(ran.detail("reason"), "san-mismatch");
    let both = Leaf {
        names: vec![DOMAIN.into(), "www.example.com".into()],
        ..good()
    };
    deployment.publish(authority.answer(&deployment.request(), &both));
    deployment
        .ops(&["tls", "rotate"])
        .exits(0)
        .with_outcome("changed");
}

#[test]
fn a_provisioned_key_of_1024_bits_is_weak() {
    let deployment = Deployment::new();
    let key = rsa_key(1024);
    let issuing = Authority::root("Example Root").intermediate("Example Issuing CA");
    let leaf = issuing.sign_key(&public(&key), &common_name(DOMAIN), &good());
    let key_path = deployment.dir().join("key.pem");
    std::fs::write(&key_path, key_pem(&key)).unwrap();
    let url = deployment.publish(issuing.chain(&leaf));
    let deployment = deployment
        .with("TLS_PRIVKEY_URL", format!("file://{}", key_path.display()))
        .with("TLS_FULLCHAIN_URL", url);
    let ran = deployment.ops(&["tls", "rotate"]).exits(1);
    assert_eq!(ran.detail("reason"), "weak-key");
}

#[test]
fn an_older_chain_is_installed_with_consent() {
    let (deployment, authority, _) = with_ca_certificate(89);
    deployment.publish(authority.answer(&deployment.request(), &Leaf::new(DOMAIN).days(-20, 60)));
    assert_eq!(
        deployment.ops(&["tls", "rotate"]).exits(1).detail("reason"),
        "older-than-installed"
    );
    deployment
        .ops(&["tls", "rotate", "--allow-older"])
        .exits(0)
        .with_outcome("changed");
}
