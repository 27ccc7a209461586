//! The order of packets in a tile (ISO/IEC 15444-1 B.12).

use std::ops::Range;

use super::layout::Tile;
use crate::codestream::{Coding, Progression, ProgressionChange};

/// A packet: resolution level, precinct of it, layer.
pub(crate) type Packet = (usize, usize, u16);

impl Tile {
    /// Calls `visit` with one packet after the other, until it fails. `changes` are those of the progression
    /// order (A.6.6); without any, all packets come in the order that `coding` says.
    pub fn each_packet<E>(
        &mut self,
        coding: &Coding,
        changes: &[ProgressionChange],
        mut visit: impl FnMut(&mut Self, Packet) -> Result<(), E>,
    ) -> Result<(), E> {
        let precincts: Vec<usize> = self.resolutions.iter().map(|r| r.precincts.len()).collect();
        let whole = ProgressionChange {
            resolutions: 0..precincts.len(),
            layers: coding.layers,
            progression: coding.progression,
        };
        let changes = if changes.is_empty() { &[whole] } else { changes };
        // Layers of each precinct that are behind: a change continues with the next one.
        let mut next_layers: Vec<Vec<u16>> = precincts.iter().map(|&count| vec![0; count]).collect();
        for change in changes {
            let resolutions = change.resolutions.start..change.resolutions.end.min(precincts.len());
            let layers = change.layers.min(coding.layers);
            let mut visit = |tile: &mut Self, (resolution, precinct, layer): Packet| {
                let next = &mut next_layers[resolution][precinct];
                if layer < *next {
                    return Ok(());
                }
                *next = layer + 1;
                visit(tile, (resolution, precinct, layer))
            };
            self.in_order(change.progression, resolutions, &precincts, layers, &mut visit)?;
        }
        Ok(())
    }

    fn in_order<E>(
        &mut self,
        progression: Progression,
        resolutions: Range<usize>,
        precincts: &[usize],
        layers: u16,
        visit: &mut impl FnMut(&mut Self, Packet) -> Result<(), E>,
    ) -> Result<(), E> {
        let of = |resolution: usize| (0..precincts[resolution]).map(move |precinct| (resolution, precinct));
        match progression {
            Progression::LayerResolution => {
                for layer in 0..layers {
                    for (resolution, precinct) in resolutions.clone().flat_map(of) {
                        visit(self, (resolution, precinct, layer))?;
                    }
                }
            }
            Progression::ResolutionLayer => {
                for resolution in resolutions {
                    for layer in 0..layers {
                        for (resolution, precinct) in of(resolution) {
                            visit(self, (resolution, precinct, layer))?;
                        }
                    }
                }
            }
            Progression::ResolutionPosition | Progression::Position => {
                // With one component, the precincts of a level lie in the order of their positions.
                let mut order: Vec<(usize, usize)> = resolutions.flat_map(of).collect();
                if progression == Progression::Position {
                    order.sort_by_key(|&(resolution, precinct)| {
                        (
                            self.resolutions[resolution].precincts[precinct].position,
                            resolution,
                        )
                    });
                }
                for (resolution, precinct) in order {
                    for layer in 0..layers {
                        visit(self, (resolution, precinct, layer))?;
                    }
                }
            }
        }
        Ok(())
    }
}
