"""How slices follow each other, against a plain description in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ctprune import _core

Array = np.ndarray[Any, Any]


def plain(along: Array, positions: Array, thickness: Array, normal: Array) -> tuple[float, list[int], Any]:
    """What `_core.slice_spacing` says, step by step and with numpy's own functions."""
    steps = np.diff(along)
    distances = np.sort(steps[steps > 1e-3])
    if not len(distances):
        return float("nan"), [1] * len(steps), None
    usual = distances[len(distances) // 2]
    rounded = [
        unit * 1.2 for unit in (0.1, 0.01) if np.allclose(positions / unit, np.rint(positions / unit), 0, 1e-3)
    ]
    off = rounded[0] if rounded else 0.0
    changes = len(set(np.rint(thickness * 1e3))) > 1
    kinds = []
    for at, step in enumerate(steps):
        planned = changes and step <= 1.1 * max(thickness[at], thickness[at + 1])
        gap = step >= 1.5 * usual and not planned
        uneven = abs(step - usual) > 0.1 * usual
        kinds.append(1 if step <= 1e-3 else 2 if gap else 3 if uneven else 0)
    places = np.cumsum([0.0, *(step for step, kind in zip(steps, kinds, strict=True) if kind in (0, 3))])
    if len(places) > 1 and off_line(places, np.arange(len(places))) <= off * np.abs(normal).sum():
        kinds = [0 if kind == 3 else kind for kind in kinds]
    aside = positions - np.outer(positions @ normal, normal)
    across = np.diff(aside, axis=0) / np.where(steps > 1e-3, steps, np.nan)[:, None]
    degrees = np.degrees(np.arctan(np.linalg.norm(across, axis=1)))
    if np.nanmax(degrees) <= 1 or np.ptp(aside, axis=0).max() <= off:
        return float(usual), kinds, None
    even = max(off_line(aside[:, axis], along) for axis in range(3)) <= off
    other = np.degrees(np.arctan(np.linalg.norm(across - np.nanmedian(across, axis=0), axis=1))) > 1
    return float(usual), kinds, (degrees, other & (not even))


def off_line(values: Array, along: Array) -> float:
    return float(np.ptp(values - np.polyval(np.polyfit(along, values, 1), along)))


def volume(seed: int) -> tuple[Array, Array, Array, Array]:
    """Slices of a scanner that rounds, leaves some out, scans some twice, and tilts."""
    random = np.random.default_rng(seed)
    count = int(random.integers(2, 40))
    steps = np.full(count - 1, random.choice([0.5, 0.75, 1.25, 5.0]))
    if random.random() < 0.3:
        steps[random.integers(count - 1) :] *= 1.6
    for factor in (0.0, 2.0, 1.2):
        steps[random.random(count - 1) < random.choice([0.0, 0.1])] *= factor
    thickness = np.concatenate([steps[:1], steps]) if random.random() < 0.3 else np.zeros(count)
    tilt = random.choice([0.0, 0.2])
    axis = np.eye(3)[2] if random.random() < 0.5 else random.normal(size=3)
    normal = axis / np.linalg.norm(axis)
    beside = np.cross(normal, [1.0, 0.0, 0.0])
    beside /= np.linalg.norm(beside)
    places = np.concatenate([[0.0], np.cumsum(steps)])
    sideways = np.full(count, tilt)
    if random.random() < 0.3:
        sideways[random.integers(count) :] *= 2
    positions = np.outer(places, normal) + (sideways * places)[:, None] * beside
    digits = random.choice([1, 2, 6])
    positions = np.round(positions, digits)
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    return along[order], positions[order], thickness, normal


def test_slices_follow_each_other_as_described() -> None:
    for seed in range(300):
        along, positions, thickness, normal = volume(seed)
        usual, kinds, tilt = plain(along, positions, thickness, normal)
        found, steps, tilted = _core.slice_spacing(along, positions, thickness, list(normal))
        np.testing.assert_equal(found, usual)
        assert steps.tolist() == kinds, seed
        assert (tilted is None) == (tilt is None), seed
        if tilted is not None:
            np.testing.assert_allclose(tilted[0], tilt[0], atol=1e-6)
            assert tilted[1].tolist() == tilt[1].tolist(), seed


def test_every_kind_of_volume_is_among_them() -> None:
    found = [_core.slice_spacing(*given[:3], list(given[3])) for given in map(volume, range(300))]
    for kind in range(4):
        assert sum(kind in steps for _, steps, _ in found) > 20
    tilts = [tilt for *_, tilt in found if tilt is not None]
    assert 20 < sum(changed.any() for _, changed in tilts) < len(tilts) - 20
    assert len(tilts) < 280


def test_shapes_must_fit() -> None:
    with pytest.raises(ValueError, match=r"expected positions of shape \(2, 3\) and 2 thicknesses"):
        _core.slice_spacing(np.zeros(2), np.zeros((3, 3)), np.zeros(2), [0.0, 0.0, 1.0])
