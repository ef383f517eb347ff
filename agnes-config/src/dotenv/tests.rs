//! What the corpus against real Compose (tests/e2e/dotenv.rs) does not show: lines, spans, all faults, editing.

use proptest::prelude::*;

use super::*;

fn parse_alone(text: &str) -> Parsed {
    parse(text.as_bytes(), &|_| None)
}

fn values(text: &str) -> Vec<(String, String)> {
    let entries = parse_alone(text).entries.into_iter();
    entries.map(|entry| (entry.key, entry.value)).collect()
}

#[test]
fn b03_a_value_is_data_and_never_a_command() {
    let text = "A=$(touch /tmp/x); `id` && x\n";
    assert_eq!(
        values(text),
        [("A".to_owned(), "$(touch /tmp/x); `id` && x".to_owned())]
    );
}

#[test]
fn every_fault_is_found_with_its_line() {
    let text = "A=1\n!=2\nB=${\nC C=3\nD='x\ny'\nE=${X:?gone}\nF=\"never\nG=4\n=5\nH";
    let parsed = parse_alone(text);
    let lines: Vec<usize> = parsed.faults.iter().map(|fault| fault.line).collect();
    assert_eq!(lines, [2, 3, 4, 7, 8, 10, 11]);
    let keys: Vec<&str> = parsed
        .entries
        .iter()
        .map(|entry| entry.key.as_str())
        .collect();
    assert_eq!(keys, ["A", "D", "G"]);
}

#[test]
fn a_quote_that_swallowed_lines_is_named_where_it_opened() {
    let parsed = parse_alone("X=1\nA=\"one\nB=\"two\"\nC=3\n");
    let fault = &parsed.faults[0];
    assert_eq!(fault.line, 3);
    assert!(fault.message.contains("the quote of line 2"), "{fault:?}");
}

#[test]
fn lines_and_spans_are_those_of_the_file() {
    let text = "\u{feff}# é\r\nexport A = 'x y' # c\r\n\r\nB=\"1\n2\"\nC: z # d\n";
    let parsed = parse_alone(text);
    let found: Vec<(usize, &str)> = parsed
        .entries
        .iter()
        .map(|entry| (entry.line, &text[entry.span.clone()]))
        .collect();
    assert_eq!(found, [(2, "'x y'"), (4, "\"1\n2\""), (6, "z")]);
}

#[test]
fn no_fault_repeats_a_value() {
    for text in [
        "A=\"hunter2",
        "A=${hunter2",
        "A=x ${",
        "A='x\nhunter2!=y",
        "hunter2\u{1}secret=x",
    ] {
        let parsed = parse_alone(text);
        assert!(!parsed.faults.is_empty(), "{text}");
        let all = format!("{parsed:?}");
        assert!(!all.contains("hunter2"), "{all}");
    }
}

#[test]
fn nesting_without_end_is_a_fault_and_no_overflow() {
    let text = format!("A={}x{}\n", "${B:-".repeat(5000), "}".repeat(5000));
    assert_eq!(parse_alone(&text).faults.len(), 1);
}

#[test]
fn lines_that_double_each_other_are_one_fault_and_no_memory() {
    let mut text = format!("A0={}\n", "x".repeat(1000));
    for n in 1..60 {
        text += &format!("A{n}=\"${{A{0}}}${{A{0}:-}}\"\n", n - 1);
    }
    text += "DOMAIN=agnes.example.com\n!=x\n";
    let parsed = parse_alone(&text);
    let held: usize = parsed.entries.iter().map(|entry| entry.value.len()).sum();
    assert!(held < 1100 * 1024, "{held}");
    let found: Vec<(usize, Option<&str>)> = parsed
        .faults
        .iter()
        .map(|fault| (fault.line, fault.key.as_deref()))
        .collect();
    assert_eq!(found, [(11, Some("A10")), (62, None)]);
    assert!(parsed.faults[0].message.contains("more than 1 MiB"));
    assert_eq!(parsed.get("DOMAIN").unwrap().value, "agnes.example.com");
    // What is looked at and then left out takes time.
    let text = format!("A={}\nB={}\n", "x".repeat(9000), "${A:+}".repeat(9000));
    assert_eq!(parse_alone(&text).faults.len(), 1);
    // A long file without variables is only long.
    let text = format!("A='{0}'\nB={0}\n", "x".repeat(1 << 20));
    assert!(parse_alone(&text).faults.is_empty());
}

