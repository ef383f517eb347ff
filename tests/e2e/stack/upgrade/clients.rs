//! Who writes and reads while versions change.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::Host;
use crate::stack::wait;

/// What clients saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Names of groups whose making was acknowledged.
    pub(super) written: Vec<String>,
    /// Writes that were refused with 503 and when to come again.
    pub(super) refused: usize,
    pub(super) reads: usize,
    /// What the slowest read waited for its answer.
    pub(super) slowest_read: Duration,
    /// Had no answer.
    pub(super) unanswered: Vec<String>,
    /// Had an answer that nobody should get.
    pub(super) wrong: Vec<String>,
}

impl Seen {
    pub(super) fn add(&mut self, other: Self) {
        self.written.extend(other.written);
        self.refused += other.refused;
        self.reads += other.reads;
        self.slowest_read = self.slowest_read.max(other.slowest_read);
        self.unanswered.extend(other.unanswered);
        self.wrong.extend(other.wrong);
    }
}

impl Host {
    fn url(&self, path: &str) -> String {
        let port = self.stack.https.port();
        format!("https://{}:{port}{path}", agnes_e2e::deployment::DOMAIN)
    }

    /// One write after another: acknowledged, or refused with 503 and when to come again.
    fn keep_writing(&self, token: &str, prefix: &str, stop: &AtomicBool) -> Seen {
        let mut seen = Seen::default();
        wait(async {
            let client = self.stack.client();
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                let name = format!("{prefix}_{number}");
                let request = client.post(self.url("/api/groups")).bearer_auth(token);
                match request.json(&json!({"name": name})).send().await {
                    Ok(answer) if answer.status() == 201 => seen.written.push(name),
                    Ok(answer)
                        if answer.status() == 503
                            && answer.headers().contains_key("retry-after") =>
                    {
                        seen.refused += 1;
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    Ok(answer) => seen.wrong.push(format!("{name}: {answer:?}")),
                    Err(why) => seen.unanswered.push(format!("{name}: {why:?}")),
                }
            }
        });
        seen
    }

    /// One read after another on one connection: each is answered.
    fn keep_reading(&self, token: &str, stop: &AtomicBool) -> Seen {
        let mut seen = Seen::default();
        wait(async {
            let client = self.stack.client();
            while !stop.load(Ordering::Relaxed) {
                let request = client.get(self.url("/api/me")).bearer_auth(token);
                let asked = Instant::now();
                let answer = request.send().await;
                let waited = asked.elapsed();
                seen.slowest_read = seen.slowest_read.max(waited);
                match answer {
                    Ok(answer) if answer.status() == 200 => seen.reads += 1,
                    Ok(answer) => seen
                        .wrong
                        .push(format!("a read, after {waited:.1?}: {answer:?}")),
                    Err(why) => seen
                        .unanswered
                        .push(format!("a read, after {waited:.1?}: {why:?}")),
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        seen
    }

    /// A writer while `work` goes on.
    fn with_a_writer<T>(&self, token: &str, prefix: &str, work: impl FnOnce() -> T) -> (T, Seen) {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| self.keep_writing(token, prefix, &stop));
            let result = work();
            stop.store(true, Ordering::Relaxed);
            (result, writer.join().unwrap())
        })
    }

    /// Writes while `work` goes on: what was acknowledged is there afterwards. A version that dies may leave one without an answer.
    #[track_caller]
    pub(super) fn writing<T>(&self, token: &str, prefix: &str, work: impl FnOnce() -> T) -> T {
        let (result, seen) = self.with_a_writer(token, prefix, work);
        assert!(seen.wrong.is_empty(), "{:?}", seen.wrong);
        assert!(seen.written.len() > 5, "{seen:?}");
        self.has_all(token, &seen.written);
        result
    }

    /// A writer and a reader on a kept connection while `work` goes on.
    pub(super) fn under_both(&self, prefix: &str, work: impl FnOnce()) -> Seen {
        let token = self.sign_in();
        let stop = AtomicBool::new(false);
        let (mut seen, reads) = std::thread::scope(|scope| {
            let reader = scope.spawn(|| self.keep_reading(&token, &stop));
            let ((), seen) = self.with_a_writer(&token, prefix, work);
            stop.store(true, Ordering::Relaxed);
            (seen, reader.join().unwrap())
        });
        seen.add(reads);
        seen
    }

    /// No acknowledged write is lost.
    #[track_caller]
    pub(super) fn has_all(&self, token: &str, written: &[String]) {
        let listed = self.groups(token);
        let is_lost = |name: &&String| !listed.contains(&format!("\"{name}\""));
        let lost: Vec<_> = written.iter().filter(is_lost).collect();
        assert!(lost.is_empty(), "of {}: lost {lost:?}", written.len());
    }
}
