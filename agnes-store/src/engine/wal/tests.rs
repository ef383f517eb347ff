use super::*;

/// A header as the engine writes it: format 2, an identity of sixteen numbers, one of them of two bytes, checkpoint 300.
const HEAD: [u8; 32] = *b"\x64\x00\x62\x65\x00\x02\x66\x00\x10\x01\xad\x01\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x67\x00\xac\x02\xff\xff";

/// A log of format 2 with `frames` frames.
fn log(frames: usize) -> Vec<u8> {
    let mut log = HEAD.to_vec();
    for number in 0..frames {
        let entry: Vec<u8> = ENTRY.iter().copied().chain(0..20 + number as u8).collect();
        log.extend((entry.len() as u64).to_le_bytes());
        log.extend(checksum(&entry).to_le_bytes());
        log.extend(entry);
    }
    log
}

#[test]
fn the_checksum_is_the_engines() {
    // entry `flush` as the engine writes it, and its stored checksum
    assert_eq!(checksum(&FLUSH), FLUSH_CHECKSUM);
    assert_eq!(checksum(&USE_TABLE), USE_TABLE_CHECKSUM);
}

const FLUSH: [u8; 5] = [0x64, 0x00, 0x64, 0xff, 0xff];
const FLUSH_CHECKSUM: u64 = 0x5e3d_ed2f_727d_fee7;
const USE_TABLE: [u8; 16] = *b"\x64\x00\x19\x65\x00\x04main\x66\x00\x01t\xff\xff";
const USE_TABLE_CHECKSUM: u64 = u64::from_le_bytes(*b"\xa0\x1f\x37\x09\x8c\x80\x46\x8e");

#[test]
fn s06_a_log_cut_off_at_any_byte_is_sound() {
    let whole = log(7);
    for cut in 0..=whole.len() {
        let verdict = judge(&whole[..cut]);
        assert!(
            matches!(verdict, Verdict::Sound { .. }),
            "{cut}: {verdict:?}"
        );
    }
    assert_eq!(
        judge(&whole),
        Verdict::Sound {
            frames: 7,
            unfinished_bytes: 0
        }
    );
}

#[test]
fn s06_a_damaged_length_is_not_taken_for_the_end() {
    let whole = log(7);
    let header = log(0).len();
    for damaged in [header, header + 1, header + 7] {
        let mut log = whole.clone();
        log[damaged] ^= 0x40;
        let verdict = judge(&log);
        assert!(
            matches!(verdict, Verdict::Broken { .. }),
            "{damaged}: {verdict:?}"
        );
    }
}

#[test]
fn s06_a_flipped_bit_of_the_header_is_damage_or_another_database() {
    let whole = log(7);
    // what the engine itself compares with the database: the numbers of the identity, and the checkpoint's
    let compared = |at: usize| (9..26).contains(&at) || (28..30).contains(&at);
    for at in (0..HEAD.len()).filter(|at| *at != HEADER.len()) {
        for bit in 0..8 {
            let mut log = whole.clone();
            log[at] ^= 1 << bit;
            let verdict = judge(&log);
            let kept = matches!(verdict, Verdict::Sound { frames: 7, .. });
            assert!(
                matches!(verdict, Verdict::Broken { .. }) || kept && compared(at),
                "byte {at} bit {bit}: {verdict:?}"
            );
        }
    }
}

#[test]
fn s06_zeros_in_the_place_of_the_last_write_are_its_torn_end() {
    let whole = log(7);
    let last = log(6).len();
    let sound = |log: &[u8]| match judge(log) {
        Verdict::Sound {
            frames,
            unfinished_bytes,
        } => (frames, unfinished_bytes),
        other => panic!("{other:?}"),
    };
    for zeros in [8, 9, 16, 20] {
        let mut log = whole.clone();
        let from = log.len() - zeros;
        log[from..].fill(0);
        assert_eq!(sound(&log), (6, (whole.len() - last) as u64), "{zeros}");
    }
    for zeros in [1, 16, 4096] {
        let mut log = whole.clone();
        log.extend(vec![0; zeros]);
        assert_eq!(sound(&log), (7, zeros as u64), "{zeros} more");
    }
    // damage with sound frames behind it stays damage, whatever the end is
    let mut log = whole.clone();
    log[HEAD.len()] ^= 0x40;
    log.extend([0; 64]);
    assert!(matches!(judge(&log), Verdict::Broken { .. }));
}

#[test]
fn s06_zeros_and_noise_are_not_taken_for_an_empty_log() {
    for log in [vec![0; 500], vec![0xff; 500], b"hello".to_vec()] {
        assert!(matches!(judge(&log), Verdict::Broken { at: 0, .. }));
    }
}
