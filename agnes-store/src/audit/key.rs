//! The key that signs what stands for rows that are gone, and the head outside the database.
//!
//! Always true: made once, readable by its owner alone from the first byte, on the disk before anything is signed with it; a
//! file that is there is never replaced, whatever is in it.
//!
//! Does not: keep a thief of the file from signing. It shows changes by those who can write the database and not read the key.

use std::path::Path;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::engine::durable;
use crate::hex;

/// Its name in the state directory.
pub(crate) const KEY: &str = "audit.key";

/// An Ed25519 key.
pub(crate) struct SigningKey {
    pair: Ed25519KeyPair,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.public_key())
    }
}

/// What a key says about a text, and which key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Signature {
    /// Hex.
    pub(crate) public_key: String,
    /// Hex.
    pub(crate) signature: String,
}

impl Signature {
    /// Whether the key that it names has signed `text`.
    pub(crate) fn is_of(&self, text: &str) -> bool {
        let (Some(key), Some(signature)) =
            (hex::decode(&self.public_key), hex::decode(&self.signature))
        else {
            return false;
        };
        UnparsedPublicKey::new(&ED25519, key)
            .verify(text.as_bytes(), &signature)
            .is_ok()
    }
}

impl SigningKey {
    /// The key in `path`; `None` when there is no file.
    ///
    /// # Errors
    /// One line that names the file: it cannot be read, or is no key.
    pub(crate) fn load(path: &Path) -> Result<Option<Self>, String> {
        let failed = |why: String| format!("{}: {why}", path.display());
        let bytes = match std::fs::read(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => Zeroizing::new(read.map_err(|e| failed(e.to_string()))?),
        };
        let pair = Ed25519KeyPair::from_pkcs8(&bytes)
            .map_err(|_| failed("it is not an Ed25519 key in PKCS #8".to_owned()))?;
        Ok(Some(Self { pair }))
    }

    /// As [`SigningKey::load`]; a key that is missing is made. The caller owns the state directory, so nobody else makes one.
    pub(crate) fn load_or_make(path: &Path) -> Result<Self, String> {
        if let Some(key) = Self::load(path)? {
            return Ok(key);
        }
        let failed = |why: &str| format!("{}: make a key: {why}", path.display());
        let pair = Ed25519KeyPair::generate().map_err(|_| failed("no randomness"))?;
        let document = pair
            .to_pkcs8()
            .map_err(|_| failed("it cannot be written down"))?;
        durable::write(path, document.as_ref()).map_err(|e| failed(&e.to_string()))?;
        Ok(Self { pair })
    }

    /// Hex.
    pub(crate) fn public_key(&self) -> String {
        hex::encode(self.pair.public_key().as_ref())
    }

    /// Signs `text`.
    pub(crate) fn sign(&self, text: &str) -> Signature {
        Signature {
            public_key: self.public_key(),
            signature: hex::encode(self.pair.sign(text.as_bytes()).as_ref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_made_once_private_and_a_damaged_one_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(KEY);
        assert!(SigningKey::load(&path).unwrap().is_none());
        let made = SigningKey::load_or_make(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = SigningKey::load_or_make(&path).unwrap();
        assert_eq!(again.public_key(), made.public_key());
        let signature = made.sign("a");
        assert!(signature.is_of("a") && !signature.is_of("b"));

        let bytes = std::fs::read(&path).unwrap();
        let torn = &bytes[..bytes.len() / 2];
        std::fs::File::create(&path)
            .and_then(|mut file| std::io::Write::write_all(&mut file, torn))
            .unwrap();
        assert!(SigningKey::load_or_make(&path).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), torn);
    }
}
