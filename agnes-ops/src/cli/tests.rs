use clap::Parser as _;

use super::Cli;

/// W07: a command of a runbook is one that there is.
#[test]
fn every_command_of_the_documents_is_understood() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md");
    let text = std::fs::read_to_string(root).unwrap();
    let (_, text) = text.split_once("\n## doctor\n").unwrap();
    let mut understood = 0;
    for span in text.split('`').skip(1).step_by(2) {
        let words: Vec<&str> = span.split_whitespace().collect();
        if words.first() != Some(&"agnes-ops") || span.contains(['[', '…']) {
            continue;
        }
        let words = words.iter().map(|word| match *word {
            "DIGEST" => "sha256:0000000000000000000000000000000000000000000000000000000000000000",
            "NAME" => "jwt",
            "HOST:443" => "agnes.example.com:443",
            "URL" => "https://pki.example.com/chain.pem",
            word => word,
        });
        let parsed = Cli::try_parse_from(words);
        assert!(parsed.is_ok(), "{span}: {}", parsed.err().unwrap());
        understood += 1;
    }
    assert!(understood > 40, "{understood}");
}
