//! Every combination of settings against what is written down for it. `tests/e2e/stack/combinations.rs` shows the same ones to
//! Compose and to both Caddys.

use super::*;

const GOLDEN: &str = include_str!("compose.golden");

/// Settings as an operator writes them.
fn settings(overlays: &str, mode: TlsMode, aliases: &str) -> Settings {
    let directive = match mode {
        TlsMode::None | TlsMode::Files => "",
        TlsMode::Acme => "tls you@example.com",
        TlsMode::Internal => "tls internal",
    };
    let variables = [
        ("DOMAIN", "agnes.example.com"),
        ("DOMAIN_ALIAS", aliases),
        ("AGNES_OVERLAYS", overlays),
        ("TLS_MODE", mode.as_str()),
        ("CADDY_TLS", directive),
    ]
    .map(|(key, value)| (key.into(), value.into()));
    let dir = tempfile::tempdir().unwrap();
    agnes_config::load(dir.path(), variables, &[])
        .into_settings()
        .unwrap()
}

/// All sets of overlays that may stand together.
fn overlays() -> Vec<String> {
    let sets = (0u8..16).filter_map(|bits| {
        let chosen: Vec<&str> = Overlay::ALL
            .into_iter()
            .enumerate()
            .filter(|(at, _)| bits & (1 << at) != 0)
            .map(|(_, overlay)| overlay.as_str())
            .collect();
        let contradiction = chosen.contains(&"prod") && chosen.contains(&"dev");
        (!contradiction).then(|| chosen.join(","))
    });
    sets.map(|set| {
        if set.is_empty() {
            "base".to_owned()
        } else {
            set
        }
    })
    .collect()
}

#[test]
fn every_combination_is_the_set_that_is_written_down() {
    let mut table = String::new();
    for set in overlays() {
        for mode in TlsMode::ALL {
            for aliases in ["", "www.example.com,api.example.com"] {
                let stack = compose(&settings(&set, mode, aliases), &[]);
                let others = stack.files.iter().skip(stack.compose.len());
                let others: Vec<&str> = others.map(|file| file.name).collect();
                let alias = if aliases.is_empty() { "" } else { " alias" };
                table.push_str(&format!(
                    "{set} {}{alias}\n  {}\n  {}\n",
                    mode.as_str(),
                    stack.compose_file(),
                    others.join(" ")
                ));
                assert_eq!(stack.absent.contains(&ALIAS), aliases.is_empty());
            }
        }
    }
    assert_eq!(table.lines().count(), 3 * 12 * 4 * 2);
    assert!(table == GOLDEN, "not as in compose.golden:\n{table}");
}

/// What is in the checkout and not in this program is on no host.
#[test]
fn all_that_is_in_monitoring_is_shipped() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let stack = compose(&settings("monitoring", TlsMode::Files, ""), &[]);
    let mut open = vec![root.join("monitoring")];
    let mut seen = 0;
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            // tests of the rules are the checkout's own
            if path.is_dir() && name != "monitoring/prometheus/tests" {
                open.push(path);
            } else if path.is_file() {
                let shipped = stack.files.iter().any(|file| file.name == name);
                assert!(shipped, "{name}");
                seen += 1;
            }
        }
    }
    assert!(seen > 5, "{seen}");
}

#[test]
fn all_names_of_an_alias_lead_to_the_domain() {
    let text = |mode| {
        let stack = compose(
            &settings("prod", mode, "www.example.com api.example.com"),
            &[],
        );
        let file = stack.files.into_iter().find(|file| file.name == ALIAS);
        file.unwrap().text.into_owned()
    };
    let site = "{\n\timport site\n\timport to_domain\n}\n";
    assert!(text(TlsMode::Files).ends_with(&format!(
        "https://www.example.com, https://api.example.com {site}"
    )));
    assert!(text(TlsMode::None).ends_with(&format!(
        "http://www.example.com, http://api.example.com {site}"
    )));
}

#[test]
fn what_an_upgrade_and_a_person_wrote_has_the_last_word() {
    let stack = compose(&settings("prod", TlsMode::Files, ""), &[OVERRIDE, PIN]);
    let expected = "docker-compose.yml:docker-compose.prod.yml:docker-compose.tls.yml:docker-compose.pin.yml:docker-compose.override.yml";
    assert_eq!(stack.compose_file(), expected);
    assert!(
        stack
            .files
            .iter()
            .all(|file| ![PIN, OVERRIDE].contains(&file.name))
    );
}
