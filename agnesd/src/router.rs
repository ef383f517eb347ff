//! Every address of the product, in one file, grouped by audience, each with who may call it.
//!
//! Always true: an address cannot be added without an [`Access`]; `docs/access.md` and `docs/openapi.json` are written from
//! what stands here. What is not listed is 404, a wrong method is 405, both as problem documents.
//!
//! Does not: answer anything itself.

use std::sync::Arc;

use axum::Router;

use crate::app::{App, Documents};
use crate::auth::access::Access::{
    Admin, Anyone, Authenticated, Browser, Operator, Person, Session,
};
use crate::auth::access::Scope::{self, Read};
use crate::auth::roles::{AUDITOR, JOB_OPERATOR};
use crate::cli::Document;
use crate::middleware;
use crate::routes::{
    account, assets, audit, bootstrap, config, data, detailed, docs, events, groups, health, home,
    jobs, links, login, mappings, oidc, roles, sessions, tokens, unknown, users, version,
};

pub(crate) mod openapi;
pub(crate) mod pages;
mod table;

pub(crate) use table::{Entry, Table};

/// Every route with its access, not yet bound to an [`App`].
pub(crate) fn table() -> Table {
    let admin = |scope: Scope| Admin(None, scope);
    Table::default()
        // anyone
        .get("/api/health", Anyone, health::health)
        .get("/api/version", Anyone, version::version)
        .get("/api/openapi.json", Anyone, docs::openapi)
        .get("/api/docs", Anyone, docs::page)
        .get("/api/docs/style.css", Anyone, docs::style)
        // probes
        .get("/healthz", Anyone, health::live)
        .get("/readyz", Anyone, health::ready)
        .get(
            "/api/health/detailed",
            Authenticated(Read),
            detailed::detailed,
        )
        // signing in and out
        .post("/auth/bootstrap", Anyone, bootstrap::bootstrap)
        .post("/auth/token", Anyone, sessions::sign_in)
        .post("/auth/refresh", Anyone, sessions::refresh)
        .post("/auth/magic/request", Anyone, links::ask_to_sign_in)
        .get("/auth/magic/verify", Anyone, login::link_page)
        .post("/auth/magic/verify", Anyone, links::sign_in)
        .post("/auth/reset/request", Anyone, links::ask_for_reset)
        .get("/auth/reset/confirm", Anyone, login::password_page)
        .post("/auth/reset/confirm", Anyone, links::reset)
        .post("/auth/logout", Session, sessions::sign_out)
        .post("/auth/logout-all", Session, sessions::sign_out_everywhere)
        .post("/auth/password", Session, account::change_password)
        .get("/auth/oidc/login", Anyone, oidc::begin)
        .get("/auth/oidc/callback", Anyone, oidc::back)
        // with a browser
        .get("/", Browser, home::page)
        .get("/login", Anyone, login::page)
        .post("/login", Anyone, login::sign_in)
        .post("/login/mail", Anyone, login::mail)
        .post("/login/link", Anyone, login::use_link)
        .post("/login/password", Anyone, login::set_password)
        .post("/logout", Anyone, login::sign_out)
        .post("/tokens", Browser, home::make_token)
        .post("/tokens/{id}/revoke", Browser, home::revoke_token)
        .get("/assets/agnes.css", Anyone, assets::style)
        .get("/assets/agnes.js", Anyone, assets::script)
        .get("/assets/agnes.svg", Anyone, assets::icon)
        // one's own
        .get("/api/me", Authenticated(Read), account::me)
        .get("/auth/tokens", Person(Read), tokens::list)
        .post("/auth/tokens", Session, tokens::create)
        .delete("/auth/tokens/{id}", Session, tokens::revoke)
        // files
        .post("/api/uploads", Person(Scope::Write), data::upload::receive)
        .get("/api/data", Person(Read), data::list)
        .get(
            "/api/data/{id}/download",
            Person(Read),
            data::download::fetch,
        )
        .delete("/api/data/{id}", Person(Scope::Write), data::remove)
        // people
        .get("/api/users", admin(Scope::Admin), users::list)
        .post("/api/users", admin(Scope::Admin), users::create)
        .get("/api/users/{id}", admin(Scope::Admin), users::show)
        .patch("/api/users/{id}", admin(Scope::Admin), users::change)
        .delete("/api/users/{id}", admin(Scope::Admin), users::remove)
        .post(
            "/api/users/{id}/disable",
            admin(Scope::Admin),
            users::disable,
        )
        .post("/api/users/{id}/enable", admin(Scope::Admin), users::enable)
        .delete(
            "/api/users/{id}/identities",
            admin(Scope::Admin),
            users::forget_identities,
        )
        .get("/api/groups", admin(Scope::Admin), groups::list)
        .post("/api/groups", admin(Scope::Admin), groups::create)
        .get("/api/groups/{id}", admin(Scope::Admin), groups::show)
        .patch("/api/groups/{id}", admin(Scope::Admin), groups::change)
        .delete("/api/groups/{id}", admin(Scope::Admin), groups::remove)
        .post(
            "/api/groups/{id}/disable",
            admin(Scope::Admin),
            groups::disable,
        )
        .post(
            "/api/groups/{id}/enable",
            admin(Scope::Admin),
            groups::enable,
        )
        .get(
            "/api/groups/{id}/members",
            admin(Scope::Admin),
            groups::members,
        )
        .post(
            "/api/groups/{id}/members",
            admin(Scope::Admin),
            groups::add_member,
        )
        .delete(
            "/api/groups/{id}/members/{user}",
            admin(Scope::Admin),
            groups::remove_member,
        )
        .get("/api/roles", admin(Scope::Admin), roles::list)
        .post("/api/roles", admin(Scope::Admin), roles::create)
        .patch("/api/roles/{name}", admin(Scope::Admin), roles::change)
        .delete("/api/roles/{name}", admin(Scope::Admin), roles::remove)
        .post(
            "/api/roles/{name}/disable",
            admin(Scope::Admin),
            roles::disable,
        )
        .post(
            "/api/roles/{name}/enable",
            admin(Scope::Admin),
            roles::enable,
        )
        .get("/api/group-mappings", admin(Scope::Admin), mappings::list)
        .post("/api/group-mappings", admin(Scope::Admin), mappings::create)
        .patch(
            "/api/group-mappings/{id}",
            admin(Scope::Admin),
            mappings::change,
        )
        .delete(
            "/api/group-mappings/{id}",
            admin(Scope::Admin),
            mappings::remove,
        )
        .post(
            "/api/group-mappings/{id}/disable",
            admin(Scope::Admin),
            mappings::disable,
        )
        .post(
            "/api/group-mappings/{id}/enable",
            admin(Scope::Admin),
            mappings::enable,
        )
        // operating
        .get("/api/events", Authenticated(Read), events::watch)
        .get("/api/audit", Admin(Some(AUDITOR), Read), audit::page)
        .get("/api/jobs", Operator(JOB_OPERATOR, Read), jobs::list)
        .post(
            "/api/jobs/{name}/run",
            Operator(JOB_OPERATOR, Scope::Write),
            jobs::run,
        )
        .get("/api/admin/config", admin(Scope::Admin), config::list)
        .get("/api/admin/config/{key}", admin(Scope::Admin), config::show)
        .put("/api/admin/config/{key}", admin(Scope::Admin), config::set)
}

/// A document of the repository that is written from the routes.
pub(crate) fn printed(document: Document) -> String {
    let table = table();
    match document {
        Document::Openapi => openapi::json(&openapi::document(&table)),
        Document::Access => pages::access_markdown(&table),
    }
}

/// The whole API over one [`App`].
pub(crate) fn router(app: Arc<App>) -> Router {
    let table = table();
    let document = openapi::document(&table);
    let _ = app.documents.set(Documents {
        openapi: openapi::json(&document),
        page: pages::html(&document, &table),
        style: pages::STYLE.to_owned(),
    });
    let router = table
        .into_router()
        .fallback(unknown::route)
        .method_not_allowed_fallback(unknown::method);
    middleware::wrap(router.with_state(Arc::clone(&app)), &app)
}

#[cfg(test)]
mod tests;
