//! The OpenAPI document of everything that the router serves.
//!
//! Always true: every refusal is a problem document, every answer has a description; an operation says who may call it as the route's own [`Access`] does; a route that is missing here, or one
//! here that is not routed, fails a test.
//!
//! Does not: describe the control socket.

use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, OpenApi as Document, Ref, RefOr, ResponseBuilder, Server};

use super::{Entry, Table};
use crate::auth::access::Access;
use crate::error::Problem;
use crate::middleware;
use crate::routes::{
    account, assets, audit, bootstrap, config, data, detailed, docs, events, groups, health, home,
    jobs, links, login, mappings, oidc, roles, sessions, tokens, users, version,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Agnes",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(Problem)),
    paths(
        health::health,
        health::live,
        health::ready,
        detailed::detailed,
        version::version,
        docs::openapi,
        docs::page,
        docs::style,
        bootstrap::bootstrap,
        sessions::sign_in,
        sessions::refresh,
        links::ask_to_sign_in,
        links::sign_in,
        links::ask_for_reset,
        links::reset,
        home::page,
        home::make_token,
        home::revoke_token,
        login::page,
        login::sign_in,
        login::mail,
        login::link_page,
        login::use_link,
        login::password_page,
        login::set_password,
        login::sign_out,
        oidc::begin,
        oidc::back,
        assets::style,
        assets::script,
        assets::icon,
        sessions::sign_out,
        sessions::sign_out_everywhere,
        account::change_password,
        account::me,
        tokens::list,
        tokens::create,
        tokens::revoke,
        data::upload::receive,
        data::list,
        data::download::fetch,
        data::remove,
        users::list,
        users::create,
        users::show,
        users::change,
        users::remove,
        users::disable,
        users::enable,
        users::forget_identities,
        groups::list,
        groups::create,
        groups::show,
        groups::change,
        groups::remove,
        groups::disable,
        groups::enable,
        groups::members,
        groups::add_member,
        groups::remove_member,
        roles::list,
        roles::create,
        roles::change,
        roles::remove,
        roles::disable,
        roles::enable,
        mappings::list,
        mappings::create,
        mappings::change,
        mappings::remove,
        mappings::disable,
        mappings::enable,
        events::watch,
        audit::page,
        jobs::list,
        jobs::run,
        config::list,
        config::show,
        config::set,
    )
)]
struct Api;

/// The document, with who may call taken from `table`.
pub(crate) fn document(table: &Table) -> Document {
    let mut document = Api::openapi();
    crate::app::VERSION.clone_into(&mut document.info.version);
    document.info.description =
        Some("Errors are problem documents (RFC 9457) with the request's id.".to_owned());
    document.servers = Some(vec![Server::new("/")]);
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("bearer", bearer);
    // every refusal has it; it is put in when the answer leaves (`error::finish`)
    if let Some(RefOr::T(Schema::Object(problem))) = components.schemas.get_mut("Problem") {
        let id = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("The request's id, as in `x-request-id`."))
            .build();
        problem
            .properties
            .insert("request_id".to_owned(), RefOr::T(Schema::Object(id)));
    }
    for entry in table.entries() {
        if let Some(operation) = document
            .paths
            .paths
            .get_mut(entry.path)
            .and_then(|item| operation(item, entry))
        {
            describe(operation, entry);
        }
    }
    document
}

/// As it is published: JSON with a line's end.
pub(crate) fn json(document: &Document) -> String {
    let mut text = document.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

fn operation<'a>(item: &'a mut PathItem, entry: &Entry) -> Option<&'a mut Operation> {
    let operation = match entry.method.as_str() {
        "GET" => &mut item.get,
        "PUT" => &mut item.put,
        "POST" => &mut item.post,
        "PATCH" => &mut item.patch,
        "DELETE" => &mut item.delete,
        _ => return None,
    };
    operation.as_mut()
}

