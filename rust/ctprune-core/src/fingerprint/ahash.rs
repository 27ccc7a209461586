//! The average hash: which pixels of a much reduced slice are brighter than their mean.
//!
//! N. Krawetz, Looks Like It (2011); bit for bit `imagehash.average_hash(image, hash_size)`.

use super::{Kind, pack};

/// The average hash.
pub static AHASH: Kind = Kind {
    name: "ahash",
    resized: |size| [size, size],
    bits: |_| Box::new(pack_above_mean),
};

/// One bit for each pixel: whether it is larger than the mean. Without a division, so without rounding.
fn pack_above_mean(resized: &[u8], out: &mut [u64]) {
    let (sum, count) = (
        resized.iter().map(|&pixel| u32::from(pixel)).sum::<u32>(),
        resized.len() as u32,
    );
    pack(resized.iter().map(|&pixel| u32::from(pixel) * count > sum), out);
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_equal_to_imagehash, picture};
    use super::*;

    /// Picture, rows, columns, hash size and `imagehash.average_hash` with Pillow 12.3, then with Pillow 13.0
    /// where that differs.
    const TRUTH: &str = "
        noise 8 9 8 0671c87bcc9282be
        noise 64 64 8 3050d7baf77f2102
        noise 97 61 8 30dbbff7214b9ec4
        noise 512 512 8 af8d9037d28375bd
        extreme 8 9 8 1739d75724dd0e20
        extreme 64 64 8 06b9dc0c2fcdf378
        extreme 97 61 8 97bc0c4d79052660
        extreme 512 512 8 d0bade770f812140
        ramp 8 9 8 0f0f0f0f0f0f0f0f
        ramp 64 64 8 0f0f0f0f0f0f0f0f
        ramp 97 61 8 0f0f0f0f0f0f0f0f
        ramp 512 512 8 0f0f0f0f0f0f0f0f
        waves 8 9 8 0707070f0f1f1f1f
        waves 64 64 8 3133736766c6cc8c
        waves 97 61 8 393363e6ce8c1839
        waves 512 512 8 aa71a0e168b261b2
        flat 8 9 8 0000000000000000
        flat 64 64 8 0000000000000000
        flat 97 61 8 0000000000000000
        flat 512 512 8 0000000000000000
        disc 8 9 8 00181c3e3e3e1c18
        disc 64 64 8 003c7e7e7e7e3c00
        disc 97 61 8 00003c7e7e3e0000
        disc 512 512 8 003c7e7e7e7e3c00
        noise 7 5 8 043f70337bf0c6c0
        disc 1200 500 8 0000187e7e180000
        disc 1000 2000 8 00183c3c3c3c1800
        noise 50 70 2 b0
        extreme 31 33 5 8da7d080
        disc 512 512 11 0001c0fe1fc7fcff9ff1fc3f81c00000
        noise 256 256 16 4492e576f7ad50106d98a9b03272c087be1cf81d403a98f880f69649a7cbce47
        extreme 300 40 8 877f5da5068b0367 877f5da5068b4367
    ";

    /// As ImageHash writes it down.
    fn naive(resized: &[u8]) -> Vec<bool> {
        let mean = resized.iter().map(|&pixel| f64::from(pixel)).sum::<f64>() / resized.len() as f64;
        resized.iter().map(|&pixel| f64::from(pixel) > mean).collect()
    }

    #[test]
    fn integers_give_what_floats_give() {
        for size in 2..=32 {
            for kind in ["noise", "extreme", "waves", "disc", "flat"] {
                let resized = picture(kind, size, size);
                let (mut fast, mut slow) = (vec![0; 16], vec![0; 16]);
                pack_above_mean(&resized, &mut fast);
                pack(naive(&resized).into_iter(), &mut slow);
                assert_eq!(fast, slow, "{kind} {size}");
            }
        }
    }

    #[test]
    fn average_hashes_are_those_of_imagehash() {
        assert_equal_to_imagehash(&AHASH, TRUTH);
    }
}
