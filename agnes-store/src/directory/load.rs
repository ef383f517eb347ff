//! The directory as the engine has it.
//!
//! Always true: read whole, once, at start; an id that does not parse is an error that names its table, for it was not
//! written by us.
//!
//! Does not: change anything.

use duckdb::{Connection, Row};
use time::OffsetDateTime;

use super::Directory;
use super::credentials::{Link, Method, Purpose, Session, Token};
use super::groups::{Group, Mapping, Role};
use super::jobs::JobState;
use super::people::{Identity, Kind, User};
use super::settings::Setting;
use crate::{Error, Id, Result, clock};

/// Reads everything that is held in memory.
pub(crate) fn load(connection: &Connection) -> Result<Directory> {
    let mut directory = Directory::default();
    people(connection, &mut directory)?;
    roles(connection, &mut directory)?;
    credentials(connection, &mut directory)?;
    each(
        connection,
        "SELECT key, value, updated_at, updated_by FROM settings",
        |row| {
            directory.put_setting(Setting {
                key: row.get(0)?,
                value: row.get(1)?,
                updated_at: time(row, 2)?,
                updated_by: row.get(3)?,
            });
            Ok(())
        },
    )?;
    each(
        connection,
        "SELECT name, last_started_at, last_finished_at, last_outcome, last_error, last_took_ms, consecutive_failures FROM jobs",
        |row| {
            directory.put_job(JobState {
                name: row.get(0)?,
                last_started_at: optional_time(row, 1)?,
                last_finished_at: optional_time(row, 2)?,
                last_outcome: row.get(3)?,
                last_error: row.get(4)?,
                last_took_ms: row.get(5)?,
                consecutive_failures: row.get(6)?,
            });
            Ok(())
        },
    )?;
    Ok(directory)
}

fn people(connection: &Connection, directory: &mut Directory) -> Result<()> {
    each(
        connection,
        "SELECT id, email, name, kind, password_hash, disabled, epoch, created_at FROM users",
        |row| {
            let kind: String = row.get(3)?;
            directory.put_user(User {
                id: id(row, 0, "users")?,
                email: row.get(1)?,
                name: row.get(2)?,
                kind: if kind == Kind::Person.as_str() {
                    Kind::Person
                } else {
                    Kind::System
                },
                password_hash: row.get(4)?,
                disabled: row.get(5)?,
                epoch: row.get(6)?,
                created_at: time(row, 7)?,
            });
            Ok(())
        },
    )?;
    each(
        connection,
        "SELECT id, name, external_id, built_in, disabled, created_at FROM groups",
        |row| {
            directory.put_group(Group {
                id: id(row, 0, "groups")?,
                name: row.get(1)?,
                external_id: row.get(2)?,
                built_in: row.get(3)?,
                disabled: row.get(4)?,
                created_at: time(row, 5)?,
            });
            Ok(())
        },
    )?;
    each(
        connection,
        "SELECT group_id, user_id FROM group_members",
        |row| {
            directory.put_member(id(row, 0, "group_members")?, id(row, 1, "group_members")?);
            Ok(())
        },
    )
}

fn roles(connection: &Connection, directory: &mut Directory) -> Result<()> {
    each(
        connection,
        "SELECT name, description, registered_by, disabled, created_at FROM roles",
        |row| {
            directory.put_role(Role {
                name: row.get(0)?,
                description: row.get(1)?,
                registered_by: row.get(2)?,
                disabled: row.get(3)?,
                created_at: time(row, 4)?,
            });
            Ok(())
        },
    )?;
    each(
        connection,
        "SELECT id, external_id, role, disabled, created_at FROM group_mappings",
        |row| {
            directory.put_mapping(Mapping {
                id: id(row, 0, "group_mappings")?,
                external_id: row.get(1)?,
                role: row.get(2)?,
                disabled: row.get(3)?,
                created_at: time(row, 4)?,
            });
            Ok(())
        },
    )
}

fn credentials(connection: &Connection, directory: &mut Directory) -> Result<()> {
    each(
        connection,
        "SELECT id, user_id, method, refresh_hash, created_at, refreshed_at, expires_at FROM sessions",
        |row| {
            let method: String = row.get(2)?;
            directory.put_session(Session {
                id: id(row, 0, "sessions")?,
                user_id: id(row, 1, "sessions")?,
                method: Method::of(&method),
                refresh_hash: row.get(3)?,
                created_at: time(row, 4)?,
                refreshed_at: time(row, 5)?,
                expires_at: time(row, 6)?,
            });
            Ok(())
        },
    )?;
    each(
        connection,
        "SELECT id, user_id, name, hash, scopes, created_at, expires_at, revoked_at, last_used_at, last_used_ip FROM tokens",
        |row| {
            let scopes: String = row.get(4)?;
            directory.put_token(Token {
                id: id(row, 0, "tokens")?,
                user_id: id(row, 1, "tokens")?,
                name: row.get(2)?,
                hash: row.get(3)?,
                scopes: scopes
                    .split(',')
                    .filter(|scope| !scope.is_empty())
                    .map(str::to_owned)
                    .collect(),
                created_at: time(row, 5)?,
                expires_at: time(row, 6)?,
                revoked_at: optional_time(row, 7)?,
                last_used_at: optional_time(row, 8)?,
                last_used_ip: row.get(9)?,
            });
            Ok(())
        },
    )?;
    each(
        connection,
        "SELECT id, user_id, purpose, hash, expires_at FROM links",
        |row| {
            let purpose: String = row.get(2)?;
            directory.put_link(Link {
                id: id(row, 0, "links")?,
                user_id: id(row, 1, "links")?,
                purpose: Purpose::of(&purpose).ok_or_else(|| {
                    Error::Engine(format!("table links: {purpose:?} is no purpose"))
                })?,
                hash: row.get(3)?,
                expires_at: time(row, 4)?,
            });
            Ok(())
        },
    )?;
    each(
        connection,
        "SELECT issuer, subject, user_id FROM identities",
        |row| {
            let who = Identity {
                issuer: row.get(0)?,
                subject: row.get(1)?,
            };
            directory.put_identity(who, id(row, 2, "identities")?);
            Ok(())
        },
    )?;
    each(connection, "SELECT user_id FROM link_users", |row| {
        directory.by_link.insert_mut(id(row, 0, "link_users")?);
        Ok(())
    })
}

fn each(
    connection: &Connection,
    sql: &str,
    mut take: impl FnMut(&Row<'_>) -> Result<()>,
) -> Result<()> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        take(row)?;
    }
    Ok(())
}

fn id(row: &Row<'_>, column: usize, table: &str) -> Result<Id> {
    let text: String = row.get(column)?;
    text.parse()
        .map_err(|_| Error::Engine(format!("table {table}: {text:?} is no id")))
}

fn time(row: &Row<'_>, column: usize) -> Result<OffsetDateTime> {
    Ok(clock::from_micros(row.get(column)?))
}

fn optional_time(row: &Row<'_>, column: usize) -> Result<Option<OffsetDateTime>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(clock::from_micros))
}
