"""Numbers, verdicts and what they count."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ctprune
from ctprune.comparison.comparison import compare_results
from ctprune.comparison.decisive import DECISIVE
from ctprune.comparison.verdict import Finding
from ctprune.errors import ConfigError, EvaluationError
from ctprune.evaluation.correction import holm
from ctprune.evaluation.delong import delong_test
from ctprune.evaluation.measured import measure
from ctprune.evaluation.metrics import classification_metrics
from tests.comparison.made_up import LABELS, of_one_way
from tests.results import CLASSES, predictions, write_result


def test_numbers_are_those_of_the_evaluation(three: list[Path]) -> None:
    found = ctprune.compare(three, resamples=300, seed=5)
    models = [result.probabilities for result in found.results]
    backbones = [result.backbones for result in found.results]
    # Random weights are drawn anew with each seed.
    assert [len(set(one)) for one in backbones] == [3, 1, 1]
    expected = measure(LABELS, models, CLASSES, pretrainings=backbones, resamples=300, seed=5)
    for index, measures in enumerate(found.measures):
        of_seeds = [classification_metrics(LABELS, p, CLASSES)["f1"] for p in models[index]]
        assert measures["f1"].mean == pytest.approx(np.mean(of_seeds))
        spread = np.std(of_seeds, ddof=1)
        assert (measures["f1"].std, measures["f1"].std_finetunings) == pytest.approx(
            (spread, np.nan) if index == 0 else (np.nan, spread), nan_ok=True
        )
        assert (measures["f1"].low, measures["f1"].high) == expected.interval(index, "f1")
    assert [(pair.run, pair.other) for pair in found.pairs] == [
        ("ft-none", "ft-all"),
        ("ft-none", "ft-hash"),
        ("ft-all", "ft-hash"),
    ]
    raw = [expected.difference(a, b, "auc").p_value() for a, b in [(0, 1), (0, 2), (1, 2)]]
    assert [pair.corrected for pair in found.pairs] == holm(raw).tolist()
    mean = [model.mean(axis=0)[:, 1] for model in models]
    tests = [delong_test(LABELS == 1, mean[a], mean[b]) for a, b in [(0, 1), (0, 2), (1, 2)]]
    assert [pair.delong[0].test.p_value for pair in found.pairs] == pytest.approx([one.p_value for one in tests])
    corrected = holm([test.p_value for test in tests])
    assert [pair.delong[0].corrected for pair in found.pairs] == pytest.approx(corrected)


def test_one_backbone_is_never_better(three: list[Path]) -> None:
    found = ctprune.compare(three)
    assert [pair.verdict for pair in found.pairs] == ["backbones", "backbones", "noise"]
    assert re.fullmatch(
        r"ft-all and ft-none: with these backbones the AUC differs by \+0\.\d{3} \[\+0\.\d{3}, \+0\.\d{3}\] "
        r"\(corrected p (= 0\.00\d|< 0\.001)\)\. This holds for these backbones alone: .* 4 more of "
        r"ft-all and 2 more of ft-none, with other seeds\.",
        found.pairs[0].sentence,
    )
    assert "with these backbones, " in found.pairs[2].sentence
    assert "is within the noise" in found.pairs[2].sentence
    assert any("Only one backbone for ft-all, ft-hash:" in note for note in found.notes)


def test_better_needs_five_pretrainings(tmp_path: Path) -> None:
    good = of_one_way(tmp_path / "good", [2.4, 2.5, 2.45, 2.5, 2.4], seed=10)
    poor = of_one_way(tmp_path / "poor", [0.3, 0.35, 0.3, 0.4, 0.35], seed=20)
    for count, said in ((2, "likely"), (4, "likely"), (5, "larger")):
        runs = [*good[:count], *poor[:count]]
        found = ctprune.compare(runs, names=["good"] * count + ["poor"] * count, resamples=100)
        assert [str(levels) for levels in found.levels] == [f"{count} × 2"] * 2
        assert found.pairs[0].verdict == said
        assert ("is better than" in found.pairs[0].sentence) == (said == "larger")
        assert any(f"good ({count}; {5 - count} more needed)" in note for note in found.notes) == (count < 5)
        if count < 5:
            assert f"{5 - count} more of good and {5 - count} more of poor" in found.pairs[0].sentence


def test_verdict_counts_what_pretrainings_vary_by(tmp_path: Path) -> None:
    """Two ways whose pre-trainings scatter widely about one mean, many fine-tunings each: no difference of ways.

    Counted as trainings of one kind, their fine-tunings show one.
    """
    first = of_one_way(tmp_path / "first", [0.9, 2.2, 1.9], seed=30, finetunings=8)
    second = of_one_way(tmp_path / "second", [1.5, 0.5, 0.7], seed=50, finetunings=8)
    names = ["first"] * 3 + ["second"] * 3
    found = ctprune.compare([*first, *second], names=names, resamples=100)
    assert found.pairs[0].verdict == "noise"
    results = [replace(result, backbones=("one",) * 24) for result in found.results]
    assert compare_results(results, resamples=100).pairs[0].verdict == "backbones"


def test_results_of_one_name_must_be_of_one_way(three: list[Path], tmp_path: Path) -> None:
    with pytest.raises(
        EvaluationError, match="two results are called 'x', but were not pre-trained with the same"
    ):
        ctprune.compare(three, names=["x", "x", "y"])
    other = of_one_way(tmp_path / "way", [1.0, 1.1], seed=1)
    metrics = json.loads((other[1] / "metrics.json").read_text())
    metrics["config"]["mode"] = "linear"
    (other[1] / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(EvaluationError, match="were not fine-tuned with the same options"):
        ctprune.compare([*other, three[0]], names=["x", "x", "y"])


def test_small_test_sets_have_no_verdict(tmp_path: Path) -> None:
    """Two patients, one of them ill: however large the difference, and although DeLong's test is not defined."""
    labels = np.r_[np.zeros(40, int), np.ones(24, int)]
    for patients_of_ill, interval in ((1, False), (8, True)):
        patients = [f"h{i // (4 if interval else 40)}" for i in range(40)]
        patients += [f"i{i * patients_of_ill // 24}" for i in range(24)]
        for name, skill in (("good", 2.5), ("bad", 0.0)):
            model = predictions(labels, skill=skill, seeds=3, seed=len(name))
            write_result(tmp_path / f"{name}-{patients_of_ill}", labels, model, patients=patients)
        pair = (
            found := ctprune.compare(
                [tmp_path / f"{name}-{patients_of_ill}" for name in ("good", "bad")],
                resamples=100,
                out=tmp_path / "out",
            )
        ).pairs[0]
        assert pair.verdict == "few"
        assert f"from {patients_of_ill} patient" in pair.sentence
        assert "it needs 10 of each class" in pair.sentence
        assert np.isfinite(pair.low) == interval
        assert np.isfinite(found.measures[0]["auc"].low) == interval
        assert any("no interval can be estimated" in note for note in found.notes) != interval
        assert "This test set is too small for a verdict." in (tmp_path / "out" / "comparison.html").read_text()


