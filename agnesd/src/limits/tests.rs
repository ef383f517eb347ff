//! The window against a slow but obvious count, and what a flood of keys may do.

use super::*;

fn id(text: &str) -> Key {
    let number = text
        .bytes()
        .fold(0u64, |sum, byte| sum << 8 | u64::from(byte));
    Key::Principal(
        format!("00000000-0000-7000-8000-{number:012x}")
            .parse()
            .unwrap(),
    )
}

fn at(start: Instant, millis: u64) -> Instant {
    start + Duration::from_millis(millis)
}

#[test]
fn no_sixty_seconds_hold_more_than_the_limit() {
    let limits = RateLimits::new(0, 7);
    let start = Instant::now();
    let mut let_in: Vec<u64> = Vec::new();
    // a fixed but irregular sequence of gaps, 0 to 20 s
    let (mut now, mut seed) = (0_u64, 12345_u64);
    for _ in 0..5_000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        now += (seed >> 33) % 20_000;
        let recent = let_in.iter().filter(|t| now - **t < 60_000).count();
        let got = limits.check(id("a"), at(start, now));
        assert_eq!(got.is_ok(), recent < 7, "at {now}");
        match got {
            Ok(allowed) => {
                assert_eq!(allowed.remaining as usize, 7 - recent - 1);
                let_in.push(now);
            }
            Err(limited) => {
                let oldest = let_in[let_in.len() - 7];
                assert_eq!(
                    limited.retry_after_secs,
                    (oldest + 60_000 - now).div_ceil(1000)
                );
                assert!(limited.retry_after_secs >= 1);
            }
        }
    }
    assert!(let_in.len() > 500);
}

#[test]
fn who_waits_what_it_was_told_gets_in_and_refusals_do_not_count() {
    let limits = RateLimits::new(2, 0);
    let start = Instant::now();
    let key = Key::address([198, 51, 100, 7].into());
    assert_eq!(
        limits.check(key, start),
        Ok(Allowed {
            limit: 2,
            remaining: 1
        })
    );
    assert_eq!(
        limits.check(key, at(start, 500)),
        Ok(Allowed {
            limit: 2,
            remaining: 0
        })
    );
    for _ in 0..1_000 {
        assert!(limits.check(key, at(start, 1_000)).is_err());
    }
    let refused = limits.check(key, at(start, 59_999)).unwrap_err();
    assert_eq!(
        refused,
        Limited {
            limit: 2,
            retry_after_secs: 1
        }
    );
    assert!(limits.check(key, at(start, 60_000)).is_ok());
    // the second call's place is not free yet
    assert!(limits.check(key, at(start, 60_400)).is_err());
}

#[test]
fn zero_is_no_limit() {
    let limits = RateLimits::new(0, 0);
    let now = Instant::now();
    for _ in 0..10_000 {
        let allowed = limits.check(id("a"), now).unwrap();
        assert_eq!(allowed.limit, 0);
    }
    assert!(limits.limited(now).is_empty());
}

#[test]
fn keys_are_counted_apart_and_ipv6_by_its_64() {
    let limits = RateLimits::new(1, 1);
    let now = Instant::now();
    let address = |text: &str| Key::address(text.parse().unwrap());
    for key in [
        id("a"),
        id("b"),
        address("198.51.100.1"),
        address("2001:db8:0:1::1"),
    ] {
        assert!(limits.check(key, now).is_ok(), "{key:?}");
        assert!(limits.check(key, now).is_err(), "{key:?}");
    }
    assert!(
        limits
            .check(address("2001:db8:0:1:ffff:ffff:ffff:ffff"), now)
            .is_err()
    );
    assert!(limits.check(address("2001:db8:0:2::1"), now).is_ok());
    assert!(limits.check(address("::ffff:198.51.100.1"), now).is_err());
    assert_eq!(address("2001:db8:0:1::1").text(), "2001:db8:0:1::/64");
}

#[test]
fn who_is_at_the_limit_is_listed_with_the_longest_wait_first() {
    let limits = RateLimits::new(1, 2);
    let start = Instant::now();
    let key = Key::address([198, 51, 100, 7].into());
    let _ = limits.check(key, start);
    for millis in [10_000, 20_000, 21_000, 22_000] {
        let _ = limits.check(id("busy"), at(start, millis));
    }
    let _ = limits.check(id("calm"), at(start, 20_000));
    let listed: Vec<_> = limits
        .limited(at(start, 30_000))
        .into_iter()
        .map(|one| {
            (
                one.key.kind(),
                one.key.text(),
                one.refused,
                one.retry_after_secs,
            )
        })
        .collect();
    assert_eq!(
        listed,
        [
            ("principal", id("busy").text(), 2, 40),
            ("address", "198.51.100.7".to_owned(), 0, 30)
        ]
    );
    assert!(limits.limited(at(start, 80_000)).is_empty());
}

#[test]
fn a_flood_of_addresses_is_bounded_and_spares_principals_and_the_busy() {
    let limits = RateLimits::new(100, 1);
    let start = Instant::now();
    assert!(limits.check(id("a"), start).is_ok());
    let stranger = |n: u32| Key::address(std::net::Ipv4Addr::from(n).into());
    let mut let_in = 0;
    for n in 0..40_000 {
        let now = at(start, u64::from(n));
        let _ = limits.check(stranger(n), now);
        let_in += u32::from(limits.check(stranger(u32::MAX), now).is_ok());
    }
    assert_eq!(let_in, 100, "a flood of others made room for the busy one");
    let keys: usize = limits
        .addresses
        .shards
        .iter()
        .map(|s| locked(s).windows.len())
        .sum();
    assert!(
        keys <= SHARDS * KEYS_IN_SHARD && keys > SHARDS * KEYS_IN_SHARD / 2,
        "{keys}"
    );
    assert!(
        limits.check(id("a"), start).is_err(),
        "the principal's count was pushed out"
    );
    // a minute later they are idle, and the next newcomers sweep them out
    for n in 50_000..50_200 {
        let _ = limits.check(stranger(n), at(start, 120_000));
    }
    let keys: usize = limits
        .addresses
        .shards
        .iter()
        .map(|s| locked(s).windows.len())
        .sum();
    assert!(keys <= 200, "{keys}");
}

#[test]
fn a_hundred_threads_share_one_count() {
    let limits = RateLimits::new(0, 50);
    let now = Instant::now();
    let let_in: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..100)
            .map(|_| {
                scope.spawn(|| {
                    (0..5)
                        .filter(|_| limits.check(id("a"), now).is_ok())
                        .count()
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    assert_eq!(let_in, 50);
}
