"""Slices whose range of values is ruled by metal or by padding, which changes the gray of all their pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctprune.report.run_slices import Booleans, Integers, RunSlices

#: Largest HU from which on a slice counts as ruled by metal: no bone or enamel reaches it, and scanners of 12 bits
#: saturate just above, at 3071.
METAL_HU = 3000.0

#: Smallest HU below which a slice counts as ruled by padding: air is -1000 and the floor of 12-bit CT -1024; lower
#: values stand for pixels outside of the scan circle.
PADDING_HU = -1024.0


@dataclass(frozen=True, eq=False)
class RuledSlices:
    """The slices that one rule names.

    Attributes:
        name: `metal` or `padding`.
        rule: The rule, in words.
        rows: Their rows, in order.
        kept: How many of them were kept.
        volumes: How many volumes they lie in.
        examples: A few of them, the most extreme one of a volume each.
    """

    name: str
    rule: str
    rows: Integers
    kept: int
    volumes: int
    examples: list[int]


@dataclass(frozen=True, eq=False)
class Ranges:
    """How many slices are in Hounsfield units at all, and those that are ruled by something else."""

    in_hu: int
    others_kept_fraction: float | None
    ruled: list[RuledSlices]


def ranges(slices: RunSlices, examples: int) -> Ranges:
    """Apply the two rules to the slices that are in Hounsfield units: CT, and files that say no modality."""
    names, of = slices.labels("modality")
    in_hu = np.array([name in ("CT", "") for name in names])[of]
    low = slices.min_hu
    high = slices.max_hu
    metal = in_hu & (high >= METAL_HU)
    padding = in_hu & (low < PADDING_HU)
    others = in_hu & ~metal & ~padding
    return Ranges(
        in_hu=int(in_hu.sum()),
        others_kept_fraction=float(slices.kept[others].mean()) if others.any() else None,
        ruled=[
            _ruled(slices, "metal", f"largest value ≥ {METAL_HU:.0f} HU", metal, high, examples),
            _ruled(slices, "padding", f"smallest value < −{-PADDING_HU:.0f} HU", padding, -low, examples),
        ],
    )


def _ruled(
    slices: RunSlices, name: str, rule: str, chosen: Booleans, extreme: np.ndarray, examples: int
) -> RuledSlices:
    rows = np.flatnonzero(chosen)
    by_extreme = rows[np.argsort(-extreme[rows], kind="stable")]
    _, firsts = np.unique(slices.volume[by_extreme], return_index=True)
    return RuledSlices(
        name=name,
        rule=rule,
        rows=rows.astype(np.int64),
        kept=int(slices.kept[rows].sum()),
        volumes=len(firsts),
        examples=by_extreme[np.sort(firsts)[:examples]].tolist(),
    )