#[test]
fn a_required_variable_is_missed_in_the_operators_own_words() {
    let said = |text: &str| {
        let parsed = parse_alone(text);
        assert_eq!(parsed.faults.len(), 1, "{text}");
        parsed.faults[0].message.clone()
    };
    let bare = "the required variable X has no value";
    assert_eq!(
        said("A=${X:?ask the owner of the stack}\n"),
        format!("{bare}: ask the owner of the stack")
    );
    assert_eq!(said("X=\nA=${X:?say so}\n"), format!("{bare}: say so"));
    assert_eq!(said("A=${X?say so}\n"), format!("{bare}: say so"));
    assert_eq!(said("A=${X:?}\n"), bare);
    assert_eq!(
        said("A=${X:?red \u{1b}[31m\u{202e}x}\n"),
        format!("{bare}: red  [31m x")
    );
    assert_eq!(
        said("S=hunter2\nA=${X:?not $S}\n"),
        format!("{bare}: not $S")
    );
    let long = said(&format!("A=${{X:?{}}}\n", "x".repeat(5000)));
    assert!(long.ends_with("x…") && long.chars().count() < 300, "{long}");
}

#[test]
fn b04_upsert_keeps_every_other_byte() {
    let before = "# ours\r\nexport DOMAIN = old # why\r\n\r\nOTHER='x\r\ny'\r\nDOMAIN: \"older\"  # this counts\r\nTAIL=1";
    let after = upsert(
        before.as_bytes(),
        &[("DOMAIN", "new.example.com"), ("NEW", "a b")],
    )
    .unwrap();
    let expected = "# ours\r\nexport DOMAIN = old # why\r\n\r\nOTHER='x\r\ny'\r\nDOMAIN: 'new.example.com'  # this counts\r\nTAIL=1\r\nNEW='a b'\r\n";
    assert_eq!(String::from_utf8(after).unwrap(), expected);
}

#[test]
fn upsert_of_what_is_there_changes_no_byte() {
    let before = "A=\"x\" # c\nB = y\n\n#\n";
    let after = upsert(before.as_bytes(), &[("A", "x"), ("B", "y")]).unwrap();
    assert_eq!(after, before.as_bytes());
}

#[test]
fn upsert_replaces_what_only_looks_equal_today() {
    let after = upsert(b"A=x\nB=${A}\n", &[("B", "x")]).unwrap();
    assert_eq!(after, b"A=x\nB=x\n");
    // While upsert reads a file, every variable there is reads as "set".
    let after = upsert(b"B=${A}\n", &[("B", "set")]).unwrap();
    assert_eq!(after, b"B=set\n");
    let after = upsert(b"DOMAIN\n", &[("DOMAIN", "x")]).unwrap();
    assert_eq!(after, b"DOMAIN\nDOMAIN=x\n");
}

#[test]
fn upsert_is_refused_rather_than_approximated() {
    assert_eq!(
        upsert(b"", &[("A", "a\0b")]),
        Err(UpsertError::Value("A".to_owned()))
    );
    assert_eq!(
        upsert(b"", &[("1A", "x")]),
        Err(UpsertError::Key("1A".to_owned()))
    );
    assert!(matches!(
        upsert(b"A=\"x\n", &[("A", "x")]),
        Err(UpsertError::Malformed(_))
    ));
    assert!(matches!(
        upsert(b"A=\xff\n", &[("A", "x")]),
        Err(UpsertError::Malformed(_))
    ));
}

