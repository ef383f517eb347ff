//! Samples of what was measured.

use std::time::Duration;

/// The one in the middle.
pub(crate) fn median<T: Ord + Copy>(mut samples: Vec<T>) -> T {
    samples.sort_unstable();
    samples[samples.len() / 2]
}

pub(crate) fn millis(took: Duration) -> u128 {
    took.as_millis()
}
