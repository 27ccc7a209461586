//! Color to 8-bit gray exactly as Pillow's `convert("L")`.

/// Pillow's luma of ITU-R 601-2: `L24(rgb) >> 16` in its `Convert.c`.
pub(super) fn luma(red: u8, green: u8, blue: u8) -> u8 {
    // At most 255 × 65536 + 32768, so the result fits in 8 bits.
    ((19595 * u32::from(red) + 38470 * u32::from(green) + 7471 * u32::from(blue) + 0x8000) >> 16) as u8
}

/// Luma of an ink mixture: Pillow goes CMYK → RGB → L.
pub(super) fn luma_of_inks([cyan, magenta, yellow, black]: [u8; 4]) -> u8 {
    let light = |ink: u8| {
        let paper = 255 - i32::from(black);
        // Pillow's MULDIV255: a product of two 8-bit fractions, rounded.
        let product = i32::from(ink) * paper + 128;
        (paper - (((product >> 8) + product) >> 8)).clamp(0, 255) as u8
    };
    luma(light(cyan), light(magenta), light(yellow))
}

/// Fills `gray` from values that are 8-bit gray already.
pub(super) fn from_gray(values: &[u8], gray: &mut Vec<u8>) {
    gray.clear();
    gray.extend_from_slice(values);
}

/// Fills `gray` from interleaved 8-bit colors of `N` samples, of which the first three are red, green, blue.
pub(super) fn from_colors<const N: usize>(colors: &[u8], gray: &mut Vec<u8>) {
    gray.clear();
    gray.extend(
        colors
            .chunks_exact(N)
            .map(|color| luma(color[0], color[1], color[2])),
    );
}

/// Gray value of each possible sample of `bits` bits: 0 is black, the largest is white.
pub(super) fn ramp(bits: u8) -> [u8; 256] {
    let largest = u32::from(u8::MAX >> (8 - bits));
    std::array::from_fn(|sample| ((sample as u32).min(largest) * 255 / largest) as u8)
}

/// Gray value of each palette entry. Indices beyond the palette are black, as in Pillow.
pub(super) fn palette_ramp(palette: &[u8]) -> [u8; 256] {
    let mut grays = [0; 256];
    for (gray, entry) in grays.iter_mut().zip(palette.chunks_exact(3)) {
        *gray = luma(entry[0], entry[1], entry[2]);
    }
    grays
}

/// Fills `gray` from rows of samples of 1, 2, 4 or 8 bits, packed from the high bit on; each row starts at a
/// byte.
pub(super) fn from_packed(packed: &[u8], bits: u8, columns: usize, grays: &[u8; 256], gray: &mut Vec<u8>) {
    gray.clear();
    if bits == 8 {
        gray.extend(packed.iter().map(|&sample| grays[usize::from(sample)]));
        return;
    }
    let per_byte = usize::from(8 / bits);
    let mask = u8::MAX >> (8 - bits);
    for row in packed.chunks_exact(columns.div_ceil(per_byte)) {
        gray.extend((0..columns).map(|column| {
            let shift = 8 - usize::from(bits) * (column % per_byte + 1);
            grays[usize::from((row[column / per_byte] >> shift) & mask)]
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gray_colors_keep_their_value() {
        for value in 0..=255 {
            assert_eq!(luma(value, value, value), value);
        }
    }

    #[test]
    fn inks_mix_as_in_pillow() {
        // `Image.fromarray(array, "CMYK").convert("L")`, Pillow 13.
        assert_eq!(luma_of_inks([0, 0, 0, 0]), 255);
        assert_eq!(luma_of_inks([255, 255, 255, 255]), 0);
        assert_eq!(luma_of_inks([10, 20, 30, 40]), 200);
        assert_eq!(luma_of_inks([200, 100, 50, 25]), 118);
    }

    #[test]
    fn packed_samples_unfold_from_the_high_bit() {
        let mut gray = Vec::new();
        from_packed(&[0b1010_0000, 0b0100_0000], 1, 3, &ramp(1), &mut gray);
        assert_eq!(gray, [255, 0, 255, 0, 255, 0]);
        from_packed(&[0b00_01_10_11], 2, 4, &ramp(2), &mut gray);
        assert_eq!(gray, [0, 85, 170, 255]);
        from_packed(&[0x0f, 0x80], 4, 3, &ramp(4), &mut gray);
        assert_eq!(gray, [0, 255, 136]);
    }

    #[test]
    fn indices_beyond_the_palette_are_black() {
        let grays = palette_ramp(&[255, 0, 0, 9, 9, 9]);
        assert_eq!(grays[..4], [76, 9, 0, 0]);
    }
}
