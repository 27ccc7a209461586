"""The slices of a reduction that a sweep selects among, in the reduction's order."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ctprune.errors import SourceError
from ctprune.manifest.manifest import Manifest, manifest_path
from ctprune.manifest.slices import Integers, Slices


class SweptSlices(Slices):
    """The slices of a reduction and what they are compared with.

    Args:
        folder: The reduction's folder.
        manifest: The reduction's manifest.
        scope: `volume` or `dataset`: what slices are compared with.
    """

    def __init__(self, folder: Path, manifest: Manifest, scope: str) -> None:
        super().__init__(manifest.slices().rows, manifest.config)
        self.folder = folder
        self.manifest = manifest
        self.scope = scope

    @classmethod
    def load(cls, run: str | os.PathLike[str], scope: str | None) -> SweptSlices:
        """Those of a reduction's folder or manifest; without `scope` the reduction's own.

        Raises:
            ManifestError: There is no manifest.
            SourceError: The run has no slice.
        """
        file = manifest_path(run)
        manifest = Manifest.load(file)
        slices = cls(file.parent, manifest, scope or manifest.config["scope"])
        if not len(slices):
            raise SourceError(f"{run}: expected a reduction with slices, found none in its manifest")
        return slices

    @property
    def group_starts(self) -> list[int]:
        """First row of each group within which slices are compared, and last the number of slices."""
        return self.starts.tolist() if self.scope == "volume" else [0, len(self)]

    @property
    def groups(self) -> Integers:
        """int64 of shape (n,): the number of each slice's group."""
        return np.repeat(np.arange(len(self.group_starts) - 1), np.diff(self.group_starts))

    @property
    def bits(self) -> int:
        """Bits of a fingerprint."""
        return int(self.manifest.config["hash_size"]) ** 2
