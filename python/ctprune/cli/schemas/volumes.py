"""Output of the commands that examine series and volumes."""

from __future__ import annotations

from ctprune.checking.check import SeriesCheck
from ctprune.checking.codes import CHECK_CODES, SEVERITIES
from ctprune.cli.schemas.parts import Schema, array, count, fields_of, maybe, record, text
from ctprune.duplicates.duplicates import Duplicates
from ctprune.duplicates.groups import Group
from ctprune.duplicates.pairs import Pair
from ctprune.overlapping.result import Overlap


def check() -> Schema:
    """The findings about each series."""
    finding = record(
        "Something unusual about the series.",
        code=text("Stable code.", *CHECK_CODES),
        severity=text("How bad it is.", *SEVERITIES),
        count=count("How often, in slices unless `where` says otherwise."),
        where=text("Slices by number and position, and values; empty if all slices are meant."),
        meaning=text("What the code means."),
        action=text("What to do."),
    )
    series = record(
        "A series.",
        **fields_of(
            SeriesCheck,
            undefined=True,
            findings=array("What is unusual, the worst first.", finding),
            verdict=text("The worst severity, or `ok`.", *SEVERITIES, "ok"),
        ),
    )
    return record("What is unusual.", series=array("All series, the worst first.", series))


def duplicates() -> Schema:
    """Pairs and groups of volumes that show the same anatomy."""
    return record(
        "Volumes that show the same anatomy.",
        **fields_of(
            Duplicates,
            pairs=array("Pairs of volumes, by ascending numbers.", _pair("A pair of volumes.")),
            groups=array("Groups of volumes that pairs connect.", record("A group.", **fields_of(Group))),
        ),
    )


def _pair(about: str) -> Schema:
    return record(about, **fields_of(Pair))


def overlap() -> Schema:
    """What of B is in A."""
    part = record(
        "Slices of B of one split and class.",
        split=text("Name of the split; empty if B names none."),
        label=text("Name of the class; empty if B names none."),
        slices=count("Number of slices of B."),
        found=count("How many of these have a near-duplicate in A."),
    )
    pair = _pair("A pair of volumes: `a` is the number of A's volume in A, `b` that of B's in B.")
    return record(
        "What was found.",
        **fields_of(
            Overlap,
            parts=array("The numbers by split and class, if B names these.", part),
            pairs=array("Volumes of A and B that show the same anatomy.", pair),
            rows=array("The slices of B that were found, in B's order.", _found()),
        ),
    )


def _found() -> Schema:
    """A slice of B that was found in A."""
    where = {
        f"{side}_{name}": schema
        for side, whole in (("b", "B"), ("a", "A"))
        for name, schema in {
            "volume": count(f"Number of the slice's volume in {whole}, from 0."),
            "slice_index": count(f"Index of the slice in this volume of {whole}, from 0."),
            "path": text(f"File of the slice in {whole}, relative to its source."),
            "frame": count(f"Index of the slice in this file of {whole}, from 0."),
        }.items()
    }
    return record(
        "A slice of B and the nearest slice of A.",
        **where,
        split=maybe(text("Name of the split; null if B names none.")),
        label=maybe(text("Name of the class; null if B names none.")),
        bits=count("Hamming distance of the two in bits."),
        turn=maybe(text("How the pictures are turned relative to each other; null if they are not.")),
        correlation=maybe(
            {"type": "number", "description": "Pearson's correlation of their gray; null if unknown."}
        ),
    )
