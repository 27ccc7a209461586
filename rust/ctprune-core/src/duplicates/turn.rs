//! How the dHash of a turned picture follows from that of the picture.

/// How one picture is turned against another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Not at all.
    None,
    /// Left and right are exchanged.
    LeftRight,
    /// Top and bottom are exchanged.
    UpDown,
    /// Both: by half a turn.
    Half,
}

impl Turn {
    /// All of them.
    pub const ALL: [Turn; 4] = [Turn::None, Turn::LeftRight, Turn::UpDown, Turn::Half];

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Turn::None => "",
            Turn::LeftRight => "left-right",
            Turn::UpDown => "up-down",
            Turn::Half => "half turn",
        }
    }

    /// The turn with this name.
    pub fn named(name: &str) -> Option<Self> {
        Turn::ALL.into_iter().find(|turn| turn.name() == name)
    }

    /// The dHash of `hash_size²` bits that the turned picture has: exactly so where no two neighboring pixels of the
    /// small picture are equal, which a dHash does not tell from the second being darker.
    ///
    /// Exchanging left and right reverses each row of bits and makes "brighter than its neighbor" "darker".
    pub fn of(self, fingerprint: &[u64], hash_size: usize, out: &mut [u64]) {
        let (is_mirrored, is_upside_down) = match self {
            Turn::None => {
                out.copy_from_slice(fingerprint);
                return;
            }
            Turn::LeftRight => (true, false),
            Turn::UpDown => (false, true),
            Turn::Half => (true, true),
        };
        out.fill(0);
        for row in 0..hash_size {
            let from_row = if is_upside_down { hash_size - 1 - row } else { row };
            for column in 0..hash_size {
                let from_column = if is_mirrored {
                    hash_size - 1 - column
                } else {
                    column
                };
                let bit = get(fingerprint, from_row * hash_size + from_column) != is_mirrored;
                let at = row * hash_size + column;
                out[at / 64] |= u64::from(bit) << (63 - at % 64);
            }
        }
    }
}

/// The bit with this number, counted from the most significant one of the first word.
fn get(words: &[u64], at: usize) -> bool {
    words[at / 64] >> (63 - at % 64) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turning_twice_changes_nothing() {
        for (hash_size, words) in [(8, 1), (5, 1), (16, 4), (11, 2)] {
            let mut fingerprint = vec![0; words];
            for at in (0..hash_size * hash_size).filter(|at| (at * at + at / 3) % 7 < 3) {
                fingerprint[at / 64] |= 1 << (63 - at % 64);
            }
            for turn in Turn::ALL {
                let (mut once, mut twice) = (vec![0; words], vec![0; words]);
                turn.of(&fingerprint, hash_size, &mut once);
                turn.of(&once, hash_size, &mut twice);
                assert_eq!(twice, fingerprint, "{turn:?}");
                assert_eq!(once == fingerprint, turn == Turn::None);
            }
        }
    }
}
