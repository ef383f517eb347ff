//! `$VAR`, `${VAR}`, `${VAR:-x}` and their kin, by the rules of Compose's own templates.
//!
//! Always true: what a variable holds is never expanded again; a text that Compose calls an invalid template is an error.
//!
//! Does not: know where variables come from, name a variable's value in an error.

/// What a text reads as.
pub(super) struct Expanded {
    pub(super) text: String,
    /// A variable stood in it.
    pub(super) interpolated: bool,
    /// The variables nobody set.
    pub(super) unset: Vec<String>,
}

/// Deeper nesting of `${A:-${B:-…}}` than anybody writes; it bounds the stack.
const DEEPEST: usize = 100;

/// Expands `text`.
///
/// # Errors
/// One line: an invalid template, a required variable without a value, or nesting deeper than [`DEEPEST`].
pub(super) fn expand(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Expanded, String> {
    let mut expander = Expander {
        lookup,
        interpolated: false,
        unset: Vec::new(),
    };
    Ok(Expanded {
        text: expander.substitute(text, 0)?,
        interpolated: expander.interpolated,
        unset: expander.unset,
    })
}

struct Expander<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    interpolated: bool,
    unset: Vec<String>,
}

impl Expander<'_> {
    fn substitute(&mut self, text: &str, depth: usize) -> Result<String, String> {
        if depth > DEEPEST {
            return Err(format!("variables nested deeper than {DEEPEST}"));
        }
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            let (before, from) = rest.split_at(at);
            out.push_str(before);
            let taken = self.token(from, depth, &mut out)?;
            rest = from.get(taken..).unwrap_or_default();
        }
        out.push_str(rest);
        Ok(out)
    }

    /// Expands what begins with the `$` at the start of `from`; returns its length.
    fn token(&mut self, from: &str, depth: usize, out: &mut String) -> Result<usize, String> {
        let behind = from.get(1..).unwrap_or_default();
        if behind.starts_with('$') {
            out.push('$');
            return Ok(2);
        }
        if let Some(inside) = behind.strip_prefix('{') {
            return self.braced(inside, depth, out).map(|taken| 2 + taken);
        }
        let name = leading_name(behind);
        if name.is_empty() {
            out.push('$');
            return Ok(1);
        }
        out.push_str(&self.value(name));
        Ok(1 + name.len())
    }

    /// `inside` begins behind `${`; returns how much of it was taken, the closing brace included.
    fn braced(&mut self, inside: &str, depth: usize, out: &mut String) -> Result<usize, String> {
        let invalid = || {
            "has a `${` that is no variable (expected ${NAME}, or $$ for a literal dollar)"
                .to_owned()
        };
        let name = leading_name(inside);
        let behind = inside.get(name.len()..).unwrap_or_default();
        if name.is_empty() {
            return Err(invalid());
        }
        if behind.starts_with('}') {
            out.push_str(&self.value(name));
            return Ok(name.len() + 1);
        }
        let operator = Operator::parse(behind).ok_or_else(invalid)?;
        let head = name.len() + operator.len();
        let line = inside.split('\n').next().unwrap_or_default();
        let last = line
            .rfind('}')
            .filter(|at| *at >= head)
            .ok_or_else(invalid)?;
        let end = closing_brace(line.get(..=last).unwrap_or_default()).unwrap_or(last);
        let word = self.substitute(line.get(head..end).unwrap_or_default(), depth + 1)?;
        self.interpolated = true;
        out.push_str(&operator.apply(name, (self.lookup)(name), word)?);
        Ok(end + 1)
    }

    fn value(&mut self, name: &str) -> String {
        self.interpolated = true;
        (self.lookup)(name).unwrap_or_else(|| {
            self.unset.push(name.to_owned());
            String::new()
        })
    }
}

/// The name at the start of `text`. Compose matches without regard to case, which lets in two letters beyond ASCII.
fn leading_name(text: &str) -> &str {
    let letter = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '\u{17f}' | '\u{212a}');
    if !text.starts_with(letter) {
        return "";
    }
    let end = text.find(|c: char| !letter(c) && !c.is_ascii_digit());
    text.get(..end.unwrap_or(text.len())).unwrap_or_default()
}

/// Where the brace closes that opened just before `inside`. As Compose counts, the character behind an opening brace is
/// never looked at.
fn closing_brace(inside: &str) -> Option<usize> {
    let mut open = 1_usize;
    let mut bytes = inside.bytes().enumerate().skip(1);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'}' if open == 1 => return Some(at),
            b'}' => open -= 1,
            b'{' => {
                open += 1;
                bytes.next();
            }
            _ => {}
        }
    }
    None
}

/// What stands between name and word: `-`, `+` or `?`, each also with a `:` that makes empty count as unset.
struct Operator {
    kind: char,
    empty_is_unset: bool,
}

impl Operator {
    fn parse(text: &str) -> Option<Self> {
        let empty_is_unset = text.starts_with(':');
        let kind = text.chars().nth(usize::from(empty_is_unset))?;
        matches!(kind, '-' | '+' | '?').then_some(Self {
            kind,
            empty_is_unset,
        })
    }

    fn len(&self) -> usize {
        1 + usize::from(self.empty_is_unset)
    }

    fn apply(&self, name: &str, value: Option<String>, word: String) -> Result<String, String> {
        let present = value
            .as_ref()
            .is_some_and(|value| !(self.empty_is_unset && value.is_empty()));
        match (self.kind, present) {
            ('+', true) | ('-', false) => Ok(word),
            ('?', false) => Err(format!("the required variable {name} has no value")),
            _ => Ok(value.unwrap_or_default()),
        }
    }
}
