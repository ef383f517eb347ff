//! End-to-end tests.
fn _x() {}
