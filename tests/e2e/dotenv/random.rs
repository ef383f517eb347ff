//! Files and values that nobody wrote, the same ones for the same seed.

use agnes_e2e::components;

use super::NAMES;

/// xorshift64*: the same seed, the same files on every machine.
pub(crate) struct Random(u64);

impl Random {
    /// Of this run's seed, which is printed.
    pub(crate) fn seeded() -> Self {
        let seed = components::seed();
        println!("AGNES_TEST_SEED={seed}");
        Self((seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let wide = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(wide).unwrap() % n
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    fn tokens(&mut self, most: usize, from: &[&str]) -> String {
        let count = self.below(most + 1);
        (0..count).map(|_| self.pick(from)).collect()
    }

    pub(crate) fn value(&mut self) -> String {
        self.tokens(8, VALUE)
    }

    /// A file of a few lines. Most hold nothing that must be refused, or nearly every file would be.
    pub(super) fn file(&mut self) -> String {
        let wild = self.below(4) == 0;
        let mut file = String::new();
        if self.below(12) == 0 {
            file.push('\u{feff}');
        }
        for _ in 0..=self.below(4) {
            if wild && self.below(4) == 0 {
                file.push_str(&self.tokens(5, VALUE));
            } else {
                file.push_str(self.pick(HEAD));
                file.push_str(self.pick(NAMES));
                file.push_str(self.pick(SEPARATOR));
                file.push_str(&self.written_value(wild));
            }
            file.push_str(self.pick(END));
        }
        file
    }

    fn written_value(&mut self, wild: bool) -> String {
        let mut value = self.value();
        if !wild {
            while REFUSED.iter().any(|token| value.contains(token)) {
                value = self.value();
            }
        }
        let quote = self.pick(&["", "", "", "\"", "'"]);
        match quote {
            "" if !wild => value
                .trim_start_matches(['"', '\'', ' ', '\t'])
                .replace('\n', ""),
            _ if !wild => {
                let inside = value.replace(quote, "").trim_end_matches('\\').to_owned();
                format!("{quote}{inside}{quote}")
            }
            _ => format!("{quote}{value}{quote}"),
        }
    }
}

/// What makes Compose refuse most values that hold it.
const REFUSED: &[&str] = &["${A:x", "${A:=", "?why"];

const HEAD: &[&str] = &["", "", "", "", "export ", "export\t", " ", "# "];
const SEPARATOR: &[&str] = &[
    "=", "=", "=", "=", "= ", " =", ": ", ":", "\t=\t", "", "=\u{a0}",
];
const END: &[&str] = &[
    "\n",
    "\n",
    "\n",
    "\n",
    "\r\n",
    "\n\n",
    "",
    " # c\n",
    "#c\n",
    "\u{2028}\n",
];
const VALUE: &[&str] = &[
    "x",
    "1",
    " ",
    " ",
    "  ",
    "\t",
    "\r",
    "\r\n",
    "\n",
    "#",
    " #",
    "'",
    "\"",
    "\\",
    "\\\\",
    "\\n",
    "\\t",
    "\\$",
    "\\\"",
    "\\'",
    "\\0",
    "\\0101",
    "\\044",
    "\\0044",
    "\\07",
    "\\c",
    "\\x41",
    "\\u0041",
    "$",
    "$$",
    "$A",
    "$B",
    "$1",
    "${A}",
    "${B}",
    "${A",
    "${",
    "{",
    "}",
    "}",
    "${A:-",
    "${B-",
    "${C:+",
    "${A+",
    "${FROM_ENV:-",
    "${EMPTY_ENV:-x}",
    "${EMPTY_ENV-x}",
    "${EMPTY_ENV+x}",
    "$DOLLAR_ENV",
    "${B:?why}",
    "${A?why}",
    "${A:=x}",
    "${A:x}",
    "${A-{}}",
    "é",
    "日本",
    "🦀",
    "\u{a0}",
    "\u{85}",
    "\u{2028}",
    "\u{feff}",
    "\u{301}",
    "Ⅷ",
    "\u{212a}",
    "$\u{17f}",
    "=",
    ":",
    "-",
    "+",
    "?",
    ".",
    "[",
    "]",
    "!",
    "`id`",
    "$(id)",
    ";",
    "&",
    "|",
    "%",
    "@",
    "/",
    "*",
    "~",
    "\x07",
    "\x0b",
    "\x0c",
];
