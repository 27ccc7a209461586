"""Choose the slices of a manifest that a store packs."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from ctprune.errors import ManifestError
from ctprune.manifest.manifest import Manifest
from ctprune.options.neighbors import neighbors_mm
from ctprune.store.channels import channel_rows
from ctprune.store.config import StoreConfig


def digest_of(rows: npt.NDArray[np.int64]) -> str:
    """Digest of whole numbers, ten hexadecimal digits; empty for none."""
    return hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()[:10] if len(rows) else ""


def chosen_rows(manifest: Manifest, config: StoreConfig, barred: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Rows of the slices that are in use, ascending.

    Args:
        manifest: The manifest.
        config: What the store holds.
        barred: Rows that a random sample must not contain.

    Raises:
        ManifestError: There are none.
    """
    selection = manifest.slices().kept
    kept, slices = np.flatnonzero(selection), np.arange(len(selection))
    rows = kept if config.use == "kept" else slices
    if config.use == "random":
        kept, rows = (found[~np.isin(found, barred)] for found in (kept, slices))
        # Raw numbers of a bit generator, unlike numpy's distributions, never change from version to version.
        lots = np.random.PCG64(config.seed).random_raw(len(rows))
        rows = np.sort(rows[np.argsort(lots, kind="stable")[: len(kept)]])
    if not len(rows):
        raise ManifestError(f"the manifest has no slices to use ({config.use}): there is nothing to pack")
    return rows.astype(np.int64)


def rows_beside(manifest: Manifest, config: StoreConfig, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Rows of the slices that only channels show, as they are not in use themselves; ascending."""
    distance = neighbors_mm(config.channels)
    if distance is None:
        return np.empty(0, np.int64)
    slices = manifest.slices()
    return np.setdiff1d(channel_rows(slices.volume, slices.position_mm, distance)[rows], rows)
