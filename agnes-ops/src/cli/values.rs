//! Values of the command line that are more than text.
//!
//! Always true: what is wrong is said as what is expected.
//!
//! Does not: look at the host.

use std::path::PathBuf;

pub(super) fn absolute() -> impl clap::builder::TypedValueParser<Value = PathBuf> {
    use clap::builder::TypedValueParser as _;
    clap::builder::PathBufValueParser::new().try_map(std::path::absolute)
}

pub(super) fn rfc3339(text: &str) -> Result<time::OffsetDateTime, String> {
    time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339)
        .map_err(|_| "a time such as 2026-11-26T18:00:00Z".to_owned())
}

pub(super) fn octal(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o777)
        .ok_or_else(|| "octal, at most 0777".to_owned())
}

/// RFC 3339, or a day, from whose beginning (UTC) on.
pub(super) fn moment(text: &str) -> Result<time::OffsetDateTime, String> {
    let day = time::macros::format_description!("[year]-[month]-[day]");
    time::Date::parse(text, day)
        .map(|day| day.midnight().assume_utc())
        .or_else(|_| rfc3339(text))
        .map_err(|_| "a time such as 2026-11-26T18:00:00Z, or a day such as 2026-11-26".to_owned())
}
