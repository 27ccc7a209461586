//! The difference hash: which pixels of a much reduced slice are brighter than their left neighbor.
//!
//! Figure 2 of Wolf et al. 2024, arXiv 2410.14524; bit for bit `imagehash.dhash(image, hash_size)`.

use super::{Kind, pack};

/// The difference hash.
pub static DHASH: Kind = Kind {
    name: "dhash",
    resized: |size| [size, size + 1],
    bits: |size| Box::new(move |resized, out| pack_differences(resized, size, out)),
};

/// One bit for each pair of neighbors in rows of `size + 1` pixels: whether the right one is larger.
fn pack_differences(resized: &[u8], size: usize, out: &mut [u64]) {
    let rows = resized.chunks_exact(size + 1);
    pack(
        rows.flat_map(|row| row.windows(2).map(|pair| pair[1] > pair[0])),
        out,
    );
}
