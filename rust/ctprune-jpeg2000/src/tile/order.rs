//! The order of packets in a tile (ISO/IEC 15444-1 B.12).

use super::layout::Tile;
use crate::codestream::Progression;

/// A packet: resolution level, precinct of it, layer.
pub(crate) type Packet = (usize, usize, u16);

impl Tile {
    /// Calls `visit` with one packet after the other, until it fails.
    pub fn each_packet<E>(
        &mut self,
        progression: Progression,
        layers: u16,
        mut visit: impl FnMut(&mut Self, Packet) -> Result<(), E>,
    ) -> Result<(), E> {
        let precincts: Vec<usize> = self.resolutions.iter().map(|r| r.precincts.len()).collect();
        let of = |resolution: usize| (0..precincts[resolution]).map(move |precinct| (resolution, precinct));
        let resolutions = 0..precincts.len();
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
