//! The frames of a write-ahead log, read before the engine reads them.
//!
//! The engine takes whatever does not parse as a frame for the torn end of the log, drops it and all that follows, and deletes
//! the log: one damaged length, or a file of zeros, and acknowledged writes are gone without a word. A torn end has nothing
//! sound behind it; damage has.
//!
//! Always true: a verdict of [`Verdict::Broken`] is never given to a log that was merely cut off at any byte.
//!
//! Does not: check what the engine checks itself (a frame's checksum, the identity of the database), change the file.

use std::ops::ControlFlow;

/// What a walk over the frames found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Frames from the first byte on, and perhaps the beginning of one that was never finished.
    Sound {
        /// Whole frames.
        frames: u64,
        /// Bytes behind the last whole frame: a write that was never acknowledged.
        unfinished_bytes: u64,
    },
    /// The engine would drop sound frames silently.
    Broken {
        /// Where the damage begins.
        at: usize,
        /// What is wrong there.
        why: &'static str,
    },
    /// A format that this program does not know: the engine's word counts alone.
    Unknown,
}

/// Entry `version` (field 100 = 98, field 101 = …), which begins every log.
const HEADER: [u8; 5] = [0x64, 0x00, 0x62, 0x65, 0x00];
/// The one frame format that is known here: plain, with checksums.
const FORMAT: u8 = 2;
const END: [u8; 2] = [0xff, 0xff];
/// Length and checksum, eight bytes each, before an entry.
const FRAME: usize = 16;
/// Every entry begins with its field 100, the kind.
const ENTRY: [u8; 2] = [0x64, 0x00];

/// Walks over the frames of a whole log.
pub(crate) fn judge(log: &[u8]) -> Verdict {
    let shared = log.len().min(HEADER.len());
    if log.get(..shared) != HEADER.get(..shared) {
        return Verdict::Broken {
            at: 0,
            why: "it does not begin as a write-ahead log",
        };
    }
    if log
        .get(HEADER.len())
        .is_some_and(|format| *format != FORMAT)
    {
        return Verdict::Unknown;
    }
    let header = log.windows(2).position(|pair| pair == END);
    let Some(header) = header else {
        // the first write of a log is longer than its header
        return if log.len() > 64 {
            Verdict::Broken {
                at: 0,
                why: "its header has no end",
            }
        } else {
            Verdict::Sound {
                frames: 0,
                unfinished_bytes: log.len() as u64,
            }
        };
    };
    let (mut at, mut frames) = (header + END.len(), 0);
    while let Some(next) = frame(log, at) {
        at = next;
        frames += 1;
    }
    let sound_behind = (at + 1..log.len()).try_for_each(|later| match entry(log, later) {
        Some((stored, entry)) if checksum(entry) == stored => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    if sound_behind.is_break() {
        return Verdict::Broken {
            at,
            why: "a frame's length is damaged: whole frames follow behind it",
        };
    }
    Verdict::Sound {
        frames,
        unfinished_bytes: (log.len() - at) as u64,
    }
}

/// Where the frame at `at` ends, if it is whole.
fn frame(log: &[u8], at: usize) -> Option<usize> {
    let length = usize::try_from(word(log, at)?).ok()?;
    let end = at.checked_add(FRAME)?.checked_add(length)?;
    (length > 0 && end <= log.len()).then_some(end)
}

/// The stored checksum and the bytes of something at `at` that looks like a frame.
fn entry(log: &[u8], at: usize) -> Option<(u64, &[u8])> {
    let bytes = log.get(at + FRAME..frame(log, at)?)?;
    bytes
        .starts_with(&ENTRY)
        .then_some((word(log, at + 8)?, bytes))
}

fn word(log: &[u8], at: usize) -> Option<u64> {
    let bytes = log.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// The engine's checksum of an entry.
fn checksum(entry: &[u8]) -> u64 {
    let mut words = entry.chunks_exact(8);
    let sum = words.by_ref().fold(5381, |sum, chunk| {
        let word = chunk.try_into().map_or(0, u64::from_le_bytes);
        sum ^ word.wrapping_mul(0xbf58_476d_1ce4_e5b9)
    });
    match words.remainder() {
        [] => sum,
        rest => sum ^ checksum_of_rest(rest),
    }
}

/// Of the last one to seven bytes: `MurmurHash64A`'s tail and end.
fn checksum_of_rest(rest: &[u8]) -> u64 {
    const MULTIPLIER: u64 = 0xc6a4_a793_5bd1_e995;
    let mut word = [0; 8];
    for (to, from) in word.iter_mut().zip(rest) {
        *to = *from;
    }
    let mut hash = 0xe17a_1465 ^ (rest.len() as u64).wrapping_mul(MULTIPLIER);
    hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(MULTIPLIER);
    hash = (hash ^ (hash >> 47)).wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 47)
}

#[cfg(test)]
mod tests;
