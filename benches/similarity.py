"""Similarity by pixels: SSIM and mutual information per pair, and a whole volume reduced to a tenth."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.metrics import normalized_mutual_information, structural_similarity

import ctprune
from benches import similarity_rivals as rivals
from benches.measure import Contender, Table, compare, number
from benches.series import about, gray, gray_slices, series
from benches.settings import Settings
from ctprune import _core
from ctprune.selection.methods import METHODS

Grays = npt.NDArray[np.uint8]

#: Pairs that a call of ctprune compares: each of some slices with each of others.
_SOME, _OTHERS = 32, 64

_KEEP = 0.1
_SLICES = 300


def run(settings: Settings, threads: int) -> dict[str, Any]:
    slices = gray_slices(series(settings))
    volume = _resampled(slices, _SLICES)
    return {
        "input": about(settings),
        "about": (
            "8-bit slices, each from its own minimum to its own maximum. Goals: 0.2 ms per pair with SSIM and "
            "0.15 ms with mutual information at 512 × 512; for a volume of 300 slices at 10 % kept 1/100 of what "
            "scikit-image takes and 1/10 of the best other tool. That volume is the series, interpolated "
            "linearly between neighboring slices."
        ),
        "tables": [
            _ssim_pairs(slices, settings),
            _mi_pairs(slices, settings),
            _volume("ssim", volume, settings),
            _volume("mi", volume, settings),
        ],
    }


def _resampled(slices: Grays, count: int) -> Grays:
    positions = np.linspace(0, len(slices) - 1, count)
    low = np.minimum(positions.astype(int), len(slices) - 2)
    share = (positions - low)[:, None, None]
    between = [(1 - s) * slices[i] + s * slices[i + 1] for i, s in zip(low, share, strict=True)]
    return np.stack([gray(one) for one in between])


def _ssim_pairs(slices: Grays, settings: Settings) -> Table:
    some, others = slices[:_SOME], slices[_SOME : _SOME + _OTHERS]
    a, b = slices[0], slices[1]
    expected = structural_similarity(a, b, data_range=255)
    cached = [rivals.OpenCv(one) for one in (a, b)]
    loops = [rivals.Loops(one) for one in (a, b)]
    answers = {
        "OpenCV": cached[0].ssim(cached[1]),
        "numba": loops[0].ssim(loops[1]),
        "Fast-SSIM": rivals.fast_ssim(a, b),
    }
    notes = [f"{name} differs from scikit-image by {answer - expected:.1e}" for name, answer in answers.items()]
    _check(ctprune.ssim(a, b), expected, 1e-6)
    _check(answers["OpenCV"], expected, 1e-4)
    _check(answers["numba"], expected, 1e-6)
    pairs = len(some) * len(others)
    return compare(
        "SSIM of a pair, uniform window",
        [
            Contender(
                name="ctprune.ssim, all to all",
                run=lambda: ctprune.ssim(some, others, all_to_all=True),
                items=pairs,
                note="with the maps of each slice",
                loops=1,
            ),
            Contender(name="scikit-image", run=lambda: structural_similarity(a, b, data_range=255), items=1),
            Contender(name="OpenCV, maps of each slice cached", run=lambda: cached[0].ssim(cached[1]), items=1),
            Contender(name="numba loops, maps cached", run=lambda: loops[0].ssim(loops[1]), items=1),
            Contender(name="Fast-SSIM", run=lambda: rivals.fast_ssim(a, b), items=1),
        ],
        rounds=settings.rounds,
        unit="pairs",
        notes=notes,
    )


def _mi_pairs(slices: Grays, settings: Settings) -> Table:
    some, others = slices[:_SOME], slices[_SOME : _SOME + _OTHERS]
    a, b = slices[0], slices[1]
    expected = normalized_mutual_information(a, b, bins=64)
    bins = [rivals.bins(one) for one in (a, b)]
    _check(ctprune.mutual_information(a, b), expected, 1e-9)
    _check(rivals.compiled_histogram(*bins), expected, 1e-9)
    return compare(
        "Mutual information of a pair, 64 bins",
        [
            Contender(
                name="ctprune.mutual_information, all to all",
                run=lambda: ctprune.mutual_information(some, others, all_to_all=True),
                items=len(some) * len(others),
                note="with the bins of each slice",
                loops=1,
            ),
            Contender(name="scikit-image", run=lambda: normalized_mutual_information(a, b, bins=64), items=1),
            Contender(
                name="scikit-learn",
                run=lambda: rivals.learned(*bins),
                items=1,
                note="another normalization of the same histogram",
            ),
            Contender(name="numba histogram, bins cached", run=lambda: rivals.compiled_histogram(*bins), items=1),
        ],
        rounds=settings.rounds,
        unit="pairs",
    )


def _volume(method: str, volume: Grays, settings: Settings) -> Table:
    measure = METHODS[method].measure
    assert measure is not None
    grid = list(measure.grid)
    swept = _select(method, volume, grid)
    counts = np.array(swept.kept_counts())
    index = len(grid) - 1 - int(np.argmin(np.abs(counts - _KEEP * len(volume))[::-1]))
    seconds = [_timed(lambda: _select(method, volume, [grid[index]])) for _ in range(settings.rounds)]
    own = statistics.median(seconds)
    found = _select(method, volume, [grid[index]])
    pairs, avoided = found.pairs()
    peers = _seconds_per_pair(method, volume, settings.rounds)
    whole = _timed(lambda: _select(method, volume, grid))
    table = Table(
        f"{method}: {len(volume)} slices, {int(counts[index])} kept at {grid[index]:g}",
        ["tool", "seconds", "time ratio", "note"],
        rows=[["ctprune", number(own), "1", f"{pairs:,} pairs, {avoided:,} of them by a bound"]],
        raw=[{"tool": "ctprune", "seconds": seconds, "pairs": pairs, "avoided": avoided}],
        notes=[
            f"The others: median of a prepared pair × the {pairs:,} pairs of the plain rule.",
            f"--keep, all {len(grid)} thresholds in one pass: {number(whole)} s.",
        ],
    )
    for name, each in peers.items():
        total = each * pairs
        table.rows.append([name, number(total), number(total / own), f"{each * 1e3:.2f} ms per pair"])
        table.raw.append({"tool": name, "seconds_per_pair": each, "seconds": total})
    return table


def _seconds_per_pair(method: str, volume: Grays, rounds: int) -> dict[str, float]:
    a, b = volume[0], volume[9]
    if method == "mi":
        bins = [rivals.bins(one) for one in (a, b)]
        calls = {
            "scikit-image": lambda: normalized_mutual_information(a, b, bins=64),
            "numba histogram": lambda: rivals.compiled_histogram(*bins),
        }
    else:
        cached, loops = [rivals.OpenCv(one) for one in (a, b)], [rivals.Loops(one) for one in (a, b)]
        calls = {
            "scikit-image": lambda: structural_similarity(a, b, data_range=255),
            "OpenCV, maps cached": lambda: cached[0].ssim(cached[1]),
            "numba loops, maps cached": lambda: loops[0].ssim(loops[1]),
            "Fast-SSIM": lambda: rivals.fast_ssim(a, b),
        }
    return {name: statistics.median(_timed(call) for _ in range(4 * rounds + 1)) for name, call in calls.items()}


def _select(method: str, volume: Grays, thresholds: list[float]) -> _core.PixelSweep:
    """The selection of pixels that are in memory: as slices that another reader decoded."""
    sweep = _core.PixelSweep(
        method=method,
        window="uniform",
        thresholds=thresholds,
        intensity="minmax",
        modality="any",
        max_slice_mb=512,
        threads=1,
    )
    files = [("", number, one.size, True) for number, one in enumerate(volume)]
    sweep.add([files], lambda _, frames: [(volume[frame], 1.0, 0.0) for frame in frames], lambda _: None)
    if sweep.left_out():
        raise AssertionError(next(iter(sweep.left_out())))
    return sweep


def _timed(call: Any) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _check(found: float, expected: float, tolerance: float) -> None:
    if abs(found - expected) > tolerance:
        raise AssertionError(f"{found} is not {expected}")
