"""Pairs of volumes that show the same anatomy: found by Rust, with the evidence for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from ctprune import _core
from ctprune.errors import ConfigError
from ctprune.manifest.slices import Slices


@dataclass(frozen=True)
class Pair:
    """Two volumes that show the same anatomy.

    Attributes:
        a: Number of the first volume, as in the manifest.
        b: Number of the second, larger.
        relation: `copy` (all slices, equal fingerprints), `part` (one lies within the other), `same` (as long,
            with differences, such as another kernel), or `overlap`.
        turn: How the pictures are turned relative to each other: empty, `left-right`, `up-down`, `half turn`.
        scale: Position in b is scale × position in a + shift; -1 if the slices run in opposite directions.
        shift: Shift in `unit`.
        unit: `mm`, or `slices` if a volume has no positions.
        overlap: Length of the common part in `unit`.
        of_a: Share of volume a in the common part, 0 to 1.
        of_b: Share of volume b in the common part, 0 to 1.
        compared: Number of aligned slices that were compared.
        median_bits: Median Hamming distance of these slices, in bits.
        mean_bits: Mean Hamming distance of these slices, in bits.
        correlation: Median of Pearson's correlation of the gray of a few aligned slices; None if none could be
            read.
        same_study: Whether the Study Instance UIDs are equal; None if one is missing.
        same_series: Whether the Series Instance UIDs are equal; None if one is missing.
    """

    a: int
    b: int
    relation: str
    turn: str
    scale: float
    shift: float
    unit: str
    overlap: float
    of_a: float
    of_b: float
    compared: int
    median_bits: float
    mean_bits: float
    correlation: float | None
    same_study: bool | None
    same_series: bool | None

    def to_dict(self) -> dict[str, object]:
        """The attributes for JSON."""
        return asdict(self)


#: Largest median distance of two sequences of one scan, of 64 bits: half of the threshold for single slices, since
#: well-aligned bodies of two patients come close to that threshold.
THRESHOLD_BITS = 3

#: From this share on, a volume counts as lying within another: a slice at either end may be missing.
WITHIN = 0.95


def find_pairs(
    slices: Slices,
    *,
    threshold: int | None = None,
    min_overlap: float = 0.5,
    turned: bool = True,
    between: int | None = None,
    threads: int = 0,
    progress: Callable[[int], object] | None = None,
) -> list[Pair]:
    """Find the pairs of volumes that show the same anatomy, without reading pixels.

    Args:
        slices: Slices of a manifest, volume by volume.
        threshold: Largest median distance of aligned slices in bits; None takes 3 of 64.
        min_overlap: Share of the shorter volume that must lie within the other.
        turned: Whether pictures may be mirrored or turned by half a turn; works only with dHashes.
        between: Only pairs of a volume below this number and one from it on.
        threads: Number of threads, 0 for one per core; the result does not depend on it.
        progress: Called with the number of volumes done.

    Raises:
        ConfigError: The threshold exceeds the bits of a fingerprint.
        KeyboardInterrupt: The user stopped it.
    """
    hash_size = int(slices.config["hash_size"])
    bits = hash_size**2
    if threshold is None:
        threshold = round(THRESHOLD_BITS * bits / 64)
    if threshold > bits:
        raise ConfigError(f"threshold {threshold}: expected 0 to {bits} bits", field="threshold")
    found = _core.find_pairs(
        np.ascontiguousarray(slices.fingerprints),
        slices.starts.tolist(),
        np.ascontiguousarray(slices.position_mm),
        threshold=threshold,
        min_overlap=min_overlap,
        hash_size=hash_size,
        turned=turned and slices.config["fingerprint"] == "dhash",
        between=between,
        threads=threads,
        progress=progress,
    )
    firsts = slices.starts[:-1]
    studies, series = (_uids(slices, name, firsts) for name in ("study_instance_uid", "series_instance_uid"))
    return [_pair(pair, slices, studies, series) for pair in found]


def aligned(slices: Slices, pair: Pair, count: int) -> list[tuple[int, int]]:
    """Rows of up to `count` aligned slices of a pair, evenly spread over the common part."""
    a, b = (_positions(slices, volume, pair.unit) for volume in (pair.a, pair.b))
    there = pair.scale * a + pair.shift
    nearest = np.abs(there[:, np.newaxis] - b[np.newaxis, :]).argmin(axis=1)
    reach = max(_spacing(b), _spacing(a) * abs(pair.scale)) / 2 + 1e-3
    close = np.flatnonzero(np.abs(there - b[nearest]) <= reach)
    if not len(close):
        return []
    chosen = close[np.unique(np.linspace(0, len(close) - 1, count + 2).round().astype(int)[1:-1])]
    return [(int(slices.starts[pair.a] + at), int(slices.starts[pair.b] + nearest[at])) for at in chosen]


def _positions(slices: Slices, volume: int, unit: str) -> npt.NDArray[np.float64]:
    rows = slice(slices.starts[volume], slices.starts[volume + 1])
    if unit == "mm":
        return slices.position_mm[rows]
    return np.arange(rows.stop - rows.start, dtype=np.float64)


def _spacing(positions: npt.NDArray[np.float64]) -> float:
    steps = np.diff(np.sort(positions))
    steps = steps[steps > 1e-3]
    return float(np.median(steps)) if len(steps) else 1.0


def _uids(slices: Slices, name: str, firsts: npt.NDArray[np.int64]) -> list[str]:
    names, of = slices.labels(name)
    return [names[index] for index in of[firsts]]


def _equal(uids: list[str], a: int, b: int) -> bool | None:
    return uids[a] == uids[b] if uids[a] and uids[b] else None


def _pair(found: dict[str, object], slices: Slices, studies: list[str], series: list[str]) -> Pair:
    facts = dict(found)
    a, b = int(facts["a"]), int(facts["b"])  # type: ignore[call-overload]
    facts["unit"] = "mm" if facts.pop("is_in_mm") else "slices"
    of_a, of_b = float(facts["of_a"]), float(facts["of_b"])  # type: ignore[arg-type]
    lengths = np.diff(slices.starts)[[a, b]].tolist()
    if of_a >= WITHIN and of_b >= WITHIN:
        is_copy = facts["mean_bits"] == 0 and not facts["turn"] and lengths[0] == lengths[1] == facts["compared"]
        relation = "copy" if is_copy else "same"
    else:
        relation = "part" if max(of_a, of_b) >= WITHIN else "overlap"
    return Pair(
        **facts,  # type: ignore[arg-type]
        relation=relation,
        correlation=None,
        same_study=_equal(studies, a, b),
        same_series=_equal(series, a, b),
    )
