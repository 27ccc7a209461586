"""The guard against leakage: slices that are also in a test set do not train the backbone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctprune.manifest.manifest import Manifest
from ctprune.overlapping.near import find_near, near_threshold
from ctprune.overlapping.sets import open_set


@dataclass(frozen=True, kw_only=True, eq=False)
class Excluded:
    """Slices of a run that are close to those of other sets.

    Attributes:
        rows: Rows of the slices in the run's manifest, ascending, int64 of shape (n,).
        threshold: The largest distance that counts as close.
        failed: Number of files of the other sets that could not be read, and were not compared.
    """

    rows: npt.NDArray[np.int64]
    threshold: int
    failed: int = 0


def excluded_rows(
    manifest: Manifest, others: Sequence[str | os.PathLike[str]], *, threshold: int | None = None
) -> Excluded:
    """Find the slices of a run that are close to a slice of other sets, exactly.

    Args:
        manifest: Manifest of the run.
        others: For each set its folder, zip or tar file of images, its MedMNIST file (.npz), a
            run's folder, or its manifest file.
        threshold: Largest Hamming distance that counts as close; None means the run's, or 6 of 64 bits.

    Raises:
        ConfigError: The threshold is out of range.
        ManifestError: Another manifest's fingerprints were made differently.
        SourceError: A set does not exist, or has no slice.

    >>> import ctprune, tempfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = ctprune.phantom.write_archive(folder / "dicoms", patients=1, size=64)
    >>> manifest = ctprune.reduce(folder / "dicoms", out=folder / "run")
    >>> found = excluded_rows(manifest, [folder / "run"], threshold=0)
    >>> len(found.rows) == manifest.counts()["kept"] + manifest.counts()["dropped"]
    True
    """
    threshold = near_threshold(manifest.config, threshold, name="exclude_threshold")
    with ExitStack() as stack:
        sets = [open_set(stack, other, manifest.config, role="`exclude` ") for other in others]
        theirs = np.unique(np.concatenate([one.slices.fingerprints for one in sets]), axis=0)
    near = find_near(manifest.slices().fingerprints, theirs, threshold)
    return Excluded(
        rows=np.flatnonzero(near.found).astype(np.int64),
        threshold=threshold,
        failed=sum(one.failed for one in sets),
    )
