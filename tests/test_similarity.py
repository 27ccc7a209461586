"""SSIM and mutual information equal scikit-image's; selections by them follow the greedy rule, written plainly."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.metrics import normalized_mutual_information, structural_similarity

import ctprune
from ctprune import _core
from ctprune.selection.methods import METHODS
from ctprune.sweeping.by_pixels import COLUMNS, sweep_pixels
from tests.conftest import Cli
from tests.reference import slices as reference

GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


def pictures(count: int, rows: int, cols: int, seed: int, noise: int = 20) -> np.ndarray:
    """Discs that drift from slice to slice, with noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :cols]
    middle = np.cumsum(random.normal(0, 1.5, (count, 2)), axis=0) + np.array([rows / 2, cols / 2])
    discs = [np.hypot(y - down, x - along) < min(rows, cols) / 3 for down, along in middle]
    return (np.stack(discs) * 150 + random.integers(0, noise + 1, (count, rows, cols))).astype(np.uint8)


def ssim(a: np.ndarray, b: np.ndarray, **options: Any) -> float:
    return float(structural_similarity(a, b, data_range=255, **options))


def leader(count: int, similarity: Any, threshold: float) -> tuple[list[int], list[float]]:
    """The greedy rule, word for word, on similarities rounded to float32."""
    kept: list[int] = []
    exemplars: list[int] = []
    for row in range(count):
        near = (k for k in kept if np.float32(similarity(row, k)) >= threshold)
        exemplars.append(next(near, row))
        if exemplars[-1] == row:
            kept.append(row)
    return exemplars, kept


@settings(deadline=None, max_examples=40)
@given(st.integers(11, 70), st.integers(11, 70), st.integers(0, 255), st.integers(0, 2**32 - 1))
def test_pairs_equal_scikit_image(rows: int, cols: int, noise: int, seed: int) -> None:
    a, b = pictures(2, rows, cols, seed, min(noise, 100))
    assert ctprune.ssim(a, b) == pytest.approx(ssim(a, b), abs=1e-6)
    assert ctprune.ssim(a, b, window="gaussian") == pytest.approx(ssim(a, b, **GAUSSIAN), abs=1e-6)
    expected = normalized_mutual_information(a, b, bins=64)
    assert ctprune.mutual_information(a, b) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (3, 4), (17, 200), (0, 255), (100, 163), (9, 74)])
def test_bins_are_numpy_s(low: int, high: int) -> None:
    random = np.random.default_rng(low)
    a = random.integers(low, high + 1, (40, 50)).astype(np.uint8)
    b = random.integers(0, 256, (40, 50)).astype(np.uint8)
    b[:20] = a[:20]
    expected = normalized_mutual_information(a, b, bins=64)
    assert ctprune.mutual_information(a, b) == pytest.approx(expected, abs=1e-9)


def test_constant_slices() -> None:
    flat, other = np.full((20, 20), 7, np.uint8), np.full((20, 20), 9, np.uint8)
    ramp = np.arange(400, dtype=np.uint16).reshape(20, 20).astype(np.uint8)
    assert ctprune.ssim(flat, other) == pytest.approx(ssim(flat, other), abs=1e-6)
    assert ctprune.ssim(flat, ramp) == pytest.approx(ssim(flat, ramp), abs=1e-6)
    assert ctprune.mutual_information(flat, ramp) == 1
    assert ctprune.mutual_information(flat, other) == 2


def test_stacks_and_all_to_all() -> None:
    stack = pictures(70, 12, 15, 1)
    for function in (ctprune.ssim, ctprune.mutual_information):
        matrix = function(stack, stack[:40], all_to_all=True)
        assert matrix.shape == (70, 40)
        np.testing.assert_array_equal(function(stack[5:45], stack[:40]), matrix[5:45].diagonal())
        assert function(stack[69], stack[3]) == matrix[69, 3]
        assert function(stack[:0], stack[:0]).shape == (0,)
        assert function(stack[:0], stack, all_to_all=True).shape == (0, 70)
        assert np.allclose(function(stack, stack), 1 if function is ctprune.ssim else 2, atol=1e-7)


