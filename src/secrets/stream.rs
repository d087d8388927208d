//! Masking a text of any length with little memory.

use std::{
    borrow::Cow,
    io::{self, Read, Write},
};

use super::{MASK, mask};

/// How much is masked at once, bytes. A secret that is longer is found line by line.
const BLOCK: usize = 1024 * 1024;

/// How far a secret can reach over a cut, bytes.
const LONGEST: usize = 64 * 1024;

/// Places that are tried for a cut in a block without lines.
const PLACES: usize = 64;

/// Copies a text from `from` to `to` and masks every secret in it, also where one lies across the
/// pieces in which it is read. What holds no secret is copied byte by byte, whatever it is.
///
/// # Errors
/// Those of reading and writing.
pub fn mask_stream(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    mask_blocks(from, to, BLOCK)
}

fn mask_blocks(from: &mut impl Read, to: &mut impl Write, block: usize) -> io::Result<()> {
    let mut held = Vec::new();
    loop {
        let before = held.len();
        from.take((2 * block - before) as u64).read_to_end(&mut held)?;
        if held.len() < 2 * block {
            return to.write_all(&masked(&held));
        }
        match cut(&held) {
            Some(at) => {
                to.write_all(&masked(&held[..at]))?;
                held.drain(..at);
            }
            // Secrets everywhere: nothing of it is worth keeping.
            None => {
                to.write_all(MASK.as_bytes())?;
                held.drain(..block);
            }
        }
    }
}

fn text(bytes: &[u8]) -> String {
    mask(&String::from_utf8_lossy(bytes))
}

fn masked(bytes: &[u8]) -> Cow<'_, [u8]> {
    let text = String::from_utf8_lossy(bytes);
    let masked = mask(&text);
    if masked == text { Cow::Borrowed(bytes) } else { Cow::Owned(masked.into_bytes()) }
}

/// Where a block can be cut so that both parts masked are the whole masked: no secret is cut in two
/// there, and none seems to stand alone that does not.
fn cut(block: &[u8]) -> Option<usize> {
    let half = block.len() / 2;
    let line = block[half..block.len() - 1].iter().rposition(|byte| *byte == b'\n').map(|at| half + at + 1);
    let places = (0..PLACES).map(|n| half + half / 2 - n * (half / (4 * PLACES) + 3)).map(|at| {
        // Not within a character.
        (at.saturating_sub(3)..=at).rev().find(|at| block[*at] & 0xc0 != 0x80).unwrap_or(at)
    });
    line.into_iter().chain(places).find(|at| {
        // What matters is near the cut.
        let (from, to) = (at.saturating_sub(LONGEST), (at + LONGEST).min(block.len()));
        text(&block[from..*at]) + &text(&block[*at..to]) == text(&block[from..to])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::Secret;

    /// Small, so that many borders are tried in little time.
    const BLOCK: usize = 4096;

    fn through(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        mask_blocks(&mut &*text, &mut out, BLOCK).unwrap();
        out
    }

    #[test]
    fn a_secret_across_pieces_is_masked() {
        let secret = Secret::new("across-the-border-canary");
        for end in [2 * BLOCK, BLOCK + BLOCK / 2] {
            for into in 0..=secret.expose().len() {
                for line in ["", "\n"] {
                    let mut text = line.as_bytes().to_vec();
                    text.resize(end - into, b'x');
                    text.extend_from_slice(secret.expose().as_bytes());
                    text.resize(2 * BLOCK + BLOCK / 2, b'y');
                    let out = String::from_utf8(through(&text)).unwrap();
                    assert!(out.contains(MASK) && !out.contains("canary") && !out.contains("across"), "{end} {into}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_secret_is_copied_as_it_is() {
        let mut bytes: Vec<u8> = (0..=255).cycle().take(3 * BLOCK + 17).collect();
        assert_eq!(through(&bytes), bytes);
        bytes = "wörter ohne ende ".repeat(2000).into_bytes();
        assert_eq!(through(&bytes), bytes);
        assert_eq!(through(b""), b"");
    }

    #[test]
    fn a_text_of_nothing_but_secrets_is_gone() {
        let secret = Secret::new("zZ9!zZ9!");
        let out = String::from_utf8(through("zZ9!".repeat(BLOCK).as_bytes())).unwrap();
        assert!(!out.contains(secret.expose()));
    }
}
