//! Where the dynamic linker finds the engine when these programs and tests run: the directory it was linked from. The
//! build script of agnes-store and of agnesd.
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
    match (directory, bundled) {
        (_, Ok(_)) => {}
        (Ok(directory), Err(_)) => {
            // beside the program first: that is where an unpacked one finds it
            println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN");
            println!("cargo:rustc-link-arg=-Wl,-rpath,{directory}");
        }
        (Err(_), Err(_)) => println!(
            "cargo:warning=DUCKDB_LIB_DIR is not set: only a libduckdb of the system can be linked. Set it to what \
             `cargo xtask components --print duckdb` says, or compile the engine: --features agnesd/bundled"
        ),
    }
}