def test_wrong_arrays_say_what_was_expected() -> None:
    small, gray = np.zeros((6, 9), np.uint8), np.zeros((20, 20), np.uint8)
    with pytest.raises(ctprune.ConfigError, match="6 × 9 pixels, is smaller than the window of SSIM, 7 × 7"):
        ctprune.ssim(small, small)
    with pytest.raises(ctprune.ConfigError, match="window of SSIM, 11 × 11"):
        ctprune.ssim(small, small, window="gaussian")
    with pytest.raises(ctprune.ConfigError, match="window box: expected uniform or gaussian"):
        ctprune.ssim(gray, gray, window="box")
    with pytest.raises(ctprune.ConfigError, match="found int64 of shape"):
        ctprune.mutual_information(gray.astype(np.int64), gray)
    with pytest.raises(ctprune.ConfigError, match=r"one shape, found \(20, 20\) and \(6, 9\)"):
        ctprune.ssim(gray, small)
    with pytest.raises(ctprune.ConfigError, match="stacks of slices of one size"):
        ctprune.ssim(gray, gray, all_to_all=True)
    with pytest.raises(ctprune.ConfigError, match="at least one pixel"):
        ctprune.mutual_information(np.zeros((2, 0, 3), np.uint8), np.zeros((2, 0, 3), np.uint8))


@pytest.fixture(scope="module")
def volumes(archive: Path) -> tuple[list[dict[str, Any]], list[np.ndarray], dict[str, Any]]:
    """Rows of the phantom's slices, their gray pixels and the configuration."""
    manifest = ctprune.reduce(archive)
    rows = [row for row in manifest.rows.to_dicts() if row["status"] in ("kept", "dropped")]
    read = {}
    for volume in {row["volume"] for row in rows}:
        hu = ctprune.read_volume(archive, volume=volume).hu
        read[volume] = [reference.gray_by_minmax(one) for one in hu]
    return rows, [read[row["volume"]][row["slice_index"]] for row in rows], manifest.config


@pytest.mark.parametrize(
    ("options", "measure"),
    [
        ({"method": "ssim", "threshold": 0.7}, ssim),
        ({"method": "ssim", "threshold": 0.75, "window": "gaussian"}, lambda a, b: ssim(a, b, **GAUSSIAN)),
        ({"method": "mi", "threshold": 1.35}, lambda a, b: normalized_mutual_information(a, b, bins=64)),
    ],
)
def test_manifest_holds_the_greedy_rule_on_the_gray_pixels(
    archive: Path, volumes: Any, options: dict[str, Any], measure: Any
) -> None:
    rows, gray, _ = volumes
    found = ctprune.reduce(archive, **options).rows.to_dicts()[: len(rows)]
    cache: dict[tuple[int, int], float] = {}

    def similarity(i: int, j: int) -> float:
        if rows[i]["volume"] != rows[j]["volume"]:
            return -9.0
        if (i, j) not in cache:
            cache[i, j] = measure(gray[i], gray[j])
        return cache[i, j]

    expected, kept = leader(len(rows), similarity, options["threshold"])
    assert [row["exemplar"] for row in found] == expected
    assert len({row["volume"] for row in rows}) < len(kept) < len(rows)
    for number, row in enumerate(found):
        own = 2.0 if options["method"] == "mi" else 1.0
        value = own if expected[number] == number else cache[number, expected[number]]
        assert row["similarity"] == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("method", ["ssim", "mi"])
def test_one_pass_equals_a_selection_per_threshold(archive: Path, volumes: Any, method: str) -> None:
    rows, _, config = volumes
    lines = [
        [{name: row[name] for name in COLUMNS} for row in rows[start : start + 7]]
        for start in range(0, len(rows), 7)
    ]
    ticks: list[int] = []
    swept = sweep_pixels(lines, config, method=method, progress=ticks.append)
    assert ticks == sorted(ticks)
    assert ticks[-1] == len(rows)
    assert not swept.left_out
    counts = swept.sweep.kept_counts()
    for index in (0, 110, 150, 173, 190, 200):
        manifest = ctprune.reduce(archive, method=method, threshold=swept.thresholds[index], threads=1 + index % 3)
        table = manifest.rows.slice(0, len(rows))
        exemplar, similarity = swept.sweep.exemplars(index)
        assert table["exemplar"].tolist() == exemplar.tolist()
        assert table["similarity"].tolist() == similarity.tolist()
        kept = swept.sweep.kept(index)
        assert kept.tolist() == [status == "kept" for status in table["status"]]
        assert counts[index] == kept.sum()


