//! UIDs in half a byte for each character, without what they share with a UID before them: they are most of what a
//! row costs, and the UIDs of a series begin alike.

use ctprune_dicom::text::{MAX_UID_BYTES, limit_uid};

/// UIDs by number: of digits and dots, two take a byte.
#[derive(Debug, Default)]
pub struct Uids {
    bytes: Vec<u8>,
    /// Bytes of each.
    lengths: Vec<u8>,
    /// Where each block begins.
    starts: Vec<u64>,
    /// The halves of the first UID of the last block, which those after it are compared with.
    head: Vec<u8>,
}

/// UIDs from one that is stored whole to the next.
const BLOCK: usize = 32;
/// Begins what is stored as it is; no UID shares so many halves.
const PLAIN: u8 = 0xff;
/// Stands for the second half of the last byte when there is none.
const FILLER: u8 = 0xf;
const DOT: u8 = 10;

impl Uids {
    /// Add a UID, or whatever text stands in its place; one of more than 64 bytes ends in a hash of the whole.
    pub fn push(&mut self, uid: &str) {
        if uid.len() > MAX_UID_BYTES {
            let mut limited = uid.to_owned();
            limit_uid(&mut limited);
            return self.push(&limited);
        }
        let start = self.bytes.len();
        let is_head = self.lengths.len().is_multiple_of(BLOCK);
        if is_head {
            self.starts.push(start as u64);
            self.head.clear();
        }
        match uid.bytes().map(nibble).collect::<Option<Vec<u8>>>() {
            Some(halves) => {
                let same = halves.iter().zip(&self.head).take_while(|(a, b)| a == b);
                let shared = same.count();
                self.bytes.push(shared as u8);
                let rest = halves[shared..].chunks(2);
                self.bytes
                    .extend(rest.map(|pair| pair[0] << 4 | pair.get(1).unwrap_or(&FILLER)));
                if is_head {
                    self.head = halves;
                }
            }
            None => {
                self.bytes.push(PLAIN);
                self.bytes.extend_from_slice(uid.as_bytes());
            }
        }
        self.lengths.push((self.bytes.len() - start) as u8);
    }

    /// The UID with this number.
    pub fn get(&self, number: usize) -> String {
        let head = number - number % BLOCK;
        let first = self.starts[number / BLOCK] as usize;
        let before: usize = self.lengths[head..number]
            .iter()
            .map(|&length| usize::from(length))
            .sum();
        let (shared, rest) = self.stored(first + before, number);
        if shared == PLAIN {
            return String::from_utf8_lossy(rest).into_owned();
        }
        let (_, whole) = self.stored(first, head);
        let kept = halves(whole).take(usize::from(shared));
        kept.chain(halves(rest)).map(character).collect()
    }

    /// How many halves a UID shares with the first of its block, and its bytes.
    fn stored(&self, start: usize, number: usize) -> (u8, &[u8]) {
        let bytes = &self.bytes[start..start + usize::from(self.lengths[number])];
        (bytes[0], &bytes[1..])
    }
}

fn halves(bytes: &[u8]) -> impl Iterator<Item = u8> {
    let both = bytes.iter().flat_map(|&byte| [byte >> 4, byte & 0xf]);
    both.filter(|&half| half != FILLER)
}

fn character(half: u8) -> char {
    if half == DOT { '.' } else { char::from(b'0' + half) }
}

fn nibble(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'.' => Some(DOT),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_and_other_texts_come_back() {
        let all = [
            "",
            "1.2.840",
            "1.2",
            "12.3-00ff",
            "é",
            "",
            "9",
            "1.2.840.1",
            "1.2.8401",
        ];
        // Each of them begins a block once.
        for turn in 0..all.len() {
            let mut uids = Uids::default();
            let texts: Vec<&str> = (0..4 * BLOCK).map(|at| all[(at + turn) % all.len()]).collect();
            texts.iter().for_each(|text| uids.push(text));
            for (number, text) in texts.into_iter().enumerate() {
                assert_eq!(uids.get(number), text);
            }
        }
    }

    #[test]
    fn longest_uids_come_back_and_longer_ones_stay_different() {
        let mut uids = Uids::default();
        let longest = "1".repeat(MAX_UID_BYTES);
        for uid in [&longest, &longest, &format!("{longest}1"), &format!("{longest}2")] {
            uids.push(uid);
        }
        assert_eq!([uids.get(0), uids.get(1)], [longest.clone(), longest]);
        assert_ne!(uids.get(2), uids.get(3));
    }

    #[test]
    fn a_uid_takes_half_a_byte_for_each_character_that_it_does_not_share() {
        let mut uids = Uids::default();
        uids.push(&"1.234567".repeat(8));
        assert_eq!(uids.bytes.len(), 33);
        uids.push(&format!("{}9", "1.234567".repeat(7)));
        assert_eq!(uids.bytes.len(), 33 + 2);
    }
}