def test_no_noise_at_all_is_unclear() -> None:
    """A difference without any variance is a matter of too few images and trainings, never agreement."""
    finding = Finding(
        run="a",
        other="b",
        decisive=DECISIVE["classes"],
        value=0.5,
        low=0.5,
        high=0.5,
        corrected=float("nan"),
        detectable=0.0,
        pretrainings=(5, 5),
        patients=30,
        patients_of="of class ill",
        unit="patient",
    )
    assert finding.verdict == "unclear"
    assert "cannot be tested" in finding.sentence


def test_twenty_models_with_obvious_differences_are_told_apart(tmp_path: Path) -> None:
    """190 pairs: p-values have no floor at which a correction for so many ends."""
    runs, names = [], []
    for number in range(20):
        way = of_one_way(
            tmp_path / f"{number:02}", [0.2 if number % 2 else 3.0] * 5, seed=10 * number, finetunings=1
        )
        runs += way
        names += [f"model-{number:02}"] * 5
    pairs = ctprune.compare(runs, names=names, out=tmp_path / "out", resamples=100).pairs
    assert len(pairs) == 190
    assert "190 comparisons" in (tmp_path / "out" / "comparison.html").read_text()
    for pair in pairs:
        differ = int(pair.run[-2:]) % 2 != int(pair.other[-2:]) % 2
        assert (pair.verdict in ("larger", "smaller")) == differ, pair.sentence


@pytest.mark.parametrize("correction", ["holm", "benjamini-hochberg"])
def test_verdict_and_interval_agree(tmp_path: Path, correction: str) -> None:
    runs, names = [], []
    for number, skill in enumerate([0.8, 1.0, 1.2, 1.3, 1.5, 1.7]):
        way = of_one_way(tmp_path / str(number), skill + np.array([0, 0.1, -0.1, 0.05, -0.05]), seed=10 * number)
        runs += way
        names += [f"m{number}"] * 5
    pairs = ctprune.compare(runs, names=names, correction=correction, resamples=100).pairs
    assert {pair.verdict for pair in pairs} == {"smaller", "noise"}
    for pair in pairs:
        assert (pair.low <= 0 <= pair.high) == (pair.verdict == "noise"), pair.sentence
    # Row by row on the page, too: some would leave out 0 at 95 %, and are noise among so many.
    alone = [pair for pair in pairs if pair.differences["auc"].high < 0 and pair.verdict == "noise"]
    assert alone or correction == "benjamini-hochberg"


def test_equivalence_is_shown_and_not_taken_for_granted(tmp_path: Path) -> None:
    skills = np.array([1.0, 1.01, 0.99, 1.0, 1.005])
    runs = [
        run
        for name, seed in (("a", 1), ("b", 40))
        for run in of_one_way(tmp_path / name, skills.tolist(), seed=seed, images=2000, finetunings=4)
    ]
    for margin, shown in ((0.03, True), (0.001, False)):
        found = ctprune.compare(
            runs, names=["a"] * 5 + ["b"] * 5, margin=margin, resamples=100, out=tmp_path / "o"
        )
        equivalence = found.pairs[0].equivalence
        assert equivalence is not None
        assert equivalence.shown == shown
        said = "the two are equivalent" if shown else "is not shown"
        assert said in found.pairs[0].sentence
        assert said in (tmp_path / "o" / "comparison.html").read_text()
        # Where it is shown, the interval at 90 % lies within the margin.
        difference = found.pairs[0].differences["auc"]
        assert max(-difference.low, difference.high) < 0.03
    few = ctprune.compare([*runs[:2], *runs[5:7]], names=["a", "a", "b", "b"], margin=0.03, resamples=100)
    assert "equivalent" not in few.pairs[0].sentence


