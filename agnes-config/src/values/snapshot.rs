//! Values of `[snapshot]`.
//!
//! Always true: as its parent.
//!
//! Does not: check a recipient's checksum: whoever encrypts does.

use super::{Parsed, quoted, words};

/// Recipients of age: `age1` and Bech32's letters.
pub(crate) fn recipients(text: &str) -> Parsed<Vec<String>> {
    words(text)
        .map(|word| {
            let letters = |rest: &str| {
                rest.bytes()
                    .all(|b| b"qpzry9x8gf2tvdw0s3jn54khce6mua7l".contains(&b))
            };
            let sound = word.len() == 62 && word.strip_prefix("age1").is_some_and(letters);
            sound
                .then(|| word.to_owned())
                .ok_or_else(|| format!("{} is no recipient of age", quoted(word)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipient_is_a_public_key_and_never_a_secret_one() {
        let key = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
        assert_eq!(recipients(key), Ok(vec![key.to_owned()]));
        assert_eq!(recipients(&format!("{key}, {key}")).unwrap().len(), 2);
        for wrong in [
            "age1",
            "ssh-ed25519 AAAA",
            &key[..61],
            &key.to_uppercase(),
            "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ",
        ] {
            assert!(recipients(wrong).is_err(), "{wrong}");
        }
    }
}
