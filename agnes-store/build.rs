//! Where the dynamic linker finds the engine when this crate's tests run: the directory it was linked from.
//!
//! Always true: with the feature `bundled` there is nothing to find, and nothing is said.
//!
//! Does not: look for an engine (`cargo xtask components` brings one and sets `DUCKDB_LIB_DIR`).

use std::env;

fn main() {
    println!("cargo:rerun-if-env-changed=DUCKDB_LIB_DIR");
    #[expect(
        clippy::disallowed_methods,
        reason = "a build script's input is its environment"
    )]
    let (directory, bundled) = (
        env::var("DUCKDB_LIB_DIR"),
        env::var("CARGO_FEATURE_BUNDLED"),
    );
    if let (Ok(directory), Err(_)) = (directory, bundled) {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{directory}");
    }
}
