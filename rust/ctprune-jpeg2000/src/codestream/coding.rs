//! Coding style (COD and COC, ISO/IEC 15444-1 A.6.1 and A.6.2; HT in 15444-15).

use std::ops::Range;

use super::reader::Reader;
use crate::Error;

/// Most decomposition levels that the standard allows.
pub(crate) const MOST_LEVELS: usize = 32;

/// More changes of the progression order than this, and going through the packets would take too long;
/// OpenJPEG allows as many.
const MOST_CHANGES: usize = 32;

/// The order of packets (A.6.1, table A.16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progression {
    LayerResolution,
    ResolutionLayer,
    ResolutionPosition,
    /// By position, then by component, or the other way round: with one component it is the same.
    Position,
}

impl Progression {
    fn of(number: u8) -> Result<Self, Error> {
        match number {
            0 => Ok(Progression::LayerResolution),
            1 => Ok(Progression::ResolutionLayer),
            2 => Ok(Progression::ResolutionPosition),
            3 | 4 => Ok(Progression::Position),
            _ => Err(Error::Malformed("an unknown progression order")),
        }
    }
}

/// Which packets come next, and in which order (POC, A.6.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProgressionChange {
    pub resolutions: Range<usize>,
    /// Up to this one.
    pub layers: u16,
    pub progression: Progression,
}

impl ProgressionChange {
    /// Reads POC, and leaves out what concerns other components than the first.
    pub fn read_all(mut segment: Reader<'_>, changes: &mut Vec<Self>) -> Result<(), Error> {
        while !segment.0.is_empty() {
            let (first_resolution, first_component) = (segment.u8()?, segment.u8()?);
            let layers = segment.u16()?;
            let (end_resolution, _end_component) = (segment.u8()?, segment.u8()?);
            let progression = Progression::of(segment.u8()?)?;
            if first_component == 0 {
                changes.push(ProgressionChange {
                    resolutions: first_resolution.into()..end_resolution.into(),
                    layers,
                    progression,
                });
            }
            if changes.len() > MOST_CHANGES {
                return Err(Error::Unsupported("very many changes of the progression order"));
            }
        }
        Ok(())
    }
}

/// How code-blocks are coded (table A.19).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style(u8);

impl Style {
    /// Later bit-planes of the first two pass kinds are not arithmetically coded.
    pub fn bypass(self) -> bool {
        self.0 & 1 != 0
    }

    /// Contexts start afresh with each pass.
    pub fn resets_contexts(self) -> bool {
        self.0 & 2 != 0
    }

    /// Each pass is a codeword segment of its own.
    pub fn terminates_each_pass(self) -> bool {
        self.0 & 4 != 0
    }

    /// No context looks into the stripe below.
    pub fn vertically_causal(self) -> bool {
        self.0 & 8 != 0
    }

    /// Four known symbols end each cleanup pass.
    pub fn has_segmentation_symbols(self) -> bool {
        self.0 & 32 != 0
    }

    /// Blocks are coded with high throughput (HT).
    pub fn high_throughput(self) -> bool {
        self.0 & 64 != 0
    }
}

/// The parameters of COD, those of a COC over them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coding {
    pub progression: Progression,
    pub layers: u16,
    pub may_have_sop: bool,
    pub has_eph: bool,
    pub levels: u8,
    pub block_width_log2: u8,
    pub block_height_log2: u8,
    pub style: Style,
    pub reversible: bool,
    /// Per resolution level: log2 of the precincts' width (low four bits) and height.
    precincts: [u8; MOST_LEVELS + 1],
}

impl Coding {
    /// Reads COD.
    pub fn read(mut segment: Reader<'_>) -> Result<Self, Error> {
        let flags = segment.u8()?;
        let progression = Progression::of(segment.u8()?)?;
        let layers = segment.u16()?;
        // What mixes components says nothing where there is one.
        let _multiple_component_transform = segment.u8()?;
        if layers == 0 {
            return Err(Error::Malformed("no layer"));
        }
        let mut coding = Coding {
            progression,
            layers,
            may_have_sop: flags & 2 != 0,
            has_eph: flags & 4 != 0,
            levels: 0,
            block_width_log2: 0,
            block_height_log2: 0,
            style: Style(0),
            reversible: true,
            precincts: [0xFF; MOST_LEVELS + 1],
        };
        coding.read_component(flags & 1 != 0, segment)?;
        Ok(coding)
    }

    /// Reads COC of the first component over what COD says.
    pub fn read_coc(&mut self, mut segment: Reader<'_>) -> Result<(), Error> {
        if segment.u8()? != 0 {
            return Err(Error::Malformed("a COC for a component that is not there"));
        }
        let has_precincts = segment.u8()? & 1 != 0;
        self.read_component(has_precincts, segment)
    }

    fn read_component(&mut self, has_precincts: bool, mut segment: Reader<'_>) -> Result<(), Error> {
        self.levels = segment.u8()?;
        self.block_width_log2 = (segment.u8()? & 15) + 2;
        self.block_height_log2 = (segment.u8()? & 15) + 2;
        let style = segment.u8()?;
        self.reversible = match segment.u8()? {
            0 => false,
            1 => true,
            _ => return Err(Error::Malformed("an unknown wavelet transform")),
        };
        if usize::from(self.levels) > MOST_LEVELS {
            return Err(Error::Malformed("more than 32 decomposition levels"));
        }
        let (width, height) = (self.block_width_log2, self.block_height_log2);
        if width > 10 || height > 10 || width + height > 12 {
            return Err(Error::Malformed("a code-block of more than 4096 samples"));
        }
        if style & 0x80 != 0 {
            return Err(Error::Unsupported("blocks of both kinds, HT and not"));
        }
        self.style = Style(style);
        self.precincts = [0xFF; MOST_LEVELS + 1];
        if has_precincts {
            for precinct in &mut self.precincts[..=usize::from(self.levels)] {
                *precinct = segment.u8()?;
            }
        }
        Ok(())
    }

    /// log2 of width and height of the precincts at a resolution level.
    pub fn precinct(&self, resolution: usize) -> (u32, u32) {
        let precinct = self.precincts[resolution];
        (u32::from(precinct & 15), u32::from(precinct >> 4))
    }
}
