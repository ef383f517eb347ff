//! `.env` as we read it against `.env` as Docker Compose reads it: the same files, the same values, the same refusals.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use agnes_config::dotenv::{self, Parsed};
use agnes_e2e::components;
use tempfile::TempDir;

/// What a `.env` comes to: a value for each key, or the file refused.
pub(crate) type Reading = Result<BTreeMap<String, String>, String>;

/// The environment that both sides see.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("FROM_ENV", "env value"),
    ("EMPTY_ENV", ""),
    ("DOLLAR_ENV", "a$B"),
];

/// Names that the cases may set; Compose is asked for each of them.
const NAMES: &[&str] = &[
    "A",
    "B",
    "C",
    "A_B",
    "a",
    "A.B",
    "A-B",
    "é",
    "FROM_ENV",
    "EMPTY_ENV",
];

pub(crate) struct Compose {
    program: PathBuf,
    dir: TempDir,
}

impl Compose {
    /// The real plugin, where it is installed.
    pub(crate) fn find() -> Option<Self> {
        Some(Self {
            program: components::require("docker-compose")?,
            dir: tempfile::tempdir().unwrap(),
        })
    }

    pub(crate) fn read(&self, env: &[u8], names: &BTreeSet<String>) -> Reading {
        let dir = self.dir.path();
        fs::write(dir.join(".env"), env).unwrap();
        let file = serde_json::json!({
            "name": "dotenv",
            "services": {"x": {"image": "x", "environment": names}},
        });
        fs::write(dir.join("compose.yaml"), file.to_string()).unwrap();
        let output = Command::new(&self.program)
            .args(["config", "--format", "json"])
            .current_dir(dir)
            .env_clear()
            .env("HOME", dir)
            .envs(ENVIRONMENT.iter().copied())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            let reasons = [".env", "template", "required variable", "setenv"];
            let ours = reasons.iter().any(|reason| stderr.contains(reason));
            assert!(ours, "refused for another reason: {stderr}");
            return Err(stderr.into_owned());
        }
        let config: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let values = config["services"]["x"]["environment"].as_object().unwrap();
        Ok(values
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.replace("$$", "$"))))
            .collect())
    }
}

