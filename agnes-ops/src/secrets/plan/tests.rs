use super::*;

const A: &str = "a1b2c3d4e5f60718293a4b5c6d7e8f90";
const B: &str = "b1b2c3d4e5f60718293a4b5c6d7e8f91";
const C: &str = "c1b2c3d4e5f60718293a4b5c6d7e8f92";

fn own() -> Managed {
    Managed {
        name: "JWT_SECRET_KEY".to_owned(),
        source: None,
        referenced: false,
        required: true,
    }
}

fn fetched(required: bool) -> Managed {
    Managed {
        name: "DATA_SOURCE_TOKEN".to_owned(),
        source: Some("sm://agnes-data-source".parse().unwrap()),
        referenced: false,
        required,
    }
}

/// Generations 1, 2, … of these values; the link at `current`, 0: none.
fn kept(values: &[&str], current: usize) -> Kept {
    let values: Vec<(u64, Secret)> = (1..).zip(values.iter().map(|v| Secret::new(v))).collect();
    let current = match current.checked_sub(1).and_then(|at| values.get(at)) {
        Some((number, secret)) => Current::Sound {
            number: *number,
            secret: secret.clone(),
        },
        None if values.is_empty() => Current::Absent,
        None => Current::Damaged("generation 9 is not there".to_owned()),
    };
    let newest = values.len() as u64;
    Kept {
        current,
        values,
        newest,
    }
}

/// The action in short, and whether something is said.
fn told(decision: Result<Decision, Impossible>) -> String {
    match decision {
        Ok(decision) => {
            let action = match decision.action {
                Action::Keep(number) => format!("keep {number}"),
                Action::Mint => "mint".to_owned(),
                Action::Adopt(secret) => format!("adopt {}", secret.expose()),
                Action::Take(secret) => format!("take {}", secret.expose()),
                Action::Finish(number) => format!("finish {number}"),
                Action::Nothing => "nothing".to_owned(),
            };
            let said = if decision.note.is_some() {
                ", said"
            } else {
                ""
            };
            let failed = if decision.failed { ", failed" } else { "" };
            format!("{action}{said}{failed}")
        }
        Err(Impossible::DurableCopyDamaged(_)) => "damaged".to_owned(),
        Err(Impossible::Missing(_)) => "missing".to_owned(),
    }
}

#[test]
fn what_is_made_on_the_host() {
    let managed = own();
    let short = "short";
    for (written, values, current, want) in [
        (None, &[][..], 0, "mint".to_owned()),
        (Some(short), &[], 0, "mint, said".to_owned()),
        (Some(A), &[], 0, format!("adopt {A}, said")),
        (Some(A), &[A], 1, "keep 1".to_owned()),
        (None, &[A], 1, "keep 1".to_owned()),
        (Some(short), &[A], 1, "keep 1, said".to_owned()),
        // a person's edit
        (Some(C), &[A, B], 2, format!("adopt {C}, said")),
        // an old .env came back
        (Some(A), &[A, B], 2, "keep 2, said".to_owned()),
        // killed between the generation and its link
        (Some(B), &[A, B], 1, "finish 2".to_owned()),
        // damage
        (None, &[A], 9, "damaged".to_owned()),
        (Some(short), &[A], 9, "damaged".to_owned()),
        (Some(B), &[A], 9, format!("adopt {B}, said")),
        (None, &[short], 1, "damaged".to_owned()),
        (Some(A), &[short], 1, format!("adopt {A}, said")),
    ] {
        let seen = Seen {
            managed: &managed,
            written,
            kept: &kept(values, current),
            fetched: None,
        };
        assert_eq!(
            told(decide(&seen)),
            want,
            "{written:?} {values:?} {current}"
        );
    }
}

#[test]
fn b07_a_failed_fetch_never_blanks_a_secret_that_works() {
    let failure = || Some(Err("fetch sm://x: forbidden".to_owned()));
    for (written, values, current, required, want) in [
        (None, &[A][..], 1, true, "keep 1, said, failed".to_owned()),
        (Some(B), &[A], 1, true, "keep 1, said, failed".to_owned()),
        (Some(B), &[], 0, true, format!("adopt {B}, said, failed")),
        (None, &[], 0, true, "missing".to_owned()),
        (None, &[], 0, false, "nothing, said, failed".to_owned()),
        (None, &[A], 9, false, "damaged".to_owned()),
    ] {
        let managed = fetched(required);
        let seen = Seen {
            managed: &managed,
            written,
            kept: &kept(values, current),
            fetched: failure(),
        };
        assert_eq!(
            told(decide(&seen)),
            want,
            "{written:?} {values:?} {current}"
        );
    }
}

#[test]
fn what_is_fetched_counts_whatever_stands_in_the_env_file() {
    let managed = fetched(true);
    let (a, b) = (Secret::new(A), Secret::new(B));
    for (source, written, values, current, want) in [
        (&a, None, &[][..], 0, format!("take {A}")),
        (&a, Some(C), &[A], 1, "keep 1".to_owned()),
        (&b, Some(A), &[A], 1, format!("take {B}")),
        (&b, Some(A), &[A, B], 1, "finish 2".to_owned()),
        // the source went back to an old value: it counts again, under a number of its own
        (&a, Some(B), &[A, B], 2, format!("take {A}")),
        (&a, None, &[A], 9, format!("take {A}")),
    ] {
        let seen = Seen {
            managed: &managed,
            written,
            kept: &kept(values, current),
            fetched: Some(Ok(source)),
        };
        assert_eq!(
            told(decide(&seen)),
            want,
            "{written:?} {values:?} {current}"
        );
    }
}
