//! The checked-in documents are those of the routes.

use std::collections::BTreeSet;

use super::*;

fn checked_in(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    std::fs::read_to_string(path.join(name)).unwrap_or_default()
}

#[test]
fn every_route_is_in_the_openapi_document_and_nothing_else_is() {
    let table = table();
    let routed: BTreeSet<(String, String)> = table
        .entries()
        .iter()
        .map(|entry| (entry.method.to_string(), entry.path.to_owned()))
        .collect();
    assert_eq!(routed.len(), table.entries().len(), "each stands once");
    let described: BTreeSet<_> = openapi::operations(&openapi::document(&table))
        .into_iter()
        .collect();
    assert_eq!(routed, described);
}

#[test]
fn the_documents_in_the_repository_are_those_of_the_routes() {
    let table = table();
    let document = openapi::json(&openapi::document(&table));
    assert!(
        document == checked_in("openapi.json"),
        "run cargo xtask docs"
    );
    assert!(
        pages::access_markdown(&table) == checked_in("access.md"),
        "run cargo xtask docs"
    );
}

#[test]
fn the_page_has_no_script_and_no_style_inside() {
    let table = table();
    let page = pages::html(&openapi::document(&table), &table);
    for forbidden in ["<script", "javascript:", " style=", "<style", " on"] {
        let found = page.match_indices(forbidden).find(|(at, _)| {
            // words of the text may begin with "on"
            forbidden != " on"
                || page[at + 3..].starts_with(|c: char| c.is_ascii_lowercase())
                    && page[at + 3..]
                        .split(['=', ' ', '<'])
                        .next()
                        .is_some_and(|word| page[at + 3 + word.len()..].starts_with('='))
        });
        assert!(found.is_none(), "{forbidden}");
    }
    for entry in table.entries() {
        assert!(page.contains(entry.path), "{}", entry.path);
    }
}

/// The document as its readers take it, and each operation with its route.
fn described() -> (serde_json::Value, Vec<(String, serde_json::Value)>) {
    let table = table();
    let json = serde_json::to_value(openapi::document(&table)).unwrap();
    let operations = table.entries().iter().map(|entry| {
        let operation = &json["paths"][entry.path][entry.method.as_str().to_lowercase()];
        (
            format!("{} {}", entry.method, entry.path),
            operation.clone(),
        )
    });
    let operations = operations.collect();
    (json, operations)
}

#[test]
fn every_answer_has_a_description_and_every_refusal_is_a_problem_document() {
    for (route, operation) in described().1 {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let description = response["description"].as_str();
            assert!(
                description.is_some_and(|text| !text.is_empty()),
                "{route}: {status}"
            );
            if status.starts_with('4') {
                let kinds: Vec<_> = response["content"].as_object().unwrap().keys().collect();
                // where people are answered, the page itself says what is wrong
                let page = operation["tags"][0] == "with a browser"
                    && kinds.contains(&&"text/html".to_owned())
                    && kinds.len() == 2;
                assert!(
                    page || kinds == ["application/problem+json"],
                    "{route}: {status}: {kinds:?}"
                );
            }
        }
    }
}

#[test]
fn each_operation_names_the_refusals_that_its_access_makes_possible() {
    let operations = described().1;
    for (entry, (route, operation)) in table().entries().iter().zip(operations) {
        let has = |status: &str| operation["responses"].get(status).is_some();
        let closed = !matches!(entry.access, Anyone | Browser);
        assert_eq!(operation.get("security").is_some(), closed, "{route}");
        let sent_to_sign_in = entry.access == Browser && has("303");
        assert!(
            !closed || (has("401") || sent_to_sign_in) && has("403"),
            "{route}"
        );
        let limited = !middleware::is_never_limited(entry.path);
        assert_eq!(has("429"), limited, "{route}");
    }
}

#[test]
fn operation_ids_are_unique() {
    let operations = described().1;
    let ids: BTreeSet<_> = operations
        .iter()
        .map(|(_, operation)| operation["operationId"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), operations.len());
}

/// Types of one name overwrite each other in the document: one resource would be described with another's fields.
#[test]
fn no_two_resources_share_a_schema() {
    let (json, _) = described();
    let schemas = json["components"]["schemas"].as_object().unwrap();
    for name in schemas.keys() {
        let last = name.rsplit('_').next().unwrap();
        assert!(!["Shown", "Wanted", "Change"].contains(&last), "{name}");
    }
    let fields = |path: &str| {
        let body = &json["paths"][path]["post"]["requestBody"]["content"]["application/json"];
        let name = body["schema"]["$ref"].as_str().unwrap();
        let schema = json.pointer(name.strip_prefix('#').unwrap()).unwrap();
        let fields = schema["properties"].as_object().unwrap();
        fields.keys().cloned().collect::<BTreeSet<_>>()
    };
    let all = [
        "/api/users",
        "/api/groups",
        "/api/roles",
        "/api/group-mappings",
        "/auth/tokens",
    ];
    let different: BTreeSet<_> = all.into_iter().map(fields).collect();
    assert_eq!(different.len(), all.len());
    assert!(fields("/api/users").contains("password"));
}
