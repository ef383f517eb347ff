//! What an upgrade costs, beside a script that does what people do without it: `cargo xtask bench upgrade` runs it on a release.

use std::process::Command;
use std::time::Instant;

use agnes_e2e::deployment::xtask;
use xtask::command;

use super::{Host, entrypoint};
use crate::measured::median;

const ROUNDS: usize = 15;

/// An unchanged tick: bring the tag, compare, and start only what differs.
const SCRIPT: &str = "set -eu
docker compose pull --quiet app
wanted=$(docker image inspect --format '{{.Id}}' \"$1\")
runs=$(docker inspect --format '{{.Image}}' \"$(docker compose ps --quiet app)\")
[ \"$wanted\" = \"$runs\" ] || docker compose up --detach app
";

/// Microseconds of wall and of CPU, children included.
fn cost(of: &Command) -> (u64, u64) {
    let mut measure = Command::new(xtask());
    measure.args(["bench", "measure", "--"]);
    measure.arg(of.get_program()).args(of.get_args());
    if let Some(directory) = of.get_current_dir() {
        measure.current_dir(directory);
    }
    for (name, value) in of.get_envs() {
        match value {
            Some(value) => measure.env(name, value),
            None => measure.env_remove(name),
        };
    }
    let said = command::capture(&mut measure).unwrap();
    let figures: Vec<u64> = said
        .split_whitespace()
        .map(|word| word.parse().unwrap())
        .collect();
    (figures[0], figures[1])
}

#[test]
#[ignore = "measures a release: cargo xtask bench upgrade"]
fn bench_upgrade() {
    let host = Host::up("").unwrap();
    host.upgrade(&[]).exits(0);
    let image = format!("{}:stable", host.repository);
    let (mut ticks, mut scripts) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ticks.push(cost(&host.stack.deployment.command(&["upgrade"])));
        let mut script = Command::new("sh");
        script
            .args(["-c", SCRIPT, "sh", &image])
            .current_dir(host.stack.project.path())
            .envs(host.stack.docker.environment());
        scripts.push(cost(&script));
    }
    for (name, samples) in [("tick", ticks), ("script", scripts)] {
        let (wall, cpu): (Vec<u64>, Vec<u64>) = samples.into_iter().unzip();
        println!("FIGURE {name}-wall-us {} median of {ROUNDS}", median(wall));
        println!("FIGURE {name}-cpu-us {} median of {ROUNDS}", median(cpu));
    }

    let token = host.sign_in();
    let mut held = Vec::new();
    for number in 0..5 {
        host.publish(&format!("LABEL version=good-{number}"));
        let done = host.writing(&token, &format!("good_{number}"), || host.upgrade(&[]));
        held.push(done.exits(0).detail("held_ms").as_u64().unwrap());
    }
    println!("FIGURE held-ms {} median of 5", median(held.clone()));
    println!("FIGURE held-most-ms {} of 5", held.iter().max().unwrap());

    let mut back = Vec::new();
    for number in 0..3 {
        let bad = format!("LABEL version=bad-{number}\n{}", entrypoint("exit 3"));
        host.publish(&bad);
        let begun = Instant::now();
        host.upgrade(&[]).exits(1).with_outcome("rolled-back");
        back.push(begun.elapsed());
    }
    println!(
        "FIGURE way-back-ms {} median of 3",
        median(back).as_millis()
    );
    host.publish(&entrypoint("exec /bin/busybox sleep 3600"));
    let begun = Instant::now();
    host.upgrade(&[]).exits(1).with_outcome("rolled-back");
    println!(
        "FIGURE way-back-silent-ms {} of one that is never ready, gate.timeout 20 s",
        begun.elapsed().as_millis()
    );
}
