//! Is a secret one that nobody can guess? As far as its text shows.
//!
//! Always true: a verdict never repeats any of the text.
//!
//! Does not: measure entropy; what a generator made is never refused.

/// The shortest key that signs or opens anything: 32 characters.
const KEY_MIN: usize = 32;

/// The shortest one-time code of the first admin.
const CODE_MIN: usize = 16;

/// Why `text` is no code; as [`against_key`], but that it may be as short as 16 characters.
pub(crate) fn against_code(text: &str) -> Option<String> {
    unresolved(text).or_else(|| too_short(text, CODE_MIN))
}

/// Why `text` is no key: shorter than 32 characters, one character over and over, a placeholder; `None`: nothing is known
/// against it. Holds none of the text.
pub fn against_key(text: &str) -> Option<String> {
    against_opening(text).or_else(|| guessable(text))
}

/// Why nothing may be opened with `text`: an address of a secret, or shorter than 32 characters.
pub(crate) fn against_opening(text: &str) -> Option<String> {
    // its length says nothing about the secret
    unresolved(text).or_else(|| too_short(text, KEY_MIN))
}

fn unresolved(text: &str) -> Option<String> {
    text.starts_with("sm://").then(|| {
        "is a reference that nobody has resolved (`agnes-ops secrets ensure` does)".to_owned()
    })
}

/// Is it shorter than `least` characters?
fn too_short(text: &str, least: usize) -> Option<String> {
    let count = text.chars().count();
    (count < least).then(|| format!("has {count} characters (expected at least {least})"))
}

/// One character over and over, or a text from somebody's example.
pub(crate) fn guessable(text: &str) -> Option<String> {
    let mut chars = text.chars();
    let first = chars.next();
    if chars.all(|c| Some(c) == first) {
        return Some("is one character over and over (expected random characters)".to_owned());
    }
    is_placeholder(text).then(|| "is a placeholder (expected random characters)".to_owned())
}

/// What stands in examples to be replaced, in lower case and without separators. Each is too long to turn up in a random text.
const TELLTALES: &[&str] = &[
    "changeme",
    "changethis",
    "changeit",
    "changein",
    "changebefore",
    "pleasechange",
    "mustbechanged",
    "replaceme",
    "replacethis",
    "replacewith",
    "yoursecret",
    "yourjwt",
    "yoursession",
    "yoursuper",
    "yourrandom",
    "insertyour",
    "enteryour",
    "insecure",
    "notsecure",
    "placeholder",
    "donotuse",
    "dontuse",
];

/// Words of which a whole key must not be made.
const WORDS: &[&str] = &[
    "default",
    "password",
    "passwort",
    "session",
    "scheduler",
    "example",
    "secret",
    "token",
    "admin",
    "agnes",
    "super",
    "test",
    "dev",
    "jwt",
    "key",
    "foo",
    "bar",
    "api",
    "my",
];

/// Longest rest around such words that still makes no key of them.
const PADDING: usize = 8;

fn is_placeholder(text: &str) -> bool {
    let plain: String = text
        .chars()
        .filter(|c| !is_separator(*c))
        .flat_map(char::to_lowercase)
        .collect();
    let wrapped = [("<", ">"), ("${", "}"), ("{{", "}}"), ("[", "]")];
    if wrapped.iter().any(|(open, close)| {
        let inside = plain.strip_prefix(open).and_then(|p| p.strip_suffix(close));
        inside.is_some_and(|inside| inside.chars().all(char::is_alphanumeric))
    }) {
        return true;
    }
    if TELLTALES.iter().any(|telltale| plain.contains(telltale))
        || plain.starts_with("example")
        || plain.ends_with("example")
    {
        return true;
    }
    let rest = WORDS
        .iter()
        .fold(plain.clone(), |rest, word| rest.replace(word, ""));
    rest.len() < plain.len() && rest.chars().count() <= PADDING
}

fn is_separator(c: char) -> bool {
    c.is_whitespace() || matches!(c, '-' | '_' | '.' | ':' | '/')
}
