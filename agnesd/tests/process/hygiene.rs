//! Clients that take and give nothing.

use std::process::Command;

use crate::server::{Place, connect};

#[test]
fn out_of_descriptors_new_clients_wait_and_are_served_later() {
    let place = Place::new();
    // a hard limit: the server cannot raise it
    let mut server = place.start_with(|c| {
        let program = c.get_program().to_owned();
        let mut shell = Command::new("/bin/sh");
        shell
            .env_clear()
            .envs(c.get_envs().filter_map(|(k, v)| Some((k, v?))));
        shell.args(["-c", "ulimit -n 24; exec \"$0\""]).arg(program);
        *c = shell;
    });
    let greedy: Vec<_> = (0..40).map(|_| connect(server.http).unwrap()).collect();
    server.until_logged("accept: Too many open files");
    assert!(server.running());
    drop(greedy);
    assert_eq!(server.get("/api/health").status, 200);
    assert_eq!(server.stop(), 0);
}
