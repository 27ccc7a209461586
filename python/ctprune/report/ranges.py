"""Slices whose range of values is set by metal or padding, which changes the gray of all their pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctprune.manifest.ruled import METAL_HU, PADDING_HU, ruled_rows
from ctprune.report.run_slices import Booleans, Integers, RunSlices


@dataclass(frozen=True, eq=False)
class RuledSlices:
    """The slices that one rule finds.

    Attributes:
        name: `metal` or `padding`.
        rule: The rule, in words.
        rows: Their rows, in order.
        kept: Number of these that were kept.
        volumes: Number of volumes in which they lie.
        examples: Rows of a few of them, each the most extreme one of its volume.
    """

    name: str
    rule: str
    rows: Integers
    kept: int
    volumes: int
    examples: list[int]


@dataclass(frozen=True, eq=False)
class Ranges:
    """Slices in Hounsfield units, the kept fraction of the unaffected ones, and those that a rule names."""

    in_hu: int
    others_kept_fraction: float | None
    ruled: list[RuledSlices]


def ranges(slices: RunSlices, examples: int) -> Ranges:
    """Apply the two rules to the slices in Hounsfield units."""
    in_hu, metal, padding = ruled_rows(slices.rows)
    low, high = slices.min_hu, slices.max_hu
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
