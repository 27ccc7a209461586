"""Files without slices, counted by code and reason, as in summaries.

The codes are described once, in `rust/ctprune-dicom/src/code.rs`, and listed in `docs/codes.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

#: Counts by reason for each code, the most frequent first.
Refused = dict[str, dict[str, int]]


def by_code(counts: Iterable[tuple[str, str, int]]) -> Refused:
    """Nest codes, reasons and counts: counts by code and reason, the most frequent first.

    >>> by_code([("S-COLOR", "color image", 1), ("E-IO", "a", 1), ("E-IO", "b", 4)])
    {'E-IO': {'b': 4, 'a': 1}, 'S-COLOR': {'color image': 1}}
    """
    found: Refused = {}
    for code, reason, count in counts:
        reasons = found.setdefault(code, {})
        reasons[reason] = reasons.get(reason, 0) + count
    found = {code: _sorted(reasons) for code, reasons in found.items()}
    return dict(sorted(found.items(), key=lambda item: (-sum(item[1].values()), item[0])))


def lines(refused: Mapping[str, Mapping[str, int]]) -> list[tuple[str, str, int]]:
    """Codes, reasons and counts, the most frequent reason first.

    >>> lines({"E-IO": {"b": 4, "a": 1}, "E-EMPTY": {"the file is empty": 2}})
    [('E-IO', 'b', 4), ('E-EMPTY', 'the file is empty', 2), ('E-IO', 'a', 1)]
    """
    found = [(code, reason, count) for code, reasons in refused.items() for reason, count in reasons.items()]
    return sorted(found, key=lambda line: (-line[2], line[0], line[1]))


def total(refused: Mapping[str, Mapping[str, int]], code: str | None = None) -> int:
    """The number of these files, or of those with a code.

    >>> total({"E-IO": {"b": 4, "a": 1}, "E-EMPTY": {"the file is empty": 2}}), total({}, "E-IO")
    (7, 0)
    """
    chosen = refused.values() if code is None else [refused.get(code, {})]
    return sum(sum(reasons.values()) for reasons in chosen)


def _sorted(reasons: dict[str, int]) -> dict[str, int]:
    return dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
