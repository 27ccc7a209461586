//! IEEE 754 half precision.

/// The number of these bits, exactly.
pub(super) fn f32_from_half(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    let magnitude = u32::from(half & 0x7fff);
    let bits = match magnitude {
        // Zero and numbers below the smallest normal one: units of 2^-24.
        0..0x0400 => (magnitude as f32 / (1 << 24) as f32).to_bits(),
        // The exponent's bias is 15 here and 127 there.
        0x0400..0x7c00 => (magnitude << 13) + ((127 - 15) << 23),
        _ => (magnitude << 13) | 0x7f80_0000,
    };
    f32::from_bits(sign | bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_numbers() {
        let known = [
            (0x0000, 0.0),
            (0x8001, -1.0 / 16_777_216.0),
            (0x03ff, 1023.0 / 16_777_216.0),
            (0x0400, 1.0 / 16_384.0),
            (0x3555, 0.333_251_95),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x7c00, f32::INFINITY),
        ];
        for (half, number) in known {
            assert_eq!(f32_from_half(half), number, "{half:#06x}");
        }
        assert!(f32_from_half(0x7e00).is_nan());
    }
}
