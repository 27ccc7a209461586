//! Quantization (QCD and QCC, ISO/IEC 15444-1 A.6.4 and A.6.5).

use super::coding::MOST_LEVELS;
use super::reader::Reader;
use crate::Error;

const MOST_BANDS: usize = 3 * MOST_LEVELS + 1;

/// Exponent and mantissa of the step of every band, and the guard bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quantization {
    guard_bits: u8,
    steps: [(u8, u16); MOST_BANDS],
    /// How many of `steps` were given; with derived steps all are.
    given: usize,
}

impl Quantization {
    /// Reads QCD, or what follows the component in QCC.
    pub fn read(mut segment: Reader<'_>) -> Result<Self, Error> {
        let style = segment.u8()?;
        let mut quantization = Quantization {
            guard_bits: style >> 5,
            steps: [(0, 0); MOST_BANDS],
            given: 0,
        };
        match style & 31 {
            0 => {
                quantization.given = segment.0.len().min(MOST_BANDS);
                for step in &mut quantization.steps[..quantization.given] {
                    *step = (segment.u8()? >> 3, 0);
                }
            }
            1 => {
                let first = split(segment.u16()?);
                quantization.given = MOST_BANDS;
                for (band, step) in quantization.steps.iter_mut().enumerate() {
                    let levels_finer = (band.max(1) - 1) / 3;
                    *step = (first.0.saturating_sub(levels_finer as u8), first.1);
                }
            }
            2 => {
                quantization.given = (segment.0.len() / 2).min(MOST_BANDS);
                for step in &mut quantization.steps[..quantization.given] {
                    *step = split(segment.u16()?);
                }
            }
            _ => return Err(Error::Malformed("an unknown quantization style")),
        }
        Ok(quantization)
    }

    /// Reads QCC of the first component.
    pub fn read_qcc(mut segment: Reader<'_>) -> Result<Self, Error> {
        match segment.u8()? {
            0 => Self::read(segment),
            _ => Err(Error::Malformed("a QCC for a component that is not there")),
        }
    }

    fn step(&self, band: usize) -> Result<(u8, u16), Error> {
        match band < self.given {
            true => Ok(self.steps[band]),
            false => Err(Error::Malformed("no quantization step for a band")),
        }
    }

    /// Bit-planes of a band (E-2), the bands counted from the coarsest.
    pub fn planes(&self, band: usize) -> Result<u32, Error> {
        let (exponent, _) = self.step(band)?;
        Ok((u32::from(self.guard_bits) + u32::from(exponent)).saturating_sub(1))
    }

    /// The step of a band (E-3) for samples of `precision` bits, without the gain of the transform.
    pub fn step_size(&self, band: usize, precision: u32) -> Result<f32, Error> {
        let (exponent, mantissa) = self.step(band)?;
        let power = f64::from(precision) - f64::from(exponent);
        Ok(((1.0 + f64::from(mantissa) / 2048.0) * power.exp2()) as f32)
    }
}

fn split(step: u16) -> (u8, u16) {
    ((step >> 11) as u8, step & 0x7FF)
}
