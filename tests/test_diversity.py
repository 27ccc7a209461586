"""Diversity of kept slices: equal to the definitions word for word, with a page that shows it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import ctprune
from ctprune.sweeping.diversity import SAMPLE, DiversityMeasures, spectral
from ctprune.sweeping.slices import SweptSlices


def exponential_entropy(values: npt.NDArray[np.float64]) -> float:
    shares = values[values > 1e-9] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def vendi_score(unit: npt.NDArray[np.float32]) -> float:
    """From the matrix of similarities over n, as Friedman and Dieng define it."""
    similarity = unit.astype(np.float64) @ unit.astype(np.float64).T
    return exponential_entropy(np.linalg.eigvalsh(similarity / len(unit)).astype(np.float64))


@pytest.mark.parametrize("shape", [(5, 64), (200, 16), (30, 30)])
def test_spectral_measures_are_their_definitions(shape: tuple[int, int]) -> None:
    unit = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    rank, vendi = spectral(unit, np.ones(len(unit)))
    assert vendi == pytest.approx(vendi_score(unit), rel=1e-4)
    assert rank == pytest.approx(exponential_entropy(np.linalg.svd(unit.astype(np.float64))[1]), rel=1e-3)
    # A vector that counts twice is there twice.
    weights = np.random.default_rng(2).integers(0, 3, len(unit))
    again = spectral(np.repeat(unit, weights, axis=0), np.ones(weights.sum()))
    assert spectral(unit, weights.astype(np.float64)) == pytest.approx(again, rel=1e-4)


def test_copies_add_no_diversity() -> None:
    one = np.eye(8, dtype=np.float32)[:3]
    assert spectral(one, np.ones(3)) == pytest.approx((3, 3))
    assert spectral(np.tile(one, (4, 1)), np.ones(12)) == pytest.approx((3, 3))
    assert spectral(one[[0, 0, 0]], np.ones(3)) == pytest.approx((1, 1))


@pytest.fixture(scope="module")
def run(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("diversity") / "run"
    ctprune.reduce(archive, out=out)
    return out


def test_measures_of_a_selection(run: Path) -> None:
    slices = SweptSlices.load(run, None)
    kept = np.arange(len(slices)) % 3 == 0
    found = DiversityMeasures(slices, run).of(kept)
    bits = np.unpackbits(slices.fingerprints[kept], axis=1).astype(np.float32)
    unit = ((bits * 2 - 1) / 8).astype(np.float32)
    assert found.vendi_score.value == pytest.approx(vendi_score(unit), rel=1e-4)
    distance = (bits[:, np.newaxis] != bits[np.newaxis]).sum(axis=2) / 32
    np.fill_diagonal(distance, np.inf)
    nearest = np.sort(distance.min(axis=1))
    assert found.nearest.value == pytest.approx(nearest[(len(nearest) - 1) // 2], abs=1e-6)
    rows = slices.rows.to_dicts()
    for name, column in (("kernel", "convolution_kernel"), ("thickness", "slice_thickness_mm")):
        values = [row[column] for row in rows]
        some = {value for value, is_kept in zip(values, kept, strict=True) if is_kept}
        assert found.coverage[name].value == len(some) / len(set(values))
    for estimate in (*found[:3], *found.coverage.values()):
        assert 0 <= estimate.low <= estimate.value <= estimate.high
    assert found.effective_rank.low < found.effective_rank.high
    assert DiversityMeasures(slices, run).of(kept) == found
    assert DiversityMeasures(slices, run).of(np.ones(len(slices), np.bool_)).coverage == dict.fromkeys(
        ("scanner", "kernel", "thickness", "body position"), (1.0, 1.0, 1.0)
    )


def test_intervals_of_coverage_are_those_of_a_plain_loop(run: Path) -> None:
    slices = SweptSlices.load(run, None)
    # Half of the volumes, and of these the first third of the slices.
    kept = (slices.volume % 2 == 0) & (slices.slice_index < 8)
    found = DiversityMeasures(slices, run, seed=3).of(kept).coverage
    rows, rng = slices.rows.to_dicts(), np.random.default_rng(3)
    length = [np.sum(slices.volume == volume) for volume in range(slices.volumes)]
    of = {
        "scanner": [(row["manufacturer"], row["manufacturer_model_name"]) for row in rows],
        "kernel": [row["convolution_kernel"] for row in rows],
        "thickness": [row["slice_thickness_mm"] for row in rows],
        "body position": [
            (volume, 10 * index // length[volume])
            for volume, index in zip(slices.volume, slices.slice_index, strict=True)
        ],
    }
    drawn = [set(rng.integers(0, slices.volumes, slices.volumes).tolist()) for _ in range(200)]
    assert found.keys() == of.keys()
    for name, values in of.items():
        shares = []
        for volumes in drawn:
            here = [(value, is_kept) for value, is_kept, volume in zip(values, kept, slices.volume, strict=True)
                    if volume in volumes]  # fmt: skip
            shares.append(len({value for value, is_kept in here if is_kept}) / len({value for value, _ in here}))
        value = len({one for one, is_kept in zip(values, kept, strict=True) if is_kept}) / len(set(values))
        reach = 1.959964 * np.std(shares, ddof=1)
        assert found[name] == pytest.approx((value, max(value - reach, 0), min(value + reach, 1)))
    assert 0 < found["body position"].low < found["body position"].high < 1


def test_few_features_and_many_take_the_same_resamples(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slices = SweptSlices.load(run, None)
    kept = np.arange(len(slices)) % 4 == 1
    found = DiversityMeasures(slices, run).of(kept)
    monkeypatch.setattr("ctprune.sweeping.diversity._FEW_FEATURES", 1)
    other = DiversityMeasures(slices, run).of(kept)
    np.testing.assert_allclose(np.array(other[:3]), np.array(found[:3]), rtol=1e-3)


def test_a_large_selection_is_sampled(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert SAMPLE == 1024
    monkeypatch.setattr("ctprune.sweeping.diversity.SAMPLE", 20)
    slices = SweptSlices.load(run, None)
    found = DiversityMeasures(slices, run).of(np.ones(len(slices), np.bool_))
    assert found.vendi_score.value <= 20


def test_the_sweep_has_a_page_with_all_methods(run: Path) -> None:
    swept = ctprune.sweep(run, methods=["hash", "kcenter"], thresholds={"kcenter": [0, 4, 8, 12, 16]}, out=run)
    rows = swept.about["diversity"]
    assert [row["method"] for row in rows if row["keep"] == 0.1] == ["hash", "kcenter", "every-n", "random"]
    targets = {(target["method"], target["keep"]): target["kept"] for target in swept.targets}
    assert all(row["kept"] == targets[row["method"], row["keep"]] for row in rows if not row["is_control"])
    assert ctprune.Sweep.load(run).about["diversity"] == rows
    page = (run / "diversity.html").read_text()
    for text in (
        "Measured on fingerprints",
        "Reported, not optimized",
        "About 10 % kept",
        "<td>kcenter<td>",
        "Vendi",
    ):
        assert text in page
    assert "http" not in page.replace("http-equiv", "")
    assert "/" + run.parent.name not in page


def test_the_report_shows_the_run_beside_random_slices(run: Path) -> None:
    from ctprune.report.diversity import diversity_of
    from ctprune.report.run_slices import load_run

    slices = load_run(run)
    table = diversity_of(slices)
    assert table is not None
    assert table.features == "fingerprints"
    expected = DiversityMeasures(slices, run, sample=256).of(slices.kept)
    assert table.kept == expected
    random = np.zeros(len(slices), np.bool_)
    random[np.argsort(np.random.PCG64(0).random_raw(len(slices)))[: slices.kept.sum()]] = True
    assert table.random == DiversityMeasures(slices, run, sample=256).of(random) != table.kept
    page = ctprune.write_report(run).path.read_text()
    section = page[page.index('<section id="diversity">') :]
    section = section[: section.index("</section>")]
    assert f"{expected.vendi_score.value:.3g} (" in section
    assert "As many random ones" in section
    assert "Body position covered" in section
