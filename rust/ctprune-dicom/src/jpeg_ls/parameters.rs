//! The numbers that govern a JPEG-LS scan: given by the stream, by default, or derived (C.2.4.1.1, A.2.1).

use crate::error::{ReadError, unexpected};

/// Preset coding parameters (LSE segment of type 1); 0 stands for the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Preset {
    max: u32,
    thresholds: [u32; 3],
    reset: u32,
}

impl Preset {
    /// Reads the body of an LSE segment; other types than 1 do not matter here.
    pub fn read(&mut self, body: &[u8]) {
        if let Some((&[1, ref numbers @ ..], _)) = body.split_first_chunk::<11>() {
            let number = |n: usize| u32::from(u16::from_be_bytes([numbers[2 * n], numbers[2 * n + 1]]));
            *self = Preset {
                max: number(0),
                thresholds: [number(1), number(2), number(3)],
                reset: number(4),
            };
        }
    }
}

/// Parameters of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// MAXVAL: the largest sample.
    pub max: i32,
    /// NEAR: the largest error; 0 for lossless.
    pub near: i32,
    /// T1, T2, T3: bounds of the gradients' regions.
    pub thresholds: [i32; 3],
    /// RESET: how often a context occurs before its sums are halved.
    pub reset: i32,
    /// RANGE: number of different prediction errors.
    pub range: i32,
    /// qbpp: bits of a prediction error.
    pub error_bits: u32,
    /// LIMIT: longest code.
    pub limit: u32,
}

impl Parameters {
    /// The parameters of a scan of samples of `precision` bits with errors up to `near`.
    ///
    /// # Errors
    ///
    /// A preset that the standard does not allow.
    pub fn new(precision: u32, near: u32, preset: Preset) -> Result<Self, ReadError> {
        let highest = (1 << precision) - 1;
        let max = if preset.max == 0 { highest } else { preset.max };
        if max > highest {
            return Err(unexpected("JPEG-LS MAXVAL", format!("{highest} or less"), max));
        }
        if near > max / 2 {
            return Err(unexpected("JPEG-LS NEAR", format!("{} or less", max / 2), near));
        }
        let thresholds = thresholds(max, near, preset.thresholds)?;
        let reset = if preset.reset == 0 { 64 } else { preset.reset };
        if reset < 3 {
            return Err(unexpected("JPEG-LS RESET", "3 or more", reset));
        }
        let range = (max + 2 * near) / (2 * near + 1) + 1;
        let sample_bits = bits_for(max + 1).max(2);
        Ok(Self {
            max: max as i32,
            near: near as i32,
            thresholds: thresholds.map(|t| t as i32),
            reset: reset as i32,
            range: range as i32,
            error_bits: bits_for(range),
            limit: 2 * (sample_bits + sample_bits.max(8)),
        })
    }

    /// Zeros of the code (A.5.3) that is followed by the number itself, where a code may have `limit` bits.
    #[inline]
    pub fn escape(&self, limit: u32) -> u32 {
        limit - self.error_bits - 1
    }
}

/// ⌈log2 n⌉
fn bits_for(n: u32) -> u32 {
    n.next_power_of_two().trailing_zeros()
}

/// The thresholds given, with the default for each that is 0; they ascend from NEAR + 1 to MAXVAL.
fn thresholds(max: u32, near: u32, given: [u32; 3]) -> Result<[u32; 3], ReadError> {
    // C.2.4.1.1.1: basic thresholds for 8 bits, scaled to MAXVAL.
    let basic = [(3, 2), (7, 3), (21, 4)];
    let mut thresholds = [0; 3];
    let mut least = near + 1;
    for (n, (eight_bit, offset)) in basic.into_iter().enumerate() {
        let slack = (2 * n as u32 + 3) * near;
        let scaled = if max >= 128 {
            let factor = (max.min(4095) + 128) / 256;
            factor * (eight_bit - offset) + offset + slack
        } else {
            (eight_bit / (256 / (max + 1)) + slack).max(offset)
        };
        let default = if scaled > max || scaled < least {
            least
        } else {
            scaled
        };
        thresholds[n] = if given[n] == 0 { default } else { given[n] };
        if thresholds[n] < least || thresholds[n] > max {
            let what = format!("JPEG-LS T{}", n + 1);
            return Err(unexpected(what, format!("{least} to {max}"), thresholds[n]));
        }
        least = thresholds[n];
    }
    Ok(thresholds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_standard() {
        let eight = Parameters::new(8, 0, Preset::default()).unwrap();
        assert_eq!(
            (eight.thresholds, eight.range, eight.error_bits, eight.limit),
            ([3, 7, 21], 256, 8, 32)
        );
        let twelve = Parameters::new(12, 0, Preset::default()).unwrap();
        assert_eq!((twelve.thresholds, twelve.limit), ([18, 67, 276], 48));
        let near = Parameters::new(8, 3, Preset::default()).unwrap();
        assert_eq!(
            (near.thresholds, near.range, near.error_bits),
            ([12, 22, 42], 38, 6)
        );
    }

    #[test]
    fn a_preset_segment_replaces_them() {
        let mut preset = Preset::default();
        preset.read(b"\x01\xFF\xFF\x00\x12\x00\x43\x01\x14\x00\x40");
        let sixteen = Parameters::new(16, 0, preset).unwrap();
        assert_eq!(
            (sixteen.max, sixteen.thresholds, sixteen.reset),
            (65535, [18, 67, 276], 64)
        );
    }

    #[test]
    fn impossible_parameters_are_refused() {
        let preset = |max, thresholds, reset| Preset {
            max,
            thresholds,
            reset,
        };
        assert!(Parameters::new(8, 0, preset(256, [0; 3], 0)).is_err());
        assert!(Parameters::new(8, 0, preset(0, [9, 5, 20], 0)).is_err());
        assert!(Parameters::new(8, 0, preset(0, [0; 3], 1)).is_err());
        assert!(Parameters::new(8, 128, Preset::default()).is_err());
    }
}
