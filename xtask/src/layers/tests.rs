use std::fs;

use super::check;

/// A checkout with one crate `c`, whose files are given, and the table's rows.
fn findings(rows: &str, files: &[(&str, &str)]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let document = format!(
        "# A\n<!-- layers -->\n| crate | module | may use |\n|---|---|---|\n{rows}\n<!-- /layers -->\n"
    );
    fs::create_dir_all(dir.path().join("docs")).unwrap();
    fs::write(dir.path().join("docs/architecture.md"), document).unwrap();
    for (path, text) in files {
        let path = dir.path().join("c/src").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    check(dir.path()).unwrap()
}

const ROWS: &str = "| c | main | a |\n| c | a | b |\n| c | b | |";
const MAIN: &str = "mod a; mod b; fn main() { a::run(); }";

#[test]
fn an_allowed_tree_has_no_findings() {
    let a = "use crate::b::Thing; fn f() -> Thing { super::b::make() } pub fn run() {}";
    assert_eq!(
        findings(
            ROWS,
            &[
                ("main.rs", MAIN),
                ("a.rs", a),
                ("b.rs", "pub struct Thing;")
            ]
        ),
        Vec::<String>::new()
    );
}

#[test]
fn an_edge_is_found_wherever_it_stands() {
    let upward = [
        "use crate::a::run;",
        "use crate::{a::run, a};",
        "use super::a;",
        "use crate::a as other;",
        "fn f() { crate::a::run(); }",
        "fn f(_: crate::a::T) {}",
        "impl crate::a::T for u8 {}",
        "fn f() { println!(\"{}\", crate::a::run()); }",
        "fn f() { vec![(1, super::a::run())]; }",
        "mod inner { fn f() { super::super::a::run(); } }",
        "#[derive(Debug)] struct S(Option<crate::a::T>);",
        "#[cfg(not(test))] use crate::a;",
    ];
    for text in upward {
        let found = findings(ROWS, &[("main.rs", MAIN), ("a.rs", ""), ("b.rs", text)]);
        assert_eq!(found, vec!["c/src/b.rs:1: `b` may not use `a`"], "{text}");
    }
}

#[test]
fn what_only_looks_like_an_edge_is_none() {
    let innocent = [
        "// use crate::a;\nconst T: &str = \"crate::a::run\";",
        "#[cfg(test)] mod tests { use crate::a; }",
        "#[cfg(all(test, unix))] use crate::a;",
        "#[cfg(test)] fn f() { crate::a::run() }",
        "fn f() { let a = 1; let b = a; }",
        "mod a { pub fn run() {} } fn f() { a::run(); self::a::run(); }",
        "pub(in crate::a) fn f() {}",
        "use std::a;",
    ];
    for text in innocent {
        let found = findings(ROWS, &[("main.rs", MAIN), ("a.rs", ""), ("b.rs", text)]);
        assert_eq!(found, Vec::<String>::new(), "{text}");
    }
}

#[test]
fn the_crate_root_is_held_too_and_its_paths_need_no_prefix() {
    for text in [
        "mod a; mod b; use b::Thing;",
        "mod a; mod b; fn main() { b::run(); }",
    ] {
        let found = findings(ROWS, &[("main.rs", text), ("a.rs", ""), ("b.rs", "")]);
        assert_eq!(
            found,
            vec!["c/src/main.rs:1: `main` may not use `b`"],
            "{text}"
        );
    }
}

#[test]
fn submodules_count_as_their_module_and_test_files_do_not_count() {
    let files = [
        ("main.rs", MAIN),
        ("a.rs", "mod deep; pub fn run() {}"),
        (
            "a/deep.rs",
            "use super::run; use crate::a::run as again; use super::super::b;",
        ),
        ("b.rs", "mod deep; #[cfg(test)] mod tests;"),
        ("b/deep.rs", "use super::super::a::run;"),
        ("b/tests.rs", "use crate::a;"),
    ];
    assert_eq!(
        findings(ROWS, &files),
        vec!["c/src/b/deep.rs:1: `b` may not use `a`"]
    );
}

#[test]
fn a_name_that_the_root_exports_is_its_modules() {
    let rows = "| c | lib | a, b |\n| c | a | |\n| c | b | |";
    let files = [
        ("lib.rs", "mod a; mod b; pub use b::Thing; pub struct Own;"),
        ("a.rs", "use crate::Thing;"),
        ("b.rs", "use crate::Own;"),
    ];
    assert_eq!(
        findings(rows, &files),
        vec!["c/src/a.rs:1: `a` may not use `b`"]
    );
}

#[test]
fn rows_and_files_must_match_and_circles_and_globs_are_refused() {
    let rows = "| c | main | a, gone |\n| c | a | b |\n| c | b | a |\n| c | gone | typo |";
    let found = findings(
        rows,
        &[
            ("main.rs", ""),
            ("a.rs", "use crate::*;"),
            ("b.rs", ""),
            ("new.rs", ""),
        ],
    );
    assert_eq!(
        found,
        vec![
            "c: the row of `gone` allows `typo`, which has no row",
            "c: the rows allow a circle: a → b → a",
            "c: module `new` has no row",
            "c: the row of `gone` has no file",
            "c/src/a.rs:1: a glob import of the crate root hides what `a` uses",
        ]
    );
}
