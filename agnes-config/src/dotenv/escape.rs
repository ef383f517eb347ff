//! Quotes and backslashes of `.env` values, as Compose reads them.
//!
//! Always true: a closing quote is the first one without an odd backslash before it; escapes are read once, after that.
//!
//! Does not: interpolate.

/// Length of the quoted text at the start of `text` (quotes included) and what is between the quotes, with `\` dropped
/// before the quote itself and kept everywhere else. `None`: never closed.
pub(super) fn unquote(text: &str) -> Option<(usize, String)> {
    let mut chars = text.char_indices();
    let (_, quote) = chars.next()?;
    let mut raw = String::new();
    let mut escaped = false;
    for (at, c) in chars {
        if c == quote {
            if !escaped {
                return Some((at + 1, raw));
            }
            escaped = false;
            raw.push(c);
            continue;
        }
        if c == '\\' && !escaped {
            escaped = true;
            continue;
        }
        if escaped {
            escaped = false;
            raw.push('\\');
        }
        raw.push(c);
    }
    None
}

/// Reads the escapes of a double-quoted value. `\$` becomes `$$`, which interpolation turns into one dollar.
pub(super) fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let taken = escape_sequence(from, &mut out);
        rest = from.get(taken..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// Writes what the escape at the start of `from` stands for; returns its length. Unknown ones stay as they are.
fn escape_sequence(from: &str, out: &mut String) -> usize {
    let Some(c) = from.chars().nth(1) else {
        out.push('\\');
        return 1;
    };
    match c {
        'a' => out.push('\x07'),
        'b' => out.push('\x08'),
        'f' => out.push('\x0c'),
        'n' => out.push('\n'),
        'r' => out.push('\r'),
        't' => out.push('\t'),
        'v' => out.push('\x0b'),
        '"' | '\\' => out.push(c),
        '$' => out.push_str("$$"),
        '0' => return octal(from, out),
        c => {
            out.push('\\');
            out.push(c);
            return 1 + c.len_utf8();
        }
    }
    2
}

/// `\0` and up to three digits. Three octal ones up to 377 are a character; of anything else Compose drops the zero.
fn octal(from: &str, out: &mut String) -> usize {
    let digits: String = from
        .chars()
        .skip(2)
        .take(3)
        .take_while(char::is_ascii_digit)
        .collect();
    let code = (digits.len() == 3)
        .then(|| u8::from_str_radix(&digits, 8).ok())
        .flatten();
    match code {
        Some(code) => out.push(char::from(code)),
        None => {
            out.push('\\');
            out.push_str(&digits);
        }
    }
    2 + digits.len()
}