#[test]
fn upsert_of_an_empty_file_and_of_nothing() {
    assert_eq!(upsert(b"", &[("A", "")]).unwrap(), b"A=''\n");
    assert_eq!(upsert(b"A=1", &[]).unwrap(), b"A=1");
    assert_eq!(
        upsert("\u{feff}".as_bytes(), &[("A", "1")]).unwrap(),
        "\u{feff}A=1\n".as_bytes()
    );
}

/// Text that is likely to mean something.
fn nasty() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "A", "B", "=", ":", " ", "\n", "\r\n", "\t", "'", "\"", "\\", "$", "${", "}", "${A:-", "#",
        " #", "export ", "é", "\u{a0}", "\u{feff}", "\0", "x", "0", "!", "\u{2028}",
    ]);
    prop::collection::vec(token, 0..30).prop_map(|tokens| tokens.concat())
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let parsed = parse(&bytes, &|_| Some("$x".to_owned()));
        let _ = upsert(&bytes, &[("A", "x")]);
        for fault in &parsed.faults {
            prop_assert!(fault.line >= 1);
        }
    }

    #[test]
    fn nasty_files_never_panic_and_spans_lie_within(text in nasty()) {
        let parsed = parse(text.as_bytes(), &|_| None);
        for entry in &parsed.entries {
            prop_assert!(text.get(entry.span.clone()).is_some());
            prop_assert!(!entry.key.is_empty());
        }
    }

    #[test]
    fn upsert_then_parse_gives_the_value(file in nasty(), value in nasty(), other in "\\PC*") {
        let written = upsert(file.as_bytes(), &[("A", &value), ("NEW", &other)]);
        if let Ok(after) = written {
            let parsed = parse(&after, &|_| Some("set".to_owned()));
            prop_assert_eq!(&parsed.get("A").unwrap().value, &value);
            prop_assert_eq!(&parsed.get("NEW").unwrap().value, &other);
            let again = upsert(&after, &[("A", &value), ("NEW", &other)]);
            prop_assert_eq!(again, Ok(after));
        }
    }

    #[test]
    fn every_value_without_nul_can_be_written_into_an_empty_file(value in "[^\0]*") {
        let after = upsert(b"", &[("A", &value)]).unwrap();
        let parsed = parse(&after, &|_| None);
        prop_assert_eq!(&parsed.get("A").unwrap().value, &value);
    }
}

#[test]
fn a_key_that_is_taken_out_leaves_every_other_byte() {
    for (before, after) in [
        ("A=1\nKEY=x\nB=2\n", "A=1\nB=2\n"),
        ("A=1\r\nKEY='x y'\r\n# c\r\n", "A=1\r\n# c\r\n"),
        ("KEY=x", ""),
        ("KEY=\nA=1", "A=1"),
        ("KEY=\"a\nb\"\nA=1\nKEY=c\n", "A=1\n"),
        ("KEY=x # mine\nA=1\n", "KEY='' # mine\nA=1\n"),
        ("A=1\n# KEY=x\n", "A=1\n# KEY=x\n"),
    ] {
        let out = remove(before.as_bytes(), "KEY").unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), after, "{before:?}");
    }
    // what another value is made of is not taken away from under it
    assert!(remove(b"KEY=x\nA=${KEY}\n", "KEY").is_err());
}

#[test]
fn a_key_that_stands_twice_on_one_line_is_taken_out_and_its_neighbour_stays() {
    for (file, left) in [
        ("A=1\nK='old' K=D\r\nB=2\n", "A=1\nK='' K=''\r\nB=2\n"),
        ("K='old' K=D", "K='' K=''"),
        ("A='x' K=y\n", "A='x' K=''\n"),
        ("A='x\ny' K=z\nB=2\n", "A='x\ny' K=''\nB=2\n"),
        ("K=1\nexport K='2'\n", ""),
    ] {
        let removed = remove(file.as_bytes(), "K").unwrap();
        assert_eq!(String::from_utf8_lossy(&removed), left, "{file:?}");
    }
}
