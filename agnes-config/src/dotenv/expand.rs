//! `$VAR`, `${VAR}`, `${VAR:-x}` and their kin, by the rules of Compose's own templates.
//!
//! Always true: what a variable holds is never expanded again; a text that Compose calls an invalid template is an error;
//! the variables of one file bring in no more bytes than its [`Budget`] has.
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

/// How many bytes variables may still bring into the values of one file. Without it, lines that each double the one
/// before would take all memory.
pub(super) struct Budget(Option<usize>);

/// More than any environment that a process could be started with: 1 MiB.
const MOST_BYTES: usize = 1 << 20;

impl Budget {
    pub(super) fn new() -> Self {
        Self(Some(MOST_BYTES))
    }

    /// Was more asked of it than it had? Then nothing is left for the rest of the file.
    pub(super) fn is_overdrawn(&self) -> bool {
        self.0.is_none()
    }

    fn take(&mut self, bytes: usize) -> Result<(), String> {
        self.0 = self.0.and_then(|left| left.checked_sub(bytes));
        match self.0 {
            Some(_) => Ok(()),
            None => Err(
                "the file's variables expand to more than 1 MiB (expected a configuration file)"
                    .to_owned(),
            ),
        }
    }
}

/// Expands `text` at the cost of `budget`.
///
/// # Errors
/// One line: an invalid template, a required variable without a value, nesting deeper than [`DEEPEST`], or an overdrawn
/// budget.
pub(super) fn expand(
    text: &str,
    budget: &mut Budget,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Expanded, String> {
    let mut expander = Expander {
        lookup,
        budget,
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
    budget: &'a mut Budget,
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
        out.push_str(&self.value(name)?);
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
            out.push_str(&self.value(name)?);
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
        let written = line.get(head..end).unwrap_or_default();
        let word = self.substitute(written, depth + 1)?;
        self.interpolated = true;
        let value = self.looked_up(name)?;
        out.push_str(&operator.apply(name, value, word, written)?);
        Ok(end + 1)
    }

    fn value(&mut self, name: &str) -> Result<String, String> {
        self.interpolated = true;
        let value = self.looked_up(name)?;
        Ok(value.unwrap_or_else(|| {
            self.unset.push(name.to_owned());
            String::new()
        }))
    }

    /// What the variable holds; it costs its bytes even where it is then left out, for copying it takes time too.
    fn looked_up(&mut self, name: &str) -> Result<Option<String>, String> {
        let value = (self.lookup)(name);
        self.budget.take(value.as_ref().map_or(0, String::len))?;
        Ok(value)
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

    /// `written` is `word` before its variables were expanded: a message for people never repeats what one holds.
    fn apply(
        &self,
        name: &str,
        value: Option<String>,
        word: String,
        written: &str,
    ) -> Result<String, String> {
        let present = value
            .as_ref()
            .is_some_and(|value| !(self.empty_is_unset && value.is_empty()));
        match (self.kind, present) {
            ('+', true) | ('-', false) => Ok(word),
            ('?', false) => Err(required(name, written)),
            _ => Ok(value.unwrap_or_default()),
        }
    }
}

/// The longest message of an operator's own that is repeated, in characters.
const LONGEST_MESSAGE: usize = 200;

/// A required variable without a value, with the words that stand behind `?` for this moment.
fn required(name: &str, written: &str) -> String {
    // Apart from control characters: what breaks a line, or turns the direction of the rest of it.
    let harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let cut: String = written.chars().take(LONGEST_MESSAGE).collect();
    let more = if cut.len() < written.len() { "…" } else { "" };
    let message = cut.replace(harmful, " ");
    match message.trim() {
        "" => format!("the required variable {name} has no value"),
        message => format!("the required variable {name} has no value: {message}{more}"),
    }
}