fn parse(env: &[u8], home: &Path) -> Parsed {
    dotenv::parse(env, &|name| {
        if name == "HOME" {
            return Some(home.to_string_lossy().into_owned());
        }
        let found = ENVIRONMENT.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

/// Our reading, with the environment over it as Compose has it.
fn ours(parsed: &Parsed, names: &BTreeSet<String>) -> Reading {
    if let Some(fault) = parsed.faults.first() {
        return Err(format!("line {}: {}", fault.line, fault.message));
    }
    let environment = |name: &String| {
        let found = ENVIRONMENT.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let value = |name: &String| {
        environment(name).or_else(|| parsed.get(name).map(|entry| entry.value.clone()))
    };
    Ok(names
        .iter()
        .filter_map(|name| Some((name.clone(), value(name)?)))
        .collect())
}

/// What both sides did.
enum Both {
    Read,
    Refused,
}

fn compare(compose: &Compose, env: &[u8]) -> Both {
    let parsed = parse(env, compose.dir.path());
    let mut names: BTreeSet<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
    let readable = |name: &&String| {
        !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control())
    };
    names.extend(
        parsed
            .entries
            .iter()
            .map(|entry| &entry.key)
            .filter(readable)
            .cloned(),
    );
    let (theirs, ours) = (compose.read(env, &names), ours(&parsed, &names));
    let text = String::from_utf8_lossy(env);
    match (&theirs, &ours) {
        (Ok(theirs), Ok(ours)) => {
            assert_eq!(theirs, ours, "Compose (left) reads {text:?} differently");
            Both::Read
        }
        (Err(_), Err(_)) => Both::Refused,
        (Ok(_), Err(fault)) => panic!("Compose reads {text:?}, we refuse it: {fault}"),
        (Err(refusal), Ok(_)) => panic!("Compose refuses {text:?}, we read it: {refusal}"),
    }
}

#[test]
fn every_case_reads_as_compose_reads_it() {
    let Some(compose) = Compose::find() else {
        return;
    };
    for case in CASES {
        compare(&compose, case.as_bytes());
    }
}

#[test]
fn random_files_read_as_compose_reads_them() {
    let Some(compose) = Compose::find() else {
        return;
    };
    let mut random = Random::seeded();
    let (mut read, mut refused) = (0, 0);
    for _ in 0..cases() {
        match compare(&compose, random.file().as_bytes()) {
            Both::Read => read += 1,
            Both::Refused => refused += 1,
        }
    }
    println!("FIGURE dotenv-read {read} random files read as Compose reads them");
    println!("FIGURE dotenv-refused {refused} random files refused as Compose refuses them");
    assert!(read > 0 && refused > 0, "the alphabet must reach both");
}

#[test]
fn what_upsert_writes_compose_reads_back() {
    let Some(compose) = Compose::find() else {
        return;
    };
    let mut random = Random::seeded();
    let names: BTreeSet<String> = ["A", "B"].map(str::to_owned).into();
    let (mut written, mut refused) = (0, 0);
    for case in 0..cases() {
        let before = CASES[case % CASES.len()].as_bytes();
        let (a, b) = (random.value(), random.value());
        let Ok(after) = dotenv::upsert(before, &[("A", &a), ("B", &b)]) else {
            refused += 1;
            continue;
        };
        let text = String::from_utf8_lossy(&after).into_owned();
        let again = dotenv::upsert(&after, &[("A", &a), ("B", &b)]);
        assert_eq!(
            again.as_deref(),
            Ok(after.as_slice()),
            "not stable: {text:?}"
        );
        match compose.read(&after, &names) {
            Ok(read) => {
                assert_eq!(read.get("A"), Some(&a), "{text:?}");
                assert_eq!(read.get("B"), Some(&b), "{text:?}");
            }
            // A variable that only an environment gives is none of upsert's business.
            Err(refusal) => assert!(refusal.contains("required variable"), "{text:?}: {refusal}"),
        }
        written += 1;
    }
    println!("FIGURE dotenv-written {written} random values written that Compose reads back");
    println!("FIGURE dotenv-not-written {refused} random values refused rather than written");
    assert!(written > refused, "most files must be writable");
}

/// How many random cases: a sample, or what `AGNES_CASES` says.
fn cases() -> usize {
    let cases = std::env::var("AGNES_CASES").ok();
    cases.map_or(150, |cases| cases.parse().unwrap())
}

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
    fn file(&mut self) -> String {
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

/// What people write, and what they should not.
const CASES: &[&str] = &[
    "",
    "\n\n",
    "# only a comment",
    "A=1",
    "A=1\n",
    "A=1\r\nB=2\r\n",
    "\u{feff}A=1\n",
    "A=\nB=x\n",
    "A=\"\"\nB=''\n",
    "A=x y z\n",
    "A=  x  \n",
    "A =x\n",
    "A= x\n",
    "  A=x\n",
    "export A=x\n",
    "export\tA=x\n",
    "export   A=x\n",
    "export A\n",
    "export FROM_ENV\nB=${FROM_ENV}\n",
    "export=1\nA=2\n",
    "exportA=1\n",
    "A: x\n",
    "A:x\n",
    "A=x:y=z\n",
    "A=x # comment\n",
    "A=x#no comment\n",
    "A=x\t# tab\n",
    "A=#x\n",
    "A= #x\n",
    "A=\"x # y\" # z\n",
    "A='x # y'# z\n",
    "A='x'B=2\n",
    "A=\"x\" y\nB=2\n",
    "A='x' 'y'\n",
    "A=1\nA=2\nA=3\n",
    "A=1\nA=\n",
    "A='$B ${B} \\n'\n",
    "A='it\\'s'\n",
    "A='back\\\\slash'\n",
    "A='ends\\'\nB=2\n",
    "A=\"a\\nb\\tc\\rd\"\n",
    "A=\"q\\\"q\"\n",
    "A=\"b\\\\n\"\n",
    "A=\"\\a\\b\\c\\f\\v\\x\"\n",
    "A=\"\\0101 \\101 \\0 \\08 \\0777 \\0400\"\n",
    "A=\"\\$B $$B\"\n",
    "A=\"\\0044{B}\"\nB=1\n",
    "A=a\\nb\n",
    "A=a\\\\b\n",
    "A=C:\\Users\\x\n",
    "A=\"line one\nline two\"\nB=2\n",
    "A='line one\n# no comment\nline three'\nB=2\n",
    "A=\"one\r\ntwo\"\r\nB=2\r\n",
    "A=\"never closed\nB=2\n",
    "A='never closed",
    "A=\"one\nB=\"two\"\n",
    "A=1\nB=$A\n",
    "A=1\nB=${A}2\n",
    "A=1\nB=$A2\n",
    "B=${A}\nA=1\n",
    "A=${A}x\n",
    "A=1\nA=${A}2\n",
    "A=${FROM_ENV}\nFROM_ENV=file\nB=$FROM_ENV\n",
    "A=${NOBODY:-x}\nB=${NOBODY-y}\n",
    "A=${EMPTY_ENV:-x}\nB=${EMPTY_ENV-y}\n",
    "A=${EMPTY_ENV:+x}\nB=${EMPTY_ENV+y}\nC=${NOBODY+z}\n",
    "A=${FROM_ENV:?must be set}\n",
    "A=${NOBODY:?must be set}\n",
    "A=${EMPTY_ENV:?must be set}\n",
    "A=${EMPTY_ENV?must be set}\n",
    "A=${NOBODY?}\n",
    "A=${NOBODY:-${ALSO:-deep}}\n",
    "A=${NOBODY:-${FROM_ENV}}-${B:-x}\n",
    "A=${NOBODY:-a}b}c\n",
    "A=${NOBODY:-{}}\n",
    "A=${NOBODY:-{a}}\n",
    "A=${NOBODY:-$$}\n",
    "A=\"${NOBODY:-x\ny}\"\n",
    "A=$$\nB=$$$$\nC=$\n",
    "A=$1 $- $( ) $\n",
    "A=$(id)`id`; rm -rf x && y | z\n",
    "A=${}\n",
    "A=${\n",
    "A=${A\n",
    "A=${1}\n",
    "A=${A:x}\n",
    "A=${A B}\n",
    "A=p@$$w0rd!\n",
    "A=pass$word\n",
    "A=grün 日本 🦀\n",
    "é=1\n",
    "e\u{301}=1\n",
    "Ⅷ=1\n",
    "A.B=1\nA-B=2\n",
    "A[0]=1\n",
    "A B=1\n",
    "A\tB=1\n",
    "A B\n",
    "A/B=1\n",
    "A!=1\n",
    "1A=1\n",
    "=1\n",
    ":\n",
    "A\n",
    "A\nB=1\n",
    "A",
    "A\r\nFROM_ENV\r\n",
    "A=1\n\n\n   \n\t\nB=2",
    "A=1\rB=2\n",
    "A=x\u{a0}\nB=\u{a0}x\n",
    "A=x\u{2028}\nB=y\u{3000}\n",
    "A=1 #\nB=2\n",
    "#A=1\n#B=2\nC=3\n",
    "'A'=1\n",
    "\"A\"=1\n",
    "A='\"'\nB=\"'\"\n",
    "A=x'y'\nB=x\"y\"\n",
    "A={\"k\": \"v\"}\n",
    "A=/C=US/ST=Illinois/L=Chicago/O=Your Org/CN=agnes.example.com\n",
    "A=https://user:p%40ss@pki.example.com/x?y=z#frag\n",
    "A=-----BEGIN-----\n",
    "export \n",
    "export",
    "A=${\u{212a}}$\u{17f}\n",
    "A=\u{feff}\n",
    "A=\"a\u{0}b\"\n",
];