def test_planned_contrasts_alone_are_tested(three: list[Path]) -> None:
    every = ctprune.compare(three, resamples=100)
    planned = ctprune.compare(three, contrasts=[["ft-hash", "ft-all"]], resamples=100)
    assert [(pair.run, pair.other) for pair in planned.pairs] == [("ft-hash", "ft-all")]
    assert planned.pairs[0].level == 0.05
    assert planned.pairs[0].corrected <= every.pairs[2].corrected
    assert any("All 3 pairs were compared" in note for note in every.notes)
    assert not any("pairs were compared" in note for note in planned.notes)
    for contrasts, message in (
        ([["ft-hash", "best"]], "contrasts ft-hash,best: expected two of ft-none, ft-all, ft-hash, found best"),
        ([["ft-hash"]], "contrasts ft-hash: expected the names of two results"),
    ):
        with pytest.raises(ConfigError, match=message):
            ctprune.compare(three, contrasts=contrasts)
    with pytest.raises(ConfigError, match="`reference` and `contrasts` are mutually exclusive"):
        ctprune.compare(three, contrasts=[["ft-hash", "ft-all"]], reference="ft-all")


def test_patients_are_resampled_and_counted(tmp_path: Path) -> None:
    patients = [f"patient {i // 4}" for i in range(118)]
    for number in range(2):
        model = predictions(LABELS, skill=1 + number, seeds=2, seed=number)
        write_result(tmp_path / f"m{number}", LABELS, model, patients=patients)
    found = ctprune.compare([tmp_path / "m0", tmp_path / "m1"], out=tmp_path / "out", resamples=200)
    assert (found.unit, found.patients()) == ("patient", 30)
    assert not any("Patients are not known" in note for note in found.notes)
    written = "".join(file.read_text() for file in (tmp_path / "out").iterdir())
    assert "patient 1" not in written
    assert "30 patients" in written


def test_many_classes_have_a_test_each(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    labels = np.r_[0, 1, 2, random.integers(3, size=87)]
    for number in range(2):
        model = predictions(labels, skill=1 + number, seeds=2, seed=number, classes=3)
        write_result(tmp_path / f"m{number}", labels, model, classes=["liver", "kidney", "spleen"])
    found = ctprune.compare([tmp_path / "m0", tmp_path / "m1"], out=tmp_path / "out", resamples=200)
    assert [test.positive for test in found.pairs[0].delong] == ["liver", "kidney", "spleen"]
    assert found.averaged_auc == (None, None)
    assert "; kidney: " in (tmp_path / "out" / "table.md").read_text()


def test_what_weakens_the_result_is_said(tmp_path: Path) -> None:
    labels = np.array([1] * 20)
    write_result(tmp_path / "a", labels, predictions(labels, skill=1, seeds=1, seed=0), split="val")
    write_result(
        tmp_path / "b",
        labels,
        predictions(labels, skill=1, seeds=1, seed=1),
        split="val",
        config={"mode": "linear"},
    )
    found = ctprune.compare([tmp_path / "a", tmp_path / "b"], out=tmp_path / "out", resamples=200)
    text = "\n".join(found.notes)
    for part in (
        "all 20 images are of class 'COVID'",
        "Only one training for a, b",
        "'val' also chose the epoch",
        "same options",
    ):
        assert part in text
    assert found.pairs[0].verdict == "undefined"
    for name in "cd":
        model = predictions(LABELS, skill=1, seeds=1, seed=0)
        write_result(tmp_path / name, LABELS, model, split="val", selection_split="select")
    apart = ctprune.compare([tmp_path / "c", tmp_path / "d"], resamples=200)
    assert any("'val', not on a test set" in note for note in apart.notes)
    assert "not defined" in (tmp_path / "out" / "comparison.html").read_text()


def test_seeds_that_change_nothing_are_counted_once_and_said(tmp_path: Path) -> None:
    """A linear probe's seeds, for instance: its features and its optimum are the same each time."""
    for name in "ab":
        model = np.repeat(predictions(LABELS, skill=1, seeds=1, seed=ord(name)), 3, axis=0)
        config = {"mode": "linear", "backbone": "resnet18" if name == "a" else None}
        write_result(tmp_path / name, LABELS, model, config=config)
    found = ctprune.compare([tmp_path / "a", tmp_path / "b"], resamples=200)
    assert [str(levels) for levels in found.levels] == ["1 × 1", "1 × 1"]
    notes = found.notes
    assert any("Some trainings of a, b gave the same predictions: they count once." in note for note in notes)
    # The backbone comes with the weights: it is what is compared.
    assert not any("same options" in note for note in notes)
