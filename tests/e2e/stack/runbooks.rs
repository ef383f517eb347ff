//! W07: the commands of docs/operations.md that are about a stack, on a stack.

use super::upgrade::Host;
use crate::runbooks::{commands, ended_as_the_page_says, is_of_a_stack};

#[test]
fn w07_every_command_of_the_runbooks_runs_on_a_stack_that_is_well() {
    let Some(host) = Host::up("") else {
        return;
    };
    host.upgrade(&[]).exits(0);
    let second = host.publish("LABEL version=2");
    host.upgrade(&[]).exits(0).with_outcome("changed");
    let mut ran = 0;
    for words in commands().into_iter().filter(|words| is_of_a_stack(words)) {
        let arguments: Vec<&str> = words
            .iter()
            .map(|word| match word.as_str() {
                "DIGEST" | "sha256:…" => second.as_str(),
                "TAG" | "1.4.2" => "stable",
                "TEXT" => "a test",
                word => word,
            })
            .collect();
        // the reason of a hold is one word for a shell
        let why = words.iter().position(|word| word == "--why");
        let arguments = match why {
            Some(at) => [&arguments[..=at], &["a test"]].concat(),
            None => arguments,
        };
        let ended = host.stack.deployment.ops(&arguments);
        ended_as_the_page_says(&words.join(" "), ended.code, &ended.json, &ended.stderr);
        assert!(ended.json.is_object(), "{words:?}: {}", ended.stdout);
        ran += 1;
    }
    assert!(ran > 14, "{ran}");
    host.stack.answers(200);
}