def test_a_sweep_keeps_what_reduce_keeps(archive: Path, tmp_path: Path) -> None:
    ctprune.reduce(archive, out=tmp_path)
    result = ctprune.sweep(tmp_path, methods=["ssim", "mi"], thresholds={"ssim": [0.6, 0.8], "mi": [1.3, 1.4]})
    for method, expected in (("ssim", [0.8, 0.6]), ("mi", [1.4, 1.3])):
        thresholds, fractions = result.curve(method)
        assert list(thresholds) == expected
        for threshold, fraction in zip(thresholds, fractions, strict=True):
            counts = ctprune.reduce(archive, method=method, threshold=float(threshold)).counts()
            assert fraction == pytest.approx(counts["kept"] / (counts["kept"] + counts["dropped"]))
    with pytest.raises(ctprune.ConfigError, match="sweep it with `scope` volume"):
        ctprune.sweep(tmp_path, methods=["ssim"], scope="dataset")
    with pytest.raises(ctprune.ConfigError, match="expected a normalized mutual information, 1 to 2"):
        ctprune.sweep(tmp_path, methods=["mi"], thresholds={"mi": [0.5]})


def test_keep_takes_the_threshold_that_comes_nearest(archive: Path, volumes: Any, tmp_path: Path) -> None:
    rows, _, config = volumes
    for method in ("ssim", "mi"):
        grid = METHODS[method].measure.grid
        counts = sweep_pixels([rows], config, method=method).sweep.kept_counts()
        for fraction in (0.2, 0.5, 1.0):
            ctprune.reduce(archive, method=method, keep=fraction, out=tmp_path)
            summary = json.loads((tmp_path / "summary.json").read_text())
            nearest = min(abs(count - fraction * len(rows)) for count in counts)
            assert abs(summary["kept"] - fraction * len(rows)) == nearest
            assert counts[grid.index(summary["threshold"])] == summary["kept"]


def test_threads_do_not_change_a_byte(archive: Path, tmp_path: Path) -> None:
    for method in ("ssim", "mi"):
        found = set()
        for threads in (1, 2, 5):
            ctprune.reduce(archive, method=method, keep=0.3, out=tmp_path / f"{method}{threads}", threads=threads)
            found.add((tmp_path / f"{method}{threads}" / "manifest.parquet").read_bytes())
        assert len(found) == 1


def test_pictures_of_several_sizes_in_one_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    one, other = pictures(1, 30, 30, 1)[0], pictures(1, 30, 31, 1)[0]
    for name, picture in {"a": one, "b": other, "c": one, "d": other, "e": one[:6, :6], "f": one[:6, :6]}.items():
        Image.fromarray(picture).save(tmp_path / "in" / f"{name}.png")
    manifest = ctprune.reduce(tmp_path / "in", method="ssim", threshold=0.9, out=tmp_path / "run")
    assert manifest.rows["exemplar"].tolist() == [0, 1, 0, 1, 4, 5]
    left_out = json.loads((tmp_path / "run" / "summary.json").read_text())["comparisons"]["not_compared_so_kept"]
    assert list(left_out.values()) == [2]
    found = ctprune.reduce(tmp_path / "in", method="mi", threshold=1.9)
    assert found.rows["exemplar"].tolist() == [0, 1, 0, 1, 4, 4]


