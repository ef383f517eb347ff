//! Passwords: argon2id at 19 MiB and two passes, at most two at once.
//!
//! Always true: an address that is unknown costs what a wrong password costs; the parameters are OWASP's second choice
//! (Password Storage Cheat Sheet), 38 MiB for both at once.
//!
//! Does not: count failures (`throttle` does).

use std::time::Duration;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::secrets;

/// Shortest and longest password, in characters.
const LENGTH: std::ops::RangeInclusive<usize> = 12..=128;

const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
/// Length of a hash, in bytes.
const DIGEST: usize = 32;
const AT_ONCE: usize = 2;
/// Beyond this a caller is better told to come again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a password was not hashed or compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failed {
    /// Too many others wait.
    Busy,
    /// Something that should not be.
    Broken,
    /// Shorter or longer than passwords are.
    Length,
}

/// Whether a new password is taken.
///
/// # Errors
/// [`Failed::Length`].
pub(crate) fn check(password: &str) -> Result<(), Failed> {
    if LENGTH.contains(&password.chars().count()) {
        Ok(())
    } else {
        Err(Failed::Length)
    }
}

/// The hasher.
#[derive(Debug)]
pub(crate) struct Passwords {
    slots: Semaphore,
}

/// Of a password that nobody has, at the same cost: compared with where there is nobody. Digits of pi stand for the hash;
/// to find a password for it is to break argon2.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$MTQxNTkyNjUzNTg5Nzkz$MjM4NDYyNjQzMzgzMjc5NTAyODg0MTk3MTY5Mzk5Mzc";

impl Passwords {
    /// Nothing hashed yet.
    pub(crate) fn new() -> Self {
        Self {
            slots: Semaphore::new(AT_ONCE),
        }
    }

    /// A PHC string of this password.
    ///
    /// # Errors
    /// [`Failed`].
    pub(crate) async fn hash(&self, password: String) -> Result<String, Failed> {
        self.place().await?.hash(password).await
    }

    /// Waits for one of the places. Whoever has one finds every attempt counted that was judged before.
    ///
    /// # Errors
    /// [`Failed::Busy`].
    pub(crate) async fn place(&self) -> Result<Place<'_>, Failed> {
        let slot = tokio::time::timeout(PATIENCE, self.slots.acquire())
            .await
            .map_err(|_| Failed::Busy)?
            .map_err(|_| Failed::Broken)?;
        Ok(Place { _slot: slot })
    }
}

/// One of the places at which passwords are hashed and compared.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    _slot: SemaphorePermit<'a>,
}

impl Place<'_> {
    /// Whether the password is the one of this PHC string; without one it takes as long and is not.
    ///
    /// # Errors
    /// [`Failed::Broken`].
    pub(crate) async fn verify(
        &self,
        password: String,
        hash: Option<String>,
    ) -> Result<bool, Failed> {
        let somebody = hash.is_some();
        let hash = hash.unwrap_or_else(|| NOBODY.to_owned());
        let right = self.run(move || verify(&password, &hash)).await?;
        Ok(right && somebody)
    }

    /// A PHC string of this password.
    ///
    /// # Errors
    /// [`Failed::Broken`].
    pub(crate) async fn hash(&self, password: String) -> Result<String, Failed> {
        let hash = self.run(move || hash(&password)).await?;
        hash.ok_or(Failed::Broken)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failed> {
        let result = tokio::task::spawn_blocking(work).await;
        result.map_err(|_| Failed::Broken)
    }
}

/// argon2id of these parameters. Its memory is asked for in one piece of 33 MiB, of which it touches 19: an allocation
/// beyond 32 MiB goes back to the system when it ends, a smaller one would stay with the process.
fn digest(password: &str, salt: &[u8], params: Params) -> Option<Output> {
    let mut memory: Vec<Block> = Vec::with_capacity(33 * 1024);
    memory.resize(params.block_count(), Block::default());
    let mut digest = [0; DIGEST];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(password.as_bytes(), salt, &mut digest, &mut memory)
        .ok()?;
    Output::new(&digest).ok()
}

fn hash(password: &str) -> Option<String> {
    let salt = secrets::bytes().ok()?;
    let salt = salt.get(..16)?;
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).ok()?;
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params).ok()?,
        salt: Some(Salt::new(salt).ok()?),
        hash: Some(digest(password, salt, params)?),
    };
    Some(hash.to_string())
}

fn verify(password: &str, hash: &str) -> bool {
    let same = || {
        let hash = PasswordHash::new(hash).ok()?;
        let params = Params::try_from(&hash.params).ok()?;
        let (salt, wanted) = (hash.salt?, hash.hash?);
        // compared in constant time by its own type
        Some(digest(password, salt.as_ref(), params)? == wanted)
    };
    same().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_argon2id_of_the_promised_cost_and_knows_its_password() {
        let hashed = hash("correct horse battery").unwrap();
        assert!(
            hashed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hashed}"
        );
        assert!(verify("correct horse battery", &hashed));
        assert!(!verify("correct horse batterz", &hashed));
        assert!(!verify("x", "no hash"));
    }

    #[test]
    fn an_unknown_address_costs_what_a_wrong_password_costs() {
        let (nobody, real) = (PasswordHash::new(NOBODY).unwrap(), hash("x").unwrap());
        let real = PasswordHash::new(&real).unwrap();
        let cost = |hash: &PasswordHash| (hash.algorithm, hash.version, hash.params.to_string());
        assert_eq!(cost(&nobody), cost(&real));
        assert_eq!(nobody.hash.map(|h| h.len()), real.hash.map(|h| h.len()));
        assert!(!verify("x", NOBODY));
    }
}
