//! The handlers, one file a resource.
//!
//! Always true: a handler sees [`App`](crate::app::App) and the request, never another handler. `home` alone shows what others
//! answer, on one page.
//!
//! Does not: name addresses (the router does), build error bodies (`error` does), or check who may call (the gate did).

pub(crate) mod account;
pub(crate) mod assets;
pub(crate) mod audit;
pub(crate) mod bootstrap;
pub(crate) mod config;
pub(crate) mod data;
pub(crate) mod detailed;
pub(crate) mod docs;
pub(crate) mod events;
pub(crate) mod groups;
pub(crate) mod health;
pub(crate) mod home;
pub(crate) mod jobs;
pub(crate) mod links;
pub(crate) mod login;
pub(crate) mod mappings;
pub(crate) mod oidc;
pub(crate) mod roles;
pub(crate) mod sessions;
pub(crate) mod tokens;
pub(crate) mod unknown;
pub(crate) mod users;
pub(crate) mod version;

use std::sync::Arc;

use agnes_store::users::User;
use agnes_store::{Directory, Id};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::Problem;

/// A list, whole or a page of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct List<T> {
    /// What is in it.
    items: Vec<T>,
    /// Give it back as `cursor` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

impl<T> List<T> {
    /// All there is.
    fn whole(items: Vec<T>) -> Self {
        Self {
            items,
            next_cursor: None,
        }
    }
}

/// Which page of a list is wanted.
#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    cursor: Option<String>,
    limit: Option<usize>,
}

impl Page {
    /// Items a page unless asked otherwise, and at most.
    const USUAL: usize = 100;
    const MOST: usize = 1000;

    /// # Errors
    /// 400 for a limit of zero or more than 1000.
    fn limit(&self) -> Result<usize, Problem> {
        match self.limit {
            None => Ok(Self::USUAL),
            Some(limit @ 1..=Self::MOST) => Ok(limit),
            Some(_) => Err(Problem::bad_request("limit is a number from 1 to 1000")),
        }
    }
}

/// The user of an id or an e-mail address.
///
/// # Errors
/// 404 where there is none.
pub(crate) fn user<'a>(
    directory: &'a Directory,
    id_or_email: &str,
) -> Result<&'a Arc<User>, Problem> {
    let user = match id_or_email.parse::<Id>() {
        Ok(id) => directory.user(id),
        Err(_) => directory.user_by_email(&id_or_email.trim().to_lowercase()),
    };
    user.ok_or_else(|| Problem::not_found("there is no such user"))
}

/// An id in an address: what is none names nothing.
fn id(text: &str, missing: &'static str) -> Result<Id, Problem> {
    text.parse().map_err(|_| Problem::not_found(missing))
}
