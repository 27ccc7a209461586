//! The perceptual hash: which low frequencies of a reduced slice are stronger than their median.
//!
//! C. Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions (2010); the bits of
//! `imagehash.phash(image, hash_size)`. ImageHash takes SciPy's cosine transform in double precision, where frequencies
//! that are equal by symmetry (those of a mirrored or a constant picture) differ in their last digits, and these differ
//! between SciPy's versions and processors. Here frequencies that rounding alone could tell apart are equal: they are not
//! above the median. All others have ImageHash's bits.

use super::{Kind, pack};

/// The perceptual hash.
pub static PHASH: Kind = Kind {
    name: "phash",
    resized: |size| [side(size); 2],
    bits: |size| {
        let mut transform = Transform::new(size);
        Box::new(move |resized, out| transform.pack_above_median(resized, out))
    },
};

/// What rounding can add to a frequency, relative to the largest one that there can be: some 25 times what it does.
const SLACK: f64 = 4e-14;

/// Rows and columns of the reduced slice: four times as many frequencies as are looked at.
fn side(size: usize) -> usize {
    4 * size
}

/// The largest frequency that there can be: all pixels at 255.
fn largest(size: usize) -> f64 {
    255.0 * (side(size) * side(size)) as f64
}

/// The cosine of the type-II transform at a frequency and pixel.
fn cosine(frequency: usize, pixel: usize, side: usize) -> f64 {
    // Reduced to a period first, so that the argument is small and its cosine is good to the last digit.
    let steps = frequency * (2 * pixel + 1) % (4 * side);
    libm::cos(std::f64::consts::PI * steps as f64 / (2 * side) as f64)
}

/// The low frequencies of slices of one size.
struct Transform {
    size: usize,
    /// Cosines: a row for each low frequency.
    cosines: Vec<f64>,
    /// A row of the slice's columns for each low frequency down.
    down: Vec<f64>,
    frequencies: Vec<f64>,
    sorted: Vec<f64>,
}

impl Transform {
    fn new(size: usize) -> Self {
        let side = side(size);
        let rows = (0..size).flat_map(|frequency| (0..side).map(move |pixel| cosine(frequency, pixel, side)));
        Self {
            size,
            cosines: rows.collect(),
            down: vec![0.0; size * side],
            frequencies: vec![0.0; size * size],
            sorted: Vec::new(),
        }
    }

    /// One bit for each low frequency, those along a row first: whether it is above their median.
    fn pack_above_median(&mut self, resized: &[u8], out: &mut [u64]) {
        self.transform(resized);
        let bound = self.median() + SLACK * largest(self.size);
        pack(self.frequencies.iter().map(|&frequency| frequency > bound), out);
    }

    /// The frequencies: first down the columns, all columns side by side, then along the rows.
    fn transform(&mut self, resized: &[u8]) {
        let side = side(self.size);
        self.down.fill(0.0);
        for (cosines, down) in self.cosines.chunks(side).zip(self.down.chunks_mut(side)) {
            for (cosine, row) in cosines.iter().zip(resized.chunks(side)) {
                for (sum, &pixel) in down.iter_mut().zip(row) {
                    *sum += cosine * f64::from(pixel);
                }
            }
        }
        let rows = self.frequencies.chunks_mut(self.size).zip(self.down.chunks(side));
        for (frequencies, down) in rows {
            for (frequency, cosines) in frequencies.iter_mut().zip(self.cosines.chunks(side)) {
                *frequency = cosines.iter().zip(down).map(|(a, b)| a * b).sum();
            }
        }
    }

    /// The middle one in order, or the mean of the two in the middle.
    fn median(&mut self) -> f64 {
        self.sorted.clone_from(&self.frequencies);
        self.sorted.sort_unstable_by(f64::total_cmp);
        let middle = self.sorted.len() / 2;
        if self.sorted.len() % 2 == 1 {
            self.sorted[middle]
        } else {
            (self.sorted[middle - 1] + self.sorted[middle]) / 2.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_equal_to_imagehash, picture};
    use super::*;

    /// Picture, rows, columns, hash size and `imagehash.phash` with Pillow 12.3, then with Pillow 13.0
    /// where that differs. A ramp is left out: by symmetry
    /// half of its frequencies are 0, and so is their median.
    const TRUTH: &str = "
        noise 8 9 8 c5830e369b3d1e72
        noise 64 64 8 c55a02ce5d5be0ba
        noise 97 61 8 ddc6520166d7a84f
        noise 512 512 8 9e3e9ba085a60f5c
        extreme 8 9 8 86ae079c25b4fe15
        extreme 64 64 8 989fe4311554f8d5
        extreme 97 61 8 92bf17ac683711c5 92bf57ac683710c5
        extreme 512 512 8 ccdc4e2ed2c67834
        waves 8 9 8 aa7fff7ffc000000
        waves 64 64 8 a40f5a511bbaabf0
        waves 97 61 8 8da40f5a5419fa9b
        waves 512 512 8 d1aa5caa78aa5caa
        flat 8 9 8 8000000000000000
        flat 64 64 8 8000000000000000
        flat 97 61 8 8000000000000000
        flat 512 512 8 8000000000000000
        disc 8 9 8 9d717826e1a6a65a
        disc 64 64 8 853e7ae469c36592
        disc 97 61 8 852e7ab1a58e9e29
        disc 512 512 8 953b7af16886258e
        noise 7 5 8 c70f32782d7262ce
        disc 1200 500 8 857b7ae4851b5a64 853b7ae4851b5a74
        disc 1000 2000 8 986461c7679b32d9
        noise 50 70 2 c0
        extreme 31 33 5 bb81ca00
        disc 512 512 11 95e761ea78b6850f096cf2b6996b0800
        noise 256 256 16 f7965c099f7433c1ef6a1b37719f049e47802a052251d7982ee1ac0feca5d475
        extreme 300 40 8 aa8a80bde67b9a1c a28a80bdf67f981c
    ";

    /// The transform as its formula has it.
    fn naive(resized: &[u8], size: usize) -> Vec<f64> {
        let side = side(size);
        let frequency = |down: usize, along: usize| -> f64 {
            let pixels = resized.iter().enumerate();
            pixels
                .map(|(at, &pixel)| {
                    let (row, column) = (at / side, at % side);
                    f64::from(pixel) * cosine(down, row, side) * cosine(along, column, side)
                })
                .sum()
        };
        (0..size * size)
            .map(|at| frequency(at / size, at % size))
            .collect()
    }

    #[test]
    fn two_passes_give_the_formulas_frequencies() {
        for size in [2, 3, 5, 8] {
            for kind in ["noise", "extreme", "waves", "disc", "flat", "ramp"] {
                let resized = picture(kind, side(size), side(size));
                let mut transform = Transform::new(size);
                transform.transform(&resized);
                for (fast, slow) in transform.frequencies.iter().zip(naive(&resized, size)) {
                    assert!((fast - slow).abs() < SLACK * largest(size), "{kind} {size}");
                }
            }
        }
    }

    #[test]
    fn equal_frequencies_are_not_above_their_median() {
        for size in 2..=32 {
            let mut out = vec![0; 16];
            let flat = vec![200; side(size) * side(size)];
            Transform::new(size).pack_above_median(&flat, &mut out);
            // The mean alone is above the rest, all of which is nothing.
            assert_eq!(out[0], 1 << 63, "{size}");
            assert!(out[1..].iter().all(|&word| word == 0), "{size}");
        }
    }

    #[test]
    fn perceptual_hashes_are_those_of_imagehash() {
        assert_equal_to_imagehash(&PHASH, TRUTH);
    }
}
