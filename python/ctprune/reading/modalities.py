"""DICOM's modalities of images, and slices named by theirs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ctprune.environment.lazy import numpy as np

if TYPE_CHECKING:
    from ctprune import _core

#: Modalities whose objects are images (PS3.3 C.7.3.1.1.1); other codes, and what broken files hold, are not shown.
IMAGING = frozenset(
    {
        "BI",
        "CR",
        "CT",
        "DX",
        "ES",
        "GM",
        "IO",
        "IVUS",
        "MG",
        "MR",
        "NM",
        "OCT",
        "OP",
        "OPT",
        "OT",
        "PT",
        "PX",
        "RF",
    }
    | {"RG", "SM", "TG", "US", "XA", "XC"}
)


def modalities(rows: _core.Rows) -> list[str]:
    """Modalities of a manifest's slices, the most frequent first; empty text for files that name none."""
    names, of = rows.labels("modality")
    found = np.bincount(of[rows["volume"] >= 0], minlength=len(names)).tolist()
    counts: Counter[str] = Counter()
    for name, count in zip(names, found, strict=True):
        if count:
            counts[name if name in IMAGING else ""] += count
    return sorted(counts, key=lambda name: (-counts[name], name))


def slices_of(names: list[str]) -> str:
    """Slices of these modalities in words.

    >>> slices_of(["CT"]), slices_of(["MR", "PT", "US"]), slices_of([""]), slices_of(["CT", ""])
    ('CT slices', 'MR, PT and US slices', 'slices', 'CT slices and slices of no named modality')
    """
    named = [name for name in names if name]
    if not named:
        return "slices"
    together = named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"
    return f"{together} slices" + (" and slices of no named modality" if "" in names else "")
