//! Samples of what was measured.

/// The one in the middle.
pub(crate) fn median<T: Ord + Copy>(mut samples: Vec<T>) -> T {
    samples.sort_unstable();
    samples[samples.len() / 2]
}
