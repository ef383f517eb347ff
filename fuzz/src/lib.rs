//! What must hold of every parser of outside bytes, whatever the bytes are.
//!
//! Always true: a target is one function from bytes to nothing that panics when a promise is broken; the parsers are the
//! product's own files. A parser of a program, which nothing can link, is a leaf and is compiled in here as it stands.
//!
//! Does not: know who makes up the bytes (libFuzzer does, in `fuzz_targets`), or keep findings: each becomes a test of the
//! crate that it was found in.

pub mod agnes_toml;
pub mod authorization;
pub mod control;
pub mod cron;
pub mod cursor;
pub mod dotenv;
pub mod journal;
pub mod manifest;
pub mod multipart;
pub mod pem_chain;
pub mod source_url;

// The product's own, under the names by which they call each other.
#[path = "../../agnes-ops/src/tls/certificate.rs"]
#[allow(dead_code, reason = "a target needs a part of it")]
mod certificate;
#[path = "../../agnes-ops/src/tls/chain.rs"]
#[allow(dead_code, reason = "a target needs a part of it")]
mod chain;
#[path = "../../agnes-ops/src/snapshot/manifest/document.rs"]
#[allow(dead_code, reason = "a target needs a part of it")]
mod document;
/// What a form is answered with when it is none: that it is, no more.
mod error {
    pub type Answer<T> = Result<T, Problem>;

    #[derive(Debug)]
    pub struct Problem;

    impl Problem {
        pub fn bad_request(_: &'static str) -> Self {
            Self
        }

        pub fn limit(_: axum::http::StatusCode, _: &'static str) -> Self {
            Self
        }
    }
}
#[path = "../../agnesd/src/routes/data/form.rs"]
mod form;
#[path = "../../agnesd/src/files/id.rs"]
#[allow(dead_code, reason = "a target needs a part of it")]
mod id;
#[path = "../../agnes-ops/src/image.rs"]
#[allow(dead_code, reason = "a target needs a part of it")]
mod image;
#[path = "../../agnes-ops/src/outcome.rs"]
#[allow(dead_code, reason = "a target needs a part of it")]
mod outcome;
#[path = "../../agnes-store/src/audit/cursor.rs"]
mod page;
#[path = "../../agnes-ops/src/sha256.rs"]
mod sha256;
#[path = "../../agnes-ops/src/database/table.rs"]
mod table;

mod secrets;

/// Under the name by which a manifest calls it.
mod database {
    pub use crate::table::Table;
}

/// The bytes before the first NUL and those behind it: one input for two texts.
fn two(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let (first, second) = (parts.next(), parts.next());
    (first.unwrap_or_default(), second.unwrap_or_default())
}
