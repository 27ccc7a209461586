"""How much of an archive kept slices cover: of its scanners, kernels, thicknesses and parts of volumes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ctprune.manifest.slices import Booleans, Floats, Integers, Slices

#: Parts of a volume, for coverage of the body.
_PARTS = 10


class Coverage:
    """Coverage of selections among the same slices.

    Args:
        slices: The slices.
        resamples: Number of resamples of the volumes.
        seed: Of the resamples.
    """

    def __init__(self, slices: Slices, *, resamples: int, seed: int) -> None:
        count = slices.volumes
        rng = np.random.default_rng(seed)
        self._drawn = np.zeros((resamples, count), np.bool_)
        for drawn in self._drawn:
            drawn[rng.integers(0, count, count)] = True
        self._volume = slices.volume
        self._values = values_of(slices)
        self._different = {name: len(np.unique(values)) for name, values in self._values.items()}
        everything = np.ones(len(slices), np.bool_)
        self._all = {name: self._counts(values, everything) for name, values in self._values.items()}

    def of(self, kept: Booleans) -> dict[str, tuple[float, float]]:
        """By name the share of the archive's values that kept slices have, and its standard error.

        A resample has some of the volumes; its share is that of the values that these volumes have.
        """
        found = {}
        for name, values in self._values.items():
            share = len(np.unique(values[kept])) / self._different[name]
            error = np.std(self._counts(values, kept) / self._all[name], ddof=1)
            found[name] = share, float(error)
        return found

    def _counts(self, values: Integers, chosen: Booleans) -> Floats:
        """Number of different values that chosen slices have in the volumes of each resample."""
        pairs = np.unique(np.stack([values[chosen], self._volume[chosen]]), axis=1)
        _, of, volumes = np.unique(pairs[0], return_inverse=True, return_counts=True)
        # A value of one volume, such as a part of it, is counted with the volume.
        own = np.bincount(pairs[1][volumes[of] == 1], minlength=self._drawn.shape[1])
        counts: Floats = self._drawn.astype(np.float64) @ own
        value, volume = of[volumes[of] > 1], pairs[1][volumes[of] > 1]
        for number, drawn in enumerate(self._drawn):
            seen = np.zeros(len(volumes), np.bool_)
            seen[value[drawn[volume]]] = True
            counts[number] += seen.sum()
        return counts


def values_of(slices: Slices) -> dict[str, npt.NDArray[np.int64]]:
    """By what coverage is counted, the value of each slice as a number, int64 of shape (n,)."""
    makers, maker = slices.labels("manufacturer")
    _, model = slices.labels("manufacturer_model_name")
    lengths = np.repeat(np.diff(slices.starts), np.diff(slices.starts))
    thickness = np.nan_to_num(np.asarray(slices.rows["slice_thickness_mm"], np.float64), nan=-1)
    return {
        "scanner": (model * len(makers) + maker).astype(np.int64),
        "kernel": slices.labels("convolution_kernel")[1],
        "thickness": np.round(10 * thickness).astype(np.int64),
        "body position": slices.volume * _PARTS + slices.slice_index * _PARTS // lengths,
    }
