//! What a package has besides the program: completions that complete, and a page for each command.

use std::process::Command;

use agnes_e2e::deployment::{agnes_ops, run};

#[test]
fn a_shell_completes_commands_and_their_flags() {
    let script = |words: &str, at: usize| {
        format!(
            "source <(\"$1\" completions bash); COMP_WORDS=({words}); COMP_CWORD={at}; _agnes_ops agnes-ops \"${{COMP_WORDS[{at}]}}\" \"${{COMP_WORDS[{}]}}\"; echo \"${{COMPREPLY[@]}}\"",
            at - 1
        )
    };
    for (words, at, wanted) in [
        ("agnes-ops doc", 1, "doctor"),
        ("agnes-ops doctor --f", 2, "--fix"),
        ("agnes-ops snapshot res", 2, "restore"),
    ] {
        let mut bash = Command::new("bash");
        bash.args(["-c", &script(words, at), "bash"])
            .arg(agnes_ops());
        let said = run(bash).exits(0);
        let found = said.stdout.split_whitespace().any(|word| word == wanted);
        assert!(found, "{words}: {}{}", said.stdout, said.stderr);
    }
    for shell in ["zsh", "fish"] {
        let mut command = Command::new(agnes_ops());
        command.args(["completions", shell]);
        assert!(run(command).exits(0).stdout.contains("doctor"), "{shell}");
    }
}

#[test]
fn every_command_has_a_page() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(agnes_ops());
    command.args(["man", "--output"]).arg(dir.path());
    run(command).exits(0);
    let mut help = Command::new(agnes_ops());
    help.arg("--help");
    let help = run(help).exits(0).stdout;
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let (commands, _) = commands.split_once("\n\n").unwrap();
    let mut named = 0;
    for line in commands
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
    {
        let name = line.split_whitespace().next().unwrap();
        if name != "help" {
            let page =
                std::fs::read_to_string(dir.path().join(format!("agnes-ops-{name}.1"))).unwrap();
            assert!(
                page.contains(&format!(".TH agnes-ops-{name} 1")),
                "{name}: {page}"
            );
            named += 1;
        }
    }
    assert!(named > 15, "{named}");
    assert!(dir.path().join("agnes-ops-snapshot-restore.1").is_file());
}
