"""The slices of a store that a pre-training uses: which ones, how often, and their neighbors and channels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune.environment.words import counted
from ctprune.errors import ConfigError
from ctprune.manifest.manifest import Manifest
from ctprune.manifest.slices import Slices
from ctprune.options.neighbors import GRAY, neighbors_mm
from ctprune.overlapping.excluded import Excluded
from ctprune.pretraining.config import PretrainConfig
from ctprune.pretraining.neighbors import Neighbors
from ctprune.store.channels import channel_rows
from ctprune.store.store import SliceStore


@dataclass(frozen=True, kw_only=True, eq=False)
class UsedSlices:
    """The part of a store that a pre-training uses.

    Attributes:
        positions: Positions in the store of the slices in use, int64 of shape (n,); None for all.
        weights: How often each of them is drawn, int64 of shape (n,); None for once each.
        neighbors: Neighbors of each of them from which its views may be made; None without neighbors.
        channels: Where in the store the three channels of each lie, int64 of shape (n, 3); None for gray ones.
        digest: Digest of the slices that are trained on, their order in the store, how often they are drawn, and
            their channels.
        excluded: Slices that were left out because they are similar to a test set, for the summary.
        near: How many slices have neighbors, for the summary.
    """

    positions: npt.NDArray[np.int64] | None
    weights: npt.NDArray[np.int64] | None
    neighbors: Neighbors | None
    channels: npt.NDArray[np.int64] | None
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
            ConfigError: Neighbors or their channels are asked for, but no slice has a position.
        """
        slices = manifest.slices()
        positions = None if close is None else np.flatnonzero(~np.isin(store.rows, close.rows)).astype(np.int64)
        rows = store.rows if positions is None else store.rows[positions]
        weights = slices.stands_for[rows] if config.sample_weights else None
        neighbors = find_neighbors(config, slices, rows)
        channels = find_channels(config, slices, store, close)
        if channels is not None and positions is not None:
            channels = channels[positions]
        often, shown = (b"" if found is None else found.tobytes() for found in (weights, channels))
        return cls(
            positions=positions,
            weights=weights,
            neighbors=neighbors,
            channels=channels,
            digest=hashlib.sha256(store.manifest_digest.encode() + rows.tobytes() + often + shown).hexdigest(),
            excluded=_excluded(config, slices, close),
            near=_near(neighbors, slices, rows),
        )

    @property
    def complete_channels(self) -> int | None:
        """How many slices have three different ones as their channels; None for gray ones."""
        if self.channels is None:
            return None
        before, own, after = self.channels.T
        return int(((before != own) & (after != own)).sum())

    def notes(self) -> list[str]:
        """Sentences about neighbors that may be fewer than intended, and test sets that were not read whole."""
        found = []
        if self.excluded.get("failed"):
            # Without names: the sentence travels with the weights.
            found.append(
                f"{counted(self.excluded['failed'], 'file')} of the sets in `exclude` cannot be read, so that "
                "similar slices may train; 'ctprune reduce' of the sets says why"
            )
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
        if self.complete_channels == 0:
            found.append(
                "no slice has one before and one after it near the distance of `channels`: its channels repeat "
                "it; give another distance"
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
    _check_positions("positives", config.positives, "same", slices, rows)
    return Neighbors(slices.volume[rows], slices.position_mm[rows], reach)


def find_channels(
    config: PretrainConfig, slices: Slices, store: SliceStore, close: Excluded | None
) -> npt.NDArray[np.int64] | None:
    """Where in a store the three channels of each of its slices lie, int64 of shape (n, 3); None for gray ones.

    Slices that could not be read, or must not be used, appear in no channel: the slice itself takes their place.

    Raises:
        ConfigError: No slice has a position.
    """
    distance = neighbors_mm(config.channels)
    if distance is None:
        return None
    _check_positions("channels", config.channels, GRAY, slices, store.rows)
    place = np.full(len(slices), -1, np.int64)
    place[np.concatenate([store.rows, store.beside])] = np.arange(len(store) + len(store.beside))
    if close is not None:
        place[close.rows] = -1
    shown = place[channel_rows(slices.volume, slices.position_mm, distance)[store.rows]]
    return np.where(shown < 0, np.arange(len(store))[:, None], shown)


def _check_positions(option: str, value: str, without: str, slices: Slices, rows: npt.NDArray[np.int64]) -> None:
    if not np.isfinite(slices.position_mm[rows]).any():
        raise ConfigError(
            f"{option} {value}: none of the {len(rows):,} slices has a position along a scan (`position_mm` in "
            f"the manifest): use `{option}` {without}",
            field=option,
        )


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
        "failed": close.failed,
    }
