"""The slices of a store that a pre-training uses: which, how often, and what belongs to each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune.errors import ConfigError
from ctprune.manifest.manifest import Manifest
from ctprune.manifest.slices import Slices
from ctprune.options.neighbors import neighbors_mm
from ctprune.overlapping.excluded import Excluded
from ctprune.pretraining.config import PretrainConfig
from ctprune.pretraining.neighbors import Neighbors
from ctprune.store.store import SliceStore


@dataclass(frozen=True, kw_only=True, eq=False)
class UsedSlices:
    """What a pre-training takes from a store.

    Attributes:
        positions: Positions in the store of the slices in use, int64 of shape (n,); None for all.
        weights: How often each of them comes, int64 of shape (n,); None for once each.
        neighbors: Neighbors of each of them that may lend it views; None without.
        digest: Tells which slices are trained on, in which order they are stored, and how often they come.
        excluded: What was left out since it is similar to a test set, for the summary.
        near: How many slices have neighbors, for the summary.
    """

    positions: npt.NDArray[np.int64] | None
    weights: npt.NDArray[np.int64] | None
    neighbors: Neighbors | None
    digest: str
    excluded: dict[str, Any]
    near: dict[str, Any]

    @classmethod
    def of(
        cls, config: PretrainConfig, manifest: Manifest, store: SliceStore, close: Excluded | None
    ) -> UsedSlices:
        """The slices that a configuration means.

        Args:
            config: Options of the pre-training.
            manifest: Manifest that the store was made from.
            store: The packed slices.
            close: Slices that must not be used; None for none.

        Raises:
            ConfigError: Neighbors are wanted, but no slice has a position.
        """
        slices = manifest.slices()
        positions = None if close is None else np.flatnonzero(~np.isin(store.rows, close.rows)).astype(np.int64)
        rows = store.rows if positions is None else store.rows[positions]
        weights = slices.stands_for[rows] if config.sample_weights else None
        neighbors = find_neighbors(config, slices, rows)
        often = b"" if weights is None else weights.tobytes()
        return cls(
            positions=positions,
            weights=weights,
            neighbors=neighbors,
            digest=hashlib.sha256(store.manifest_digest.encode() + rows.tobytes() + often).hexdigest(),
            excluded=_excluded(config, slices, close),
            near=_near(neighbors, slices, rows),
        )

    def notes(self) -> list[str]:
        """Sentences about neighbors that may be fewer than intended."""
        found = []
        if self.near.get("without_position"):
            found.append(
                f"{self.near['without_position']:,} slices have no position along their scan: their views come "
                "from themselves"
            )
        if self.near and not self.near["slices"]:
            found.append(
                "no slice has another one in use as near as `positives` says: all views of a slice come from "
                "itself; give a larger distance, or `use` all"
            )
        return found


def find_neighbors(config: PretrainConfig, slices: Slices, rows: npt.NDArray[np.int64]) -> Neighbors | None:
    """The neighbors that may lend views, of these rows of the manifest among themselves; None without.

    Raises:
        ConfigError: No slice has a position.
    """
    reach = neighbors_mm(config.positives)
    if reach is None:
        return None
    along = slices.position_mm[rows]
    if not np.isfinite(along).any():
        raise ConfigError(
            f"positives {config.positives}: none of the {len(rows):,} slices has a position along a scan "
            "(`position_mm` in the manifest): use `positives` same",
            field="positives",
        )
    return Neighbors(slices.volume[rows], along, reach)


def _near(neighbors: Neighbors | None, slices: Slices, rows: npt.NDArray[np.int64]) -> dict[str, Any]:
    if neighbors is None:
        return {}
    others = neighbors.counts - 1
    return {
        "slices": int((others > 0).sum()),
        "mean": float(others.mean()),
        "without_position": int(np.isnan(slices.position_mm[rows]).sum()),
    }


def _excluded(config: PretrainConfig, slices: Slices, close: Excluded | None) -> dict[str, Any]:
    """What was excluded, of the kept slices or of all that a sample could be drawn from."""
    if close is None:
        return {}
    of_use = slices.kept[close.rows] if config.use == "kept" else np.ones(len(close.rows), bool)
    return {
        "sources": [Path(source).name for source in config.exclude],
        "threshold": close.threshold,
        "slices": int(of_use.sum()),
    }