def test_a_slice_that_vanished_is_kept_and_counted(archive: Path, tmp_path: Path, cli: Cli) -> None:
    run = tmp_path / "run"
    copy = Path(shutil.copytree(archive, tmp_path / "in"))
    first = ctprune.reduce(copy, method="ssim", threshold=0.5, out=run)
    rows = [row for row in first.rows.to_dicts() if row["status"] in ("kept", "dropped")]
    config = first.config
    lines = [row | {"path": "gone.dcm"} if row["status"] == "dropped" else row for row in rows[:9]]
    swept = sweep_pixels([lines], config, method="ssim", thresholds=[0.5])
    assert sum(swept.left_out.values()) == sum(line["path"] == "gone.dcm" for line in lines) > 0
    assert swept.sweep.kept(0).all()


def test_slices_that_pydicom_read_are_compared_too(archive: Path, volumes: Any) -> None:
    rows, _, config = volumes
    foreign = [row | {"reader": "pydicom"} for row in rows[:8]]
    by_pydicom = sweep_pixels([foreign], config, method="ssim", thresholds=[0.7])
    by_rust = sweep_pixels([rows[:8]], config, method="ssim", thresholds=[0.7])
    for one, other in zip(by_pydicom.sweep.exemplars(0), by_rust.sweep.exemplars(0), strict=True):
        np.testing.assert_array_equal(one, other)


def test_ctrl_c_stops_a_pass(archive: Path, volumes: Any, tmp_path: Path) -> None:
    def stop(progress: ctprune.Progress) -> None:
        if progress.stage == "comparing":
            raise KeyboardInterrupt

    with pytest.raises(ctprune.Interrupted):
        ctprune.reduce(archive, method="ssim", keep=0.5, out=tmp_path, progress=stop)
    assert not (tmp_path / "manifest.parquet").exists()
    again = ctprune.reduce(archive, method="ssim", keep=0.5, out=tmp_path)
    assert again.rows == ctprune.reduce(archive, method="ssim", keep=0.5).rows


def test_nothing_to_select(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for method in ("ssim", "mi"):
        manifest = ctprune.reduce(tmp_path / "in", method=method, keep=0.5, out=tmp_path / "run")
        assert sum(manifest.counts().values()) == 0


def test_mistakes_are_one_sentence(cli: Cli, archive: Path) -> None:
    for options, sentence in (
        ({"method": "ssim"}, "needs `threshold`"),
        ({"method": "ssim", "threshold": 1.5}, "expected a mean SSIM, -1 to 1"),
        ({"method": "mi", "threshold": 0.9}, "expected a normalized mutual information, 1 to 2"),
        ({"method": "mi", "keep": 0.1, "window": "uniform"}, "window belongs to `method` ssim"),
        ({"method": "ssim", "keep": 0.1, "window": "box"}, "expected one of uniform, gaussian"),
        (
            {"method": "ssim", "keep": 0.1, "scope": "dataset"},
            "compare within volumes, or use `method` hash, ahash, phash, deep, semdedup or kcenter",
        ),
    ):
        with pytest.raises(ctprune.ConfigError, match=sentence):
            ctprune.reduce(archive, **options)
    with pytest.raises(ValueError, match="ascending thresholds"):
        sweep_pixels([], ctprune.ReduceConfig().to_dict(), method="ssim", thresholds=[0.5, 0.4])
    wrong = cli("reduce", archive, "--method", "mi", "--out", "run")
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stderr
    shown = cli("reduce", archive, "--method", "ssim", "--keep", "0.3", "--out", "run")
    assert shown.returncode == 0
    assert "threshold (mean SSIM)" in shown.stdout
    assert "pairs compared / settled by a bound" in shown.stdout


def test_indices_that_are_not_there_are_refused() -> None:
    swept = sweep_pixels([], ctprune.ReduceConfig().to_dict(), method="ssim", thresholds=[0.5])
    assert swept.sweep.kept_counts() == [0]
    with pytest.raises(ValueError, match="one of 1 thresholds, found 1"):
        swept.sweep.kept(1)
    with pytest.raises(ValueError, match="method hash: expected ssim or mi"):
        _core.PixelSweep(
            method="hash",
            window="uniform",
            thresholds=[0.5],
            intensity="minmax",
            modality="CT",
            max_slice_mb=1,
            threads=1,
        )
