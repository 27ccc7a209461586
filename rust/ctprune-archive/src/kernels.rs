//! The version of what turns a file into rows.

/// Rises when fingerprints, ranges and shares of values or what the readers take from a file could change: what an older version
/// has read is read again then, never mixed.
pub const KERNELS_VERSION: u64 = 2;

#[cfg(test)]
mod tests {
    use super::KERNELS_VERSION;
    use crate::fingerprint_file::{Hasher, Settings};
    use ctprune_core::fingerprint::{AHASH, DHASH, Kind, PHASH};
    use ctprune_core::intensity::Intensity;
    use ctprune_core::pixels::{Scale, SlicePixels, Stored};
    use ctprune_core::resample::PassOrder;
    use ctprune_dicom::slice::ReadOptions;
    use sha2::{Digest, Sha256};

    /// When this fails, fingerprints, ranges or shares have changed: raise the version, then pin what they are now.
    #[test]
    fn what_is_read_is_that_of_this_version() {
        assert_eq!(
            (KERNELS_VERSION, digest()),
            (
                2,
                String::from("0efa03d70b3368592d9b3d45dd33d05abaddd39d32d7957b23dbc181170a310d")
            )
        );
    }

    /// Of fingerprints, ranges and shares of some slices with all kinds, several sizes and ways to gray.
    fn digest() -> String {
        let mut digest = Sha256::new();
        let lung = Intensity::Range {
            low_hu: -1350.0,
            high_hu: 150.0,
        };
        let kinds: [&'static Kind; 3] = [&DHASH, &AHASH, &PHASH];
        for (kind, hash_size) in kinds
            .into_iter()
            .flat_map(|kind| [8, 13].map(|size| (kind, size)))
        {
            for intensity in [Intensity::MinMax, lung] {
                let settings = Settings {
                    fingerprint: kind,
                    hash_size,
                    intensity,
                    pass_order: PassOrder::ByShape,
                    read: ReadOptions::default(),
                };
                let mut hasher = Hasher::new(&settings).unwrap();
                for (rows, columns) in [(64, 64), (37, 91), (512, 200)] {
                    let stored = stored(rows * columns);
                    let pixels = SlicePixels {
                        extremes: None,
                        rows,
                        columns,
                        stored: Stored::I16(&stored),
                        scale: Scale::Hounsfield {
                            slope: 1.5,
                            intercept: -10.0,
                        },
                    };
                    let found = hasher.fingerprinted(&pixels).unwrap();
                    found
                        .fingerprint
                        .iter()
                        .for_each(|word| digest.update(word.to_be_bytes()));
                    digest.update(found.min_hu.to_be_bytes());
                    digest.update(found.max_hu.to_be_bytes());
                    for share in found.shares.unwrap().fractions() {
                        digest.update(share.to_be_bytes());
                    }
                }
            }
        }
        digest
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Values that look like chance, and are the same everywhere.
    fn stored(count: usize) -> Vec<i16> {
        let mut state = 1u64;
        let mut next = || {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 52) as i16 - 1024
        };
        (0..count).map(|_| next()).collect()
    }
}
