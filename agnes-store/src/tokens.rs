//! Personal access tokens.
//!
//! Always true: a token is kept as a hash; a revoked one stays in the list for its owner to see and never comes back; when
//! and from where it was last used is written now and then, and known at once.
//!
//! Does not: make tokens, or say what a scope permits.

use std::sync::Arc;

use duckdb::params;
use duckdb::types::Value;
use time::OffsetDateTime;

use crate::audit::{Event, Origin};
pub use crate::directory::credentials::Token;
use crate::writer::{Txn, WhileHeld};
use crate::{Error, Id, Result, Store, text, timestamp};

/// The most tokens that one user may have at once.
const MOST: usize = 100;

/// What a new token is made of.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// For its owner.
    pub name: String,
    /// SHA-256 of the token, hex.
    pub hash: String,
    /// As in [`Token`].
    pub scopes: Vec<String>,
    /// When it ends.
    pub expires_at: OffsetDateTime,
}

impl Store {
    /// Makes a token for a user.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Invalid`].
    pub async fn create_token(
        &self,
        origin: Origin,
        user: Id,
        new: NewToken,
    ) -> Result<Arc<Token>> {
        let name = new.name.trim().to_owned();
        if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
            return Err(Error::Invalid(
                "name is empty, longer than 100 characters or has control characters",
            ));
        }
        self.act_of(origin.standing, move |txn| {
            let user = txn.user(user)?;
            if user.disabled {
                return Err(Error::Credential);
            }
            let now = txn.now;
            let valid = txn.directory.tokens_of(user.id);
            if valid.iter().filter(|token| token.is_valid(now)).count() >= MOST {
                return Err(Error::Invalid(
                    "there are 100 valid tokens already; revoke one",
                ));
            }
            let token = Token {
                id: Id::new(),
                user_id: user.id,
                name: name.clone(),
                hash: new.hash.clone(),
                scopes: new.scopes.clone(),
                created_at: now,
                expires_at: new.expires_at,
                revoked_at: None,
                last_used_at: None,
                last_used_ip: None,
            };
            txn.insert(
                "tokens",
                [
                    text(token.id),
                    text(token.user_id),
                    text(&token.name),
                    text(&token.hash),
                    text(token.scopes.join(",")),
                    timestamp(token.created_at),
                    timestamp(token.expires_at),
                    Value::Null,
                    Value::Null,
                    Value::Null,
                ],
            );
            let event = Event::done("token.issued", format!("token:{}", token.id))
                .with("kind", "personal")
                .with("name", token.name.clone())
                .with("scopes", token.scopes.clone());
            txn.audit(&origin, event);
            Ok(txn.directory.put_token(token))
        })
        .await
    }

    /// Revokes a token of `owner`, or of anybody when that is `None`; a revoked one stays revoked.
    ///
    /// # Errors
    /// [`Error::NotFound`], also for a token of somebody else.
    pub async fn revoke_token(
        &self,
        origin: Origin,
        owner: Option<Id>,
        id: Id,
    ) -> Result<Arc<Token>> {
        self.act_of(origin.standing, move |txn| {
            let token = txn.directory.tokens.get(&id).cloned();
            let token = token
                .filter(|token| owner.is_none_or(|owner| token.user_id == owner))
                .ok_or(Error::NotFound("token"))?;
            if token.revoked_at.is_some() {
                return Ok(token);
            }
            let token = txn.revoke(&token)?;
            txn.audit(&origin, Event::done("token.revoked", format!("token:{id}")));
            Ok(token)
        })
        .await
    }

    /// Notes that a token was used; written by [`Store::write_last_uses`].
    pub fn note_use(&self, token: Id, ip: &str) {
        self.last_uses
            .lock()
            .insert(token, (crate::clock::now(), ip.to_owned()));
    }

    /// When and from where a token was last used.
    pub fn last_use(&self, token: &Token) -> Option<(OffsetDateTime, String)> {
        let noted = self.last_uses.lock().get(&token.id).cloned();
        noted.or_else(|| Some((token.last_used_at?, token.last_used_ip.clone()?)))
    }

    /// Writes what was noted; nothing while writes are held.
    ///
    /// # Errors
    /// As any write; what could not be written is kept.
    pub async fn write_last_uses(&self) -> Result<()> {
        if self.held().is_some() || self.last_uses.lock().is_empty() {
            return Ok(());
        }
        let noted: Vec<_> = self.last_uses.lock().drain().collect();
        let again = noted.clone();
        let written = self
            .writer
            .act(WhileHeld::Refuse, move |txn| {
                for (id, (at, ip)) in &noted {
                    txn.note_use(*id, *at, ip)?;
                }
                Ok(())
            })
            .await;
        if written.is_err() {
            let mut uses = self.last_uses.lock();
            for (id, noted) in again {
                uses.entry(id).or_insert(noted);
            }
        }
        written
    }
}

impl Txn<'_> {
    fn note_use(&mut self, id: Id, at: OffsetDateTime, ip: &str) -> Result<()> {
        let Some(token) = self.directory.tokens.get(&id).cloned() else {
            return Ok(());
        };
        self.execute(
            "UPDATE tokens SET last_used_at = ?, last_used_ip = ? WHERE id = ?",
            params![timestamp(at), ip, id.to_string()],
        )?;
        self.directory.put_token(Token {
            last_used_at: Some(at),
            last_used_ip: Some(ip.to_owned()),
            ..Token::clone(&token)
        });
        Ok(())
    }

    fn revoke(&mut self, token: &Token) -> Result<Arc<Token>> {
        self.execute(
            "UPDATE tokens SET revoked_at = ? WHERE id = ?",
            params![timestamp(self.now), token.id.to_string()],
        )?;
        Ok(self.directory.put_token(Token {
            revoked_at: Some(self.now),
            ..token.clone()
        }))
    }

    pub(crate) fn revoke_tokens_of(&mut self, user: Id) -> Result<usize> {
        let mut revoked = 0;
        for token in self.directory.tokens_of(user) {
            if token.revoked_at.is_none() {
                self.revoke(&token)?;
                revoked += 1;
            }
        }
        Ok(revoked)
    }
}
