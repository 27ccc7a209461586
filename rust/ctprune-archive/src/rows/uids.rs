//! UIDs in half a byte for each character: they are most of what a row costs.

/// UIDs by number: of digits and dots, two take a byte.
#[derive(Debug, Default)]
pub struct Uids {
    bytes: Vec<u8>,
    ends: Vec<u64>,
}

/// Begins what is stored as it is; no pair of digits and dots is this byte.
const PLAIN: u8 = 0xff;
/// Stands for the second half of the last byte when there is none.
const FILLER: u8 = 0xf;
const DOT: u8 = 10;

impl Uids {
    /// Add a UID, or whatever text stands in its place.
    pub fn push(&mut self, uid: &str) {
        let start = self.bytes.len();
        for pair in uid.as_bytes().chunks(2) {
            let (Some(first), Some(second)) =
                (nibble(pair[0]), pair.get(1).map_or(Some(FILLER), |&b| nibble(b)))
            else {
                self.bytes.truncate(start);
                self.bytes.push(PLAIN);
                self.bytes.extend_from_slice(uid.as_bytes());
                break;
            };
            self.bytes.push(first << 4 | second);
        }
        self.ends.push(self.bytes.len() as u64);
    }

    /// The UID with this number.
    pub fn get(&self, number: usize) -> String {
        let bytes = &self.bytes[self.start(number)..self.ends[number] as usize];
        if let [PLAIN, text @ ..] = bytes {
            return String::from_utf8_lossy(text).into_owned();
        }
        let mut uid = String::with_capacity(2 * bytes.len());
        for half in bytes.iter().flat_map(|&byte| [byte >> 4, byte & 0xf]) {
            match half {
                FILLER => {}
                DOT => uid.push('.'),
                digit => uid.push(char::from(b'0' + digit)),
            }
        }
        uid
    }

    fn start(&self, number: usize) -> usize {
        number
            .checked_sub(1)
            .map_or(0, |before| self.ends[before] as usize)
    }
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
        let mut uids = Uids::default();
        let all = ["", "1.2.840", "1.2", "12.3-00ff", "é", "", "9"];
        for text in all {
            uids.push(text);
        }
        for (number, text) in all.into_iter().enumerate() {
            assert_eq!(uids.get(number), text);
        }
    }

    #[test]
    fn a_uid_takes_half_a_byte_for_each_character() {
        let mut uids = Uids::default();
        uids.push(&"1.234567".repeat(8));
        assert_eq!(uids.bytes.len(), 32);
    }
}
