"""Groups of volumes that show the same anatomy, and the volume of each to take."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ctprune.duplicates.pairs import Pair
from ctprune.manifest.slices import Slices

#: Words in the names of kernels, from smooth to sharp, on the scale of the numbers in Siemens's names.
_WORDS = (
    ("SOFT", 20.0),
    ("SMOOTH", 20.0),
    ("STANDARD", 40.0),
    ("STND", 40.0),
    ("DETAIL", 50.0),
    ("CHST", 50.0),
    ("LUNG", 65.0),
    ("BONE", 70.0),
    ("SHARP", 70.0),
    ("EDGE", 80.0),
)

_PHILIPS = {"A": 20.0, "B": 30.0, "C": 45.0, "D": 60.0, "E": 70.0, "L": 65.0, "YA": 60.0, "YB": 70.0, "YC": 80.0}


@dataclass(frozen=True)
class Group:
    """Volumes connected by pairs.

    Attributes:
        volumes: Their numbers, ascending.
        representative: The one to take.
        why: Why it was chosen.
    """

    volumes: list[int]
    representative: int
    why: str

    def to_dict(self) -> dict[str, object]:
        """The attributes for JSON."""
        return asdict(self)


def groups_of(slices: Slices, pairs: Sequence[Pair], *, prefer: str) -> list[Group]:
    """The groups that pairs form, each with its representative.

    Of the volumes that cover most of the body, the one with the softest or sharpest kernel, or the thinnest or
    thickest slices, as `prefer` says; then the one with the most slices, then the first.
    """
    parent = list(range(slices.volumes))

    def root(volume: int) -> int:
        while parent[volume] != volume:
            parent[volume] = parent[parent[volume]]
            volume = parent[volume]
        return volume

    for pair in pairs:
        parent[max(root(pair.a), root(pair.b))] = min(root(pair.a), root(pair.b))
    members: dict[int, list[int]] = {}
    for volume in sorted({volume for pair in pairs for volume in (pair.a, pair.b)}):
        members.setdefault(root(volume), []).append(volume)
    return [_group(slices, volumes, prefer) for volumes in members.values()]


def _group(slices: Slices, volumes: list[int], prefer: str) -> Group:
    by_kernel = prefer in ("soft", "sharp")
    values = {volume: _value(slices, volume, by_kernel=by_kernel) for volume in volumes}
    lengths = {volume: _length(slices, volume) for volume in volumes}
    # A volume that shows half of the body cannot stand for the others, whatever its kernel.
    longest = max(lengths.values())
    whole = [volume for volume in volumes if lengths[volume] >= 0.9 * longest] or volumes
    sign = 1 if prefer in ("soft", "thin") else -1
    counts = np.diff(slices.starts)
    known = [volume for volume in whole if values[volume] is not None]
    candidates = known or whole

    def rank(volume: int) -> tuple[float, int, int]:
        value = values[volume]
        return (0.0 if value is None else sign * value, -int(counts[volume]), volume)

    best = min(candidates, key=rank)
    differ = len({values[volume] for volume in candidates}) > 1
    what = "kernel" if by_kernel else "slice thickness"
    if not known:
        why = f"no {what} is known; most slices"
    elif differ:
        adjective = {"soft": "softest", "sharp": "sharpest", "thin": "thinnest", "thick": "thickest"}[prefer]
        why = f"{adjective} {'kernel' if by_kernel else 'slices'}"
    else:
        why = f"equal {what}; most slices"
    return Group(volumes, best, why)


def _value(slices: Slices, volume: int, *, by_kernel: bool) -> float | None:
    [row] = slices.take(
        np.array([slices.starts[volume]], np.int64), ["convolution_kernel", "slice_thickness_mm", "volume"]
    )
    if by_kernel:
        return sharpness(row["convolution_kernel"] or "")
    thickness = row["slice_thickness_mm"]
    return None if thickness is None else float(thickness)


def _length(slices: Slices, volume: int) -> float:
    """Length along the body in mm, or the number of slices if that is unknown."""
    rows = slice(slices.starts[volume], slices.starts[volume + 1])
    positions = slices.position_mm[rows]
    if np.isfinite(positions).all() and len(positions) > 1:
        return float(np.ptp(positions))
    return float(len(positions))


def sharpness(kernel: str) -> float | None:
    r"""A rough scale of reconstruction kernels, from 0 (smooth) to 100 (sharp); None for an unknown name.

    Names by Siemens have a number, those by General Electric are words, by Canon FC and a number, by Philips
    letters. Only kernels of one manufacturer can be compared closely.

    >>> sharpness("B30f"), sharpness("Br59d\\3"), sharpness("BONEPLUS"), sharpness("FC51"), sharpness("C")
    (30.0, 59.0, 70.0, 65.0, 45.0)
    """
    name = kernel.upper().split("\\")[0].strip()
    if match := re.fullmatch(r"FC(\d{2})", name):
        number = int(match[1])
        return 65.0 if 50 <= number < 60 else 70.0 if 30 <= number < 40 else 20.0 + number
    for word, value in _WORDS:
        if word in name:
            return value
    if match := re.fullmatch(r"[A-Z]{1,2}(\d{2})[A-Z]?", name):
        return float(match[1])
    return _PHILIPS.get(name)
