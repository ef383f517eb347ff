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
/// Field 102: the identity of the database, a list of 16 numbers.
const IDENTITY: [u8; 3] = [0x66, 0x00, 16];
/// Field 103: how often the database had been checkpointed.
const ITERATION: [u8; 2] = [0x67, 0x00];
const END: [u8; 2] = [0xff, 0xff];
/// Length and checksum, eight bytes each, before an entry.
const FRAME: usize = 16;
/// So many zeros at the end are no part of an entry: they were never written.
const ZEROS: usize = 8;
/// Every entry begins with its field 100, the kind.
const ENTRY: [u8; 2] = [0x64, 0x00];

/// Walks over the frames of a whole log.
pub(crate) fn judge(log: &[u8]) -> Verdict {
    let begins = log.len().min(HEADER.len());
    let format = log.get(HEADER.len());
    if log.get(..begins) == HEADER.get(..begins) && format.is_some_and(|format| *format != FORMAT) {
        return Verdict::Unknown;
    }
    let header = match header(log) {
        Ok(header) => header,
        Err(Header::CutOff) => {
            return Verdict::Sound {
                frames: 0,
                unfinished_bytes: log.len() as u64,
            };
        }
        Err(Header::Damaged { at }) => {
            let why = "it does not begin as a write-ahead log";
            return Verdict::Broken { at, why };
        }
    };
    let (mut at, mut frames) = (header, 0);
    let written = log
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    while let Some(next) = frame(log, at) {
        // a power cut may leave the length of a file and not its last pages: zeros where the end of a write should be
        let zeros = log.len() - written >= ZEROS && written < next;
        if zeros && !is_sound(log, at) {
            break;
        }
        at = next;
        frames += 1;
    }
    let sound_behind = (at + 1..log.len()).try_for_each(|later| {
        if is_sound(log, later) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
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

/// Why there are no frames to walk over.
enum Header {
    /// It was never finished.
    CutOff,
    /// The engine would stop there, take that for the torn end and drop all that follows.
    Damaged { at: usize },
}

/// Where the header ends: it has no checksum, so every byte must be one that belongs there. Which database it names, and
/// after how many checkpoints, the engine compares itself.
fn header(log: &[u8]) -> Result<usize, Header> {
    let mut at = expect(log, 0, &HEADER)?;
    at = expect(log, at, &[FORMAT])?;
    // a file of an older storage version has no identity
    if log.get(at..at + END.len()) == Some(&END) {
        return Ok(at + END.len());
    }
    at = expect(log, at, &IDENTITY)?;
    for _ in 0..16 {
        at = number(log, at, 2)?;
    }
    at = expect(log, at, &ITERATION)?;
    at = number(log, at, 10)?;
    expect(log, at, &END)
}

/// Where `wanted` ends, which has to stand at `at`.
fn expect(log: &[u8], at: usize, wanted: &[u8]) -> Result<usize, Header> {
    for (offset, byte) in wanted.iter().enumerate() {
        let at = at + offset;
        match log.get(at) {
            None => return Err(Header::CutOff),
            Some(found) if found == byte => {}
            Some(_) => return Err(Header::Damaged { at }),
        }
    }
    Ok(at + wanted.len())
}

/// Where the number (LEB128) at `at` ends, of `longest` bytes at most.
fn number(log: &[u8], at: usize, longest: usize) -> Result<usize, Header> {
    for end in at..at + longest {
        match log.get(end) {
            None => return Err(Header::CutOff),
            Some(byte) if *byte < 0x80 => return Ok(end + 1),
            Some(_) => {}
        }
    }
    Err(Header::Damaged { at })
}

/// Where the frame at `at` ends, if it is whole.
fn frame(log: &[u8], at: usize) -> Option<usize> {
    let length = usize::try_from(word(log, at)?).ok()?;
    let end = at.checked_add(FRAME)?.checked_add(length)?;
    (length > 0 && end <= log.len()).then_some(end)
}

/// Whether a whole frame with its checksum is at `at`.
fn is_sound(log: &[u8], at: usize) -> bool {
    entry(log, at).is_some_and(|(stored, entry)| checksum(entry) == stored)
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
