//! The decision table: what is on disk × what the source says → what is done and how it ends.

use agnes_config::KeyType;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use time::{Duration, OffsetDateTime};

use super::*;
use crate::tls::generations::Layout;
use crate::tls::request::{Request, bridge, request};

const NAME: &str = "agnes.example.com";

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap()
}

fn identity() -> Identity {
    Identity {
        subject: vec![("CN".into(), NAME.into())],
        names: vec![NAME.into()],
    }
}

fn key() -> PrivateKey {
    PrivateKey::generate(KeyType::EcdsaP256).unwrap()
}

/// A chain by a CA over this key, valid from `from` to `to` days from now.
fn signed(key: &PrivateKey, name: &str, from: i64, to: i64) -> Chain {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    authority
        .distinguished_name
        .push(rcgen::DnType::CommonName, "Example CA");
    authority.not_before = now() - Duration::days(3650);
    authority.not_after = now() + Duration::days(3650);
    let authority_key = KeyPair::generate().unwrap();
    let authority_certificate = authority.self_signed(&authority_key).unwrap();
    let mut leaf = CertificateParams::new(vec![name.to_owned()]).unwrap();
    leaf.not_before = now() + Duration::days(from);
    leaf.not_after = now() + Duration::days(to);
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let issuer = Issuer::from_params(&authority, &authority_key);
    let leaf = leaf.signed_by(&key.pair().unwrap(), &issuer).unwrap();
    Chain::parse(format!("{}{}", leaf.pem(), authority_certificate.pem()).as_bytes()).unwrap()
}

fn disk(key: &PrivateKey, chain: Chain) -> Disk {
    Disk {
        current: Some(1),
        pair: Some(Pair {
            key: Ok(key.clone()),
            chain: Ok(chain),
            key_mode: Some(0o600),
        }),
        layout: Layout::Linked,
        generations: vec![1],
        request: Some(Request::parse(
            request(&identity(), key).unwrap().as_bytes(),
        )),
        ..Disk::default()
    }
}

fn bridged(key: &PrivateKey) -> Disk {
    let made = bridge(&identity(), key, now()).unwrap();
    Disk {
        pending: vec![(1, key.clone())],
        ..disk(key, Chain::of(made))
    }
}

fn failure(reason: Reason) -> Failure {
    Failure {
        reason,
        url: "https://ca.example.com/chain".into(),
        message: "no".into(),
        hint: None,
    }
}

fn decide(disk: &Disk, key: KeySource, chain: ChainSource) -> Plan {
    let identity = identity();
    plan(&Situation {
        identity: &identity,
        key_type: None,
        now: now(),
        disk,
        key,
        chain,
        allow_older: false,
        ensure: false,
    })
}

fn failed(reason: Reason) -> ChainSource {
    ChainSource::Failed(failure(reason))
}

fn code(plan: &Plan) -> Option<&str> {
    plan.verdict
        .as_ref()
        .err()
        .map(|refusal| refusal.reasons[0].as_str())
}

#[test]
fn an_empty_disk_gets_key_request_and_bridge_whatever_the_source_says() {
    for (reason, verdict) in [
        (Reason::NotPublished, None),
        (Reason::Transient, Some("transient")),
        (Reason::Forbidden, Some("forbidden")),
        (Reason::Malformed, Some("malformed")),
    ] {
        let plan = decide(&Disk::default(), KeySource::Host, failed(reason));
        let new = KeyRef::New(KeyType::Rsa2048);
        assert_eq!(plan.new_key, Some(KeyType::Rsa2048), "{reason:?}");
        assert_eq!(plan.request, Some(new), "{reason:?}");
        assert_eq!(plan.install, Some(Install::Bridge(new)), "{reason:?}");
        assert_eq!(code(&plan), verdict, "{reason:?}");
    }
}

#[test]
fn an_empty_url_touches_nothing() {
    let plan = decide(&Disk::default(), KeySource::Host, ChainSource::Nowhere);
    assert!(plan.lines().is_empty() && plan.verdict.is_ok());
}

#[test]
fn t07_the_bridge_is_renewed_before_it_ends_and_a_ca_certificate_is_never_replaced_by_one() {
    let key = key();
    let fresh = bridged(&key);
    assert_eq!(
        decide(&fresh, KeySource::Host, failed(Reason::NotPublished)).install,
        None
    );

    let aged = bridge(&identity(), &key, now() - Duration::days(21)).unwrap();
    let aged = Disk {
        pending: vec![(1, key.clone())],
        ..disk(&key, Chain::of(aged))
    };
    let renewed = Some(Install::Bridge(KeyRef::Pending(1)));
    assert_eq!(
        decide(&aged, KeySource::Host, failed(Reason::NotPublished)).install,
        renewed
    );
    // also when nothing is polled any more
    assert_eq!(
        decide(&aged, KeySource::Host, ChainSource::Nowhere).install,
        renewed
    );

    // expired, and for another name: still the CA's
    for chain in [
        signed(&key, NAME, -90, -1),
        signed(&key, "other.example.com", -10, 80),
    ] {
        for reason in [Reason::NotPublished, Reason::Transient, Reason::Forbidden] {
            assert_eq!(
                decide(&disk(&key, chain.clone()), KeySource::Host, failed(reason)).install,
                None
            );
        }
    }
}

