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
