"""Findings of `ctprune check` in the series of a run, and its volumes that show the same anatomy."""

from __future__ import annotations

from collections import Counter

from ctprune.checking.check import SeriesCheck, check_rows
from ctprune.checking.codes import CHECK_CODES, SEVERITIES, CheckCode
from ctprune.duplicates.pairs import Pair, aligned, find_pairs
from ctprune.report.run_slices import RunSlices

#: Most series that the page lists, most pairs of volumes that it shows, and aligned slices of each pair.
_SERIES, _PAIRS, _SLICES = 200, 4, 8


class SeriesFindings:
    """The series of a run, the worst first.

    Attributes:
        series: The series that the page lists; series without a finding are only counted.
        total: Number of all series.
        verdicts: Number of series by verdict, the worst first; no number is 0.
        codes: The meaning of each found code, by its name, with the number of series that have it.
    """

    def __init__(self, slices: RunSlices, threads: int) -> None:
        found = check_rows(slices.manifest.rows, threads)
        self.series: list[SeriesCheck] = [one for one in found if one.findings][:_SERIES]
        self.total = len(found)
        counts = Counter(one.verdict for one in found)
        self.verdicts = {name: counts[name] for name in (*SEVERITIES, "ok") if counts[name]}
        having = Counter(code for one in found for code in {finding.code for finding in one.findings})
        self.codes: list[tuple[CheckCode, int]] = [
            (code, having[name]) for name, code in CHECK_CODES.items() if having[name]
        ]
        self.codes.sort(key=lambda one: SEVERITIES.index(one[0].severity))

    @property
    def listed(self) -> int:
        """Number of series with findings."""
        return self.total - self.verdicts.get("ok", 0)


class SameAnatomy:
    """Pairs of volumes that show the same anatomy.

    Attributes:
        total: Number of pairs.
        volumes: Number of volumes in them.
        shown: Pairs that the page shows, the closest first, each with rows of its aligned slices.
    """

    def __init__(self, slices: RunSlices) -> None:
        pairs = find_pairs(slices)
        self.total = len(pairs)
        self.volumes = len({volume for pair in pairs for volume in (pair.a, pair.b)})
        closest = sorted(pairs, key=lambda pair: (pair.median_bits, -pair.overlap, pair.a, pair.b))
        self.shown: list[tuple[Pair, list[tuple[int, int]]]] = [
            (pair, aligned(slices, pair, _SLICES)) for pair in closest[:_PAIRS]
        ]
