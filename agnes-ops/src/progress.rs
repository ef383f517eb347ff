//! How far something is, for a person at a terminal.
//!
//! Always true: nothing is drawn where standard error is no terminal: a journal gets no bar.
//!
//! Does not: know what moves.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Between two looks at a file that somebody else writes.
const LOOK: Duration = Duration::from_millis(100);

/// A bar of bytes; it goes when this is dropped.
pub struct Progress {
    bar: ProgressBar,
    done: Arc<AtomicBool>,
}

impl Progress {
    /// Of so many bytes.
    pub fn of(what: &str, bytes: u64) -> Self {
        let bar = match std::io::stderr().is_terminal() {
            true => ProgressBar::new(bytes),
            false => ProgressBar::hidden(),
        };
        let style = "{msg} {wide_bar} {bytes}/{total_bytes} {eta}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        Self {
            bar,
            done: Arc::default(),
        }
    }

    /// So many bytes more were moved.
    pub fn moved(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    /// The same for whoever moves them elsewhere.
    pub fn mover(&self) -> Arc<dyn Fn(u64) + Send + Sync> {
        let bar = self.bar.clone();
        Arc::new(move |bytes| bar.inc(bytes))
    }

    /// Follows the size of a file that somebody else writes.
    pub fn follows(self, path: PathBuf) -> Self {
        if self.bar.is_hidden() {
            return self;
        }
        let (bar, done) = (self.bar.clone(), Arc::clone(&self.done));
        std::thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                if let Ok(found) = std::fs::metadata(&path) {
                    bar.set_position(found.len());
                }
                std::thread::park_timeout(LOOK);
            }
        });
        self
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        self.bar.finish_and_clear();
    }
}