#[test]
fn t13_and_t14_a_failed_fetch_is_an_alarm_by_reason_and_by_days_left() {
    let key = key();
    // 90 days of life: the threshold is 21 days; 30 days of life: it is 10
    let plenty = disk(&key, signed(&key, NAME, -60, 30));
    let short = disk(&key, signed(&key, NAME, -70, 20));
    let short_lived = disk(&key, signed(&key, NAME, -18, 12));
    let table = [
        (&plenty, Reason::NotPublished, None),
        (&plenty, Reason::Transient, None),
        (&plenty, Reason::Forbidden, Some("forbidden")),
        (&plenty, Reason::Malformed, Some("malformed")),
        (&plenty, Reason::TooLarge, Some("too-large")),
        (&plenty, Reason::Redirect, Some("redirect")),
        (&short, Reason::NotPublished, Some("not-published")),
        (&short, Reason::Transient, Some("transient")),
        (&short_lived, Reason::Transient, None),
    ];
    for (disk, reason, verdict) in table {
        assert_eq!(
            code(&decide(disk, KeySource::Host, failed(reason))),
            verdict,
            "{reason:?}"
        );
    }
    let bridge = bridged(&key);
    assert_eq!(
        code(&decide(
            &bridge,
            KeySource::Host,
            failed(Reason::NotPublished)
        )),
        None
    );
    assert_eq!(
        code(&decide(&bridge, KeySource::Host, failed(Reason::Transient))),
        Some("transient")
    );
}

#[test]
fn t11_a_late_certificate_for_an_older_request_finds_its_key() {
    let (old, new) = (key(), key());
    let mut disk = bridged(&old);
    disk.pending.push((2, new.clone()));
    disk.request = Some(Request::parse(
        request(&identity(), &new).unwrap().as_bytes(),
    ));
    let answer = signed(&old, NAME, -1, 89);
    let plan = decide(&disk, KeySource::Host, ChainSource::Fetched(answer.clone()));
    assert_eq!(
        plan.install,
        Some(Install::Chain(answer, KeyRef::Pending(1)))
    );
    // the request on disk is for the newest key, and stays
    assert_eq!(plan.request, None);
}

#[test]
fn t11_a_changed_name_makes_a_new_request_over_the_same_key() {
    let key = key();
    let disk = disk(&key, signed(&key, NAME, -10, 80));
    let mut identity = identity();
    identity.names.push("alias.example.com".into());
    let plan = plan(&Situation {
        identity: &identity,
        key_type: None,
        now: now(),
        disk: &disk,
        key: KeySource::Host,
        chain: failed(Reason::NotPublished),
        allow_older: false,
        ensure: false,
    });
    assert_eq!(plan.request, Some(KeyRef::Current));
    assert_eq!((plan.new_key, plan.install), (None, None));
}

#[test]
fn a_key_type_that_was_asked_for_makes_a_new_key_and_leaves_the_served_one() {
    let key = key();
    let disk = disk(&key, signed(&key, NAME, -10, 80));
    let identity = identity();
    let plan = plan(&Situation {
        identity: &identity,
        key_type: Some(KeyType::EcdsaP384),
        now: now(),
        disk: &disk,
        key: KeySource::Host,
        chain: failed(Reason::NotPublished),
        allow_older: false,
        ensure: false,
    });
    assert_eq!(plan.new_key, Some(KeyType::EcdsaP384));
    assert_eq!(plan.install, None);
}

#[test]
fn t16_the_same_chain_is_no_work() {
    let key = key();
    let chain = signed(&key, NAME, -10, 80);
    let disk = disk(&key, chain.clone());
    for source in [ChainSource::Fetched(chain), ChainSource::NotModified] {
        let plan = decide(&disk, KeySource::Host, source);
        assert!(
            plan.lines().is_empty() && plan.verdict.is_ok(),
            "{:?}",
            plan.lines()
        );
    }
}

#[test]
fn an_older_chain_needs_consent_and_one_that_only_begins_earlier_does_not() {
    let key = key();
    let disk = disk(&key, signed(&key, NAME, -10, 80));
    let older = signed(&key, NAME, -20, 70);
    let plan = decide(&disk, KeySource::Host, ChainSource::Fetched(older.clone()));
    assert_eq!(code(&plan), Some("older-than-installed"));
    assert_eq!(plan.install, None);
    let longer = signed(&key, NAME, -20, 90);
    assert!(
        decide(&disk, KeySource::Host, ChainSource::Fetched(longer))
            .verdict
            .is_ok()
    );
    // a bridge is always older news
    let bridge = bridged(&key);
    assert!(
        decide(&bridge, KeySource::Host, ChainSource::Fetched(older))
            .verdict
            .is_ok()
    );
}

#[test]
fn a_provisioned_key_that_cannot_be_fetched_leaves_what_is_installed() {
    let key = key();
    let installed = disk(&key, signed(&key, NAME, -10, 80));
    let other = signed(&self::key(), NAME, -1, 89);
    let plan = decide(
        &installed,
        KeySource::Failed(failure(Reason::NotPublished)),
        ChainSource::Fetched(other),
    );
    assert_eq!((plan.install, plan.request), (None, None));
    let plan = decide(
        &Disk::default(),
        KeySource::Failed(failure(Reason::NotPublished)),
        failed(Reason::NotPublished),
    );
    assert_eq!(plan.install, None);
    assert_eq!(
        code(&plan),
        Some("not-published"),
        "there is nothing to serve with"
    );
}

#[test]
fn t04_a_broken_pair_on_disk_is_replaced_by_a_bridge_over_the_key_that_is_there() {
    let (key, other) = (key(), key());
    let broken = disk(&key, signed(&other, NAME, -10, 80));
    let plan = decide(&broken, KeySource::Host, failed(Reason::NotPublished));
    assert_eq!(plan.install, Some(Install::Bridge(KeyRef::Current)));
}
