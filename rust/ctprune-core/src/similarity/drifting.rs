//! Volumes for tests.

use super::Picture;

/// A volume of discs and noise that drift from slice to slice.
pub(crate) struct Volume {
    rows: usize,
    columns: usize,
    pub slices: Vec<Vec<u8>>,
}

impl Volume {
    pub fn drifting(rows: usize, columns: usize, slices: usize, noise: u64, seed: u64) -> Self {
        let mut state = seed;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        let slices = (0..slices)
            .map(|slice| {
                let radius = (rows / 4 + slice / 3) as i64;
                let pixel = |at: usize, random: u64| {
                    let (row, column) = ((at / columns) as i64, (at % columns) as i64);
                    let (down, along) = (row - rows as i64 / 2, column - (columns / 3 + slice / 2) as i64);
                    let base = if down * down + along * along < radius * radius {
                        140
                    } else {
                        3
                    };
                    (base + (random % (noise + 1)) as i64) as u8
                };
                (0..rows * columns).map(|at| pixel(at, random())).collect()
            })
            .collect();
        Self {
            rows,
            columns,
            slices,
        }
    }

    pub fn picture(&self, slice: usize) -> Picture<'_> {
        Picture {
            rows: self.rows,
            columns: self.columns,
            pixels: &self.slices[slice],
        }
    }
}

pub(crate) fn volumes() -> Vec<Volume> {
    vec![
        Volume::drifting(40, 33, 40, 5, 1),
        Volume::drifting(64, 50, 30, 60, 2),
        Volume::drifting(11, 11, 12, 90, 3),
        Volume::drifting(24, 70, 20, 0, 4),
    ]
}
