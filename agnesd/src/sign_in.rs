//! The ways in for people, and what each gives: tokens to a program, a cookie to a browser.
//!
//! Always true: every way asks the same questions wherever it is entered, by the API or by the page; unknown, wrong and
//! disabled are one answer.
//!
//! Does not: know addresses, or render anything.

pub(crate) mod browser;
pub(crate) mod issued;
pub(crate) mod link;
pub(crate) mod password;