/// Who may call, and what everybody else is answered.
fn describe(operation: &mut Operation, entry: &Entry) {
    let who = entry.access.words();
    let text = operation.description.take().or(operation.summary.clone());
    operation.description = Some(match text {
        Some(text) => format!("{text}\n\nWho may call: {who}."),
        None => format!("Who may call: {who}."),
    });
    operation.operation_id = Some(format!(
        "{}{}",
        entry.method.as_str().to_lowercase(),
        entry.path.replace(['/', '-', '.', '{', '}'], "_")
    ));
    operation.tags = Some(vec![tag(entry.path).to_owned()]);
    let mut problems = Vec::new();
    if !middleware::is_never_limited(entry.path) {
        problems.push(("429", "too many calls in a minute"));
    }
    // whoever is not signed in with a browser is sent to where that is done
    let is_closed = !matches!(entry.access, Access::Anyone | Access::Browser);
    if is_closed {
        operation.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>(
            "bearer",
            [],
        )]);
        problems.push(("401", "no valid credential"));
    }
    if entry.access != Access::Anyone {
        problems.push(("403", "not for this caller"));
    }
    if let Some(RefOr::T(body)) = &operation.request_body {
        let is_json = body.content.contains_key("application/json");
        problems.extend([
            ("400", "the body does not parse"),
            ("408", "the body did not arrive in time"),
            ("413", "the body is larger than this server takes"),
            match is_json {
                true => ("415", "the body is not application/json"),
                false => ("415", "the body is not application/x-www-form-urlencoded"),
            },
            ("422", "the body lacks a field or has one that does not fit"),
        ]);
    }
    if entry.method != axum::http::Method::GET {
        problems.extend([
            (
                "503",
                "writes are held, the disk refuses, or the server stops",
            ),
            ("507", "the disk is full"),
        ]);
    } else if operation.parameters.is_some() {
        problems.push(("400", "a parameter does not parse"));
    }
    let responses = &mut operation.responses.responses;
    for (status, what) in problems {
        let response = ResponseBuilder::new().description(what).build();
        responses
            .entry(status.to_owned())
            .or_insert(RefOr::T(response));
    }
    let problem = RefOr::T(Content::new(Some(Ref::from_schema_name("Problem"))));
    for (status, response) in responses {
        let RefOr::T(response) = response else {
            continue;
        };
        if response.description.is_empty() {
            in_words(status).clone_into(&mut response.description);
        }
        // a page says what is wrong on it, but for what is wrong with the request itself
        if status.starts_with('4') && response.content.contains_key("text/html") {
            let kind = "application/problem+json".to_owned();
            response.content.insert(kind, problem.clone());
        }
        // what was annotated with a body of its own keeps it
        let refuses = response.content.values().all(|content| *content == problem);
        if refuses && status.starts_with(['4', '5']) {
            response.content.clear();
            let kind = "application/problem+json".to_owned();
            response.content.insert(kind, problem.clone());
        }
    }
}

/// For an answer of which the annotation says no more; OpenAPI wants a description of each.
fn in_words(status: &str) -> &'static str {
    let status = axum::http::StatusCode::from_bytes(status.as_bytes()).ok();
    let words = status.and_then(|status| status.canonical_reason());
    words.unwrap_or("An answer")
}

fn tag(path: &str) -> &'static str {
    match path {
        _ if path.starts_with("/auth/oidc/") => "with a browser",
        _ if path.starts_with("/auth/") => "signing in",
        "/" => "with a browser",
        _ if ["/login", "/logout", "/tokens", "/assets/"]
            .iter()
            .any(|start| path.starts_with(start)) =>
        {
            "with a browser"
        }
        "/api/users" | "/api/groups" | "/api/roles" | "/api/group-mappings" => "people",
        _ if [
            "/api/users/",
            "/api/groups/",
            "/api/roles/",
            "/api/group-mappings/",
        ]
        .iter()
        .any(|start| path.starts_with(start)) =>
        {
            "people"
        }
        "/api/audit" | "/api/events" | "/api/jobs" => "operating",
        "/api/uploads" | "/api/data" => "files",
        _ if path.starts_with("/api/data/") => "files",
        _ if path.starts_with("/api/admin/") || path.starts_with("/api/jobs/") => "operating",
        _ => "about the server",
    }
}

/// Every method and path of the document.
#[cfg(test)]
pub(super) fn operations(document: &Document) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (path, item) in &document.paths.paths {
        for (method, there) in [
            ("GET", item.get.is_some()),
            ("PUT", item.put.is_some()),
            ("POST", item.post.is_some()),
            ("PATCH", item.patch.is_some()),
            ("DELETE", item.delete.is_some()),
        ] {
            if there {
                all.push((method.to_owned(), path.clone()));
            }
        }
    }
    all
}
