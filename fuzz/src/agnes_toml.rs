//! `agnes.toml`, with a `.env` behind a NUL: loaded whole.
//!
//! Always true: the directory of the deployment does not exist; what a value names is not followed but for `*_FILE`.
//!
//! Does not: judge single values (`agnes-config` does).

use std::path::Path;

use agnes_config::load_texts;

/// # Panics
/// When a promise of `agnes_config::load` does not hold.
pub fn check(bytes: &[u8]) {
    let (toml, dotenv) = crate::two(bytes);
    let Ok(toml) = std::str::from_utf8(toml) else {
        return;
    };
    let dir = Path::new("/nonexistent/agnes");
    let loaded = load_texts(dir, toml, dotenv);
    assert_eq!(loaded.settings.is_some(), loaded.problems.is_empty());
    let said = loaded
        .problems
        .iter()
        .chain(&loaded.warnings)
        .chain(&loaded.server_problems);
    for problem in said {
        let line = problem.to_string();
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
    let again = load_texts(dir, toml, dotenv);
    assert_eq!(loaded.problems, again.problems);
    assert_eq!(loaded.values, again.values);
}
