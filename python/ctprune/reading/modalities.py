"""DICOM's modalities of images, and slices named by theirs."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

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


def modalities(table: pa.Table) -> list[str]:
    """Modalities of a manifest's slices, the most frequent first; empty text for files that name none."""
    slices = table.filter(pc.is_valid(table["volume"]))
    counts: dict[str, int] = {}
    for found in pc.value_counts(pc.fill_null(slices["modality"], "")).to_pylist():
        name = found["values"] if found["values"] in IMAGING else ""
        counts[name] = counts.get(name, 0) + found["counts"]
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
