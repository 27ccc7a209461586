"""Results of several labels, levels and numbers: the same questions as for classes, in their own measures."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sk

import ctprune
from ctprune.cli import main
from ctprune.comparison.pairs import Pair
from ctprune.comparison.verdict import signed
from ctprune.errors import ConfigError, EvaluationError
from ctprune.evaluation.delong import delong_test
from tests.comparison.made_up_targets import IMAGES, NAMES, TARGETS, predicted, result, true_labels, ways
from tests.printed import result_of
from tests.results import write_result

TITLES = {
    "multi-label": "AUC",
    "ordinal": "quadratic weighted kappa",
    "regression": "mean absolute error",
}
DECISIVE = {"multi-label": "auc", "ordinal": "quadratic_kappa", "regression": "mae"}


def by_sklearn(target: str, labels: np.ndarray, found: np.ndarray) -> float:
    if target == "multi-label":
        return float(sk.roc_auc_score(labels, found, average="macro"))
    if target == "regression":
        return float(sk.mean_absolute_error(labels, found))
    level = (found.cumsum(axis=1)[:, :-1] < 0.5).sum(axis=1)
    return float(sk.cohen_kappa_score(labels, level, weights="quadratic"))


@pytest.mark.parametrize("target", TARGETS)
def test_values_are_those_of_scikit_learn(tmp_path: Path, target: str) -> None:
    errors = {"a": 0.8, "b": 1.1}
    runs = [result(tmp_path / name, target, error=error, seed=ord(name)) for name, error in errors.items()]
    found = ctprune.compare(runs, out=tmp_path / "out", resamples=100)
    labels = true_labels(target)
    means = []
    for index, (name, error) in enumerate(errors.items()):
        models = predicted(target, labels, error=error, trainings=3, seed=ord(name))
        expected = [by_sklearn(target, labels, one) for one in models]
        measure = found.measures[index][DECISIVE[target]]
        assert measure.mean == pytest.approx(np.mean(expected))
        assert measure.std_finetunings == pytest.approx(np.std(expected, ddof=1))
        assert measure.low < measure.mean < measure.high
        means.append(measure.mean)
    pair = found.pairs[0]
    assert pair.differences[DECISIVE[target]].value == pytest.approx(means[0] - means[1])
    assert (found.unit, found.patients()) == ("patient", 60)
    about = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert (about["target"], about["decisive"]) == (target, DECISIVE[target])
    assert about["classes"] == list(NAMES[target])
    counted = {"multi-label": int(labels.sum()), "ordinal": IMAGES, "regression": 0}
    assert sum(about["images_by_class"].values()) == counted[target]


def test_delongs_test_is_made_for_each_label(tmp_path: Path) -> None:
    runs = [result(tmp_path / name, "multi-label", error=error, seed=1) for name, error in (("a", 0.8), ("b", 1))]
    found = ctprune.compare(runs, out=tmp_path / "out", resamples=100)
    labels = true_labels("multi-label")
    mean = [one.probabilities.mean(axis=0) for one in found.results]
    for column, test in enumerate(found.pairs[0].delong):
        expected = delong_test(
            labels[:, column], mean[0][:, column], mean[1][:, column], patients=found.results[0].patients
        )
        assert (test.positive, test.test) == (NAMES["multi-label"][column], expected)
    assert "; nodule: " in (tmp_path / "out" / "table.md").read_text()
    assert found.averaged_auc == (None, None)


def mirrored(pair: Pair, other: Pair, metric: str) -> None:
    assert (pair.run, pair.other) == (other.other, other.run)
    assert pair.differences[metric].value == pytest.approx(-other.differences[metric].value)
    assert (pair.low, pair.high) == pytest.approx((-other.high, -other.low))
    assert pair.corrected == pytest.approx(other.corrected)
    assert {pair.verdict, other.verdict} == {"larger", "smaller"}
    assert pair.sentence == other.sentence


@pytest.mark.parametrize("target", TARGETS)
def test_the_better_model_comes_first_whatever_the_order(tmp_path: Path, target: str) -> None:
    """Of errors the smaller is the better one: in the sentence, the table, and what is bold."""
    runs, names = ways(tmp_path, target, {"good": 0.3, "poor": 1.6})
    title = TITLES[target]
    found = ctprune.compare(runs, names=names, out=tmp_path / "out", resamples=100)
    pair = found.pairs[0]
    assert pair.verdict == ("smaller" if target == "regression" else "larger")
    value = pair.differences[DECISIVE[target]].value
    assert (value < 0) == (target == "regression")
    assert pair.sentence.startswith(f"good is better than poor: the difference in {title}, {signed(value)} [")
    table = (tmp_path / "out" / "table.md").read_text()
    [line] = [line for line in table.splitlines() if line.startswith("| good | poor |")]
    assert line.endswith("| better |")
    assert f"| Difference in {title} |" in table
    [row] = [line for line in table.splitlines() if line.startswith("| good | 900 |")]
    # The better model has every best mean.
    assert row.count("**") == 2 * len(found.metrics)
    mirrored(ctprune.compare(runs[::-1], names=names[::-1], resamples=100).pairs[0], pair, DECISIVE[target])


@pytest.mark.parametrize("target", TARGETS)
def test_the_table_says_who_is_ahead_and_who_is_behind(tmp_path: Path, target: str) -> None:
    runs, names = ways(tmp_path, target, {"good": 0.3, "poor": 1.6}, pretrainings=3)
    for order, said in ((1, "ahead"), (-1, "behind")):
        found = ctprune.compare(runs[::order], names=names[::order], out=tmp_path / "out", resamples=100)
        assert found.pairs[0].sentence.startswith("good is ahead of poor: ")
        assert f"| {said} (few pre-trainings) |" in (tmp_path / "out" / "table.md").read_text()
        assert f"<td>{said} (few pre-trainings)</td>" in (tmp_path / "out" / "comparison.html").read_text()


@pytest.mark.parametrize("target", TARGETS)
def test_pages_speak_of_what_was_measured(tmp_path: Path, target: str) -> None:
    runs = [result(tmp_path / name, target, error=error, seed=1) for name, error in (("a", 0.8), ("b", 0.85))]
    ctprune.compare(runs, out=tmp_path / "out", resamples=100, margin=0.5)
    page = (tmp_path / "out" / "comparison.html").read_text()
    shown = " ".join(re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL).split())
    assert "Positive class" not in shown
    assert not re.search(r"\bclass(es)?\b", shown)
    assert ("DeLong" in shown) == (target == "multi-label")
    assert ("A smaller mean absolute error is better." in shown) == (target == "regression")
    assert page.count("<figure") == (5 if target == "multi-label" else 4)
    needed = "10 patients with and without each label." if target == "multi-label" else "10 patients."
    assert f"“Better” needs 5 pre-trainings of each and {needed}" in shown
    said = {
        "multi-label": "60 patients (label edema: 32; label nodule: 54)",
        "ordinal": "60 patients (level none: 40; level mild: 40; level severe: 40)",
        "regression": "from 60 patients.",
    }
    assert said[target] in shown
    if target == "regression":
        assert "AUC" not in page
    tex = (tmp_path / "out" / "table.tex").read_text()
    assert f"Difference in {TITLES[target]}" in tex
    rows = [line for line in tex.splitlines() if line.endswith(r"\\")]
    assert len({line.count("&") for line in rows[:3]}) == len({line.count("&") for line in rows[3:]}) == 1


def test_a_margin_is_one_in_the_measure_that_decides(tmp_path: Path) -> None:
    runs, names = ways(tmp_path / "r", "regression", {"a": 1.0, "b": 1.0})
    found = ctprune.compare(runs, names=names, margin=5.0, resamples=100)
    assert found.pairs[0].equivalence is not None
    assert found.pairs[0].equivalence.shown
    assert (
        "The difference is smaller than ± 5.000: for this margin the two are equivalent" in found.pairs[0].sentence
    )
    for target, margin, message in (
        ("multi-label", 1.0, "margin 1: expected a difference in AUC below 1"),
        ("ordinal", 2.5, "margin 2.5: expected a difference in quadratic weighted kappa below 2"),
    ):
        two = [result(tmp_path / target / name, target, error=1, seed=ord(name)) for name in "ab"]
        with pytest.raises(ConfigError, match=message):
            ctprune.compare(two, margin=margin, resamples=100)


def test_too_few_patients_have_no_verdict(tmp_path: Path) -> None:
    """Patients on the rarer side of the rarest label; of numbers all patients."""
    nodules = np.r_[np.ones(8, int), np.zeros(32, int)]
    labels = np.stack([np.arange(40) % 2, nodules], axis=1)
    for name, error in (("a", 0.5), ("b", 2)):
        model = predicted("multi-label", labels, error=error, trainings=3, seed=ord(name))
        write_result(tmp_path / name, labels, model, classes=NAMES["multi-label"], target="multi-label")
    pair = ctprune.compare([tmp_path / "a", tmp_path / "b"], resamples=100).pairs[0]
    assert pair.verdict == "few"
    assert "from 8 images with label nodule; it needs 10 with and without each label." in pair.sentence
    numbers = np.arange(9.0)[:, None]
    for name in "cd":
        model = predicted("regression", numbers, error=1, trainings=3, seed=ord(name))
        write_result(tmp_path / name, numbers, model, classes=(), target="regression")
    pair = ctprune.compare([tmp_path / "c", tmp_path / "d"], out=tmp_path / "out", resamples=100).pairs[0]
    assert pair.verdict == "few"
    assert pair.sentence.endswith("from 9 images; it needs 10.")
    assert "This test set is too small for a verdict." in (tmp_path / "out" / "comparison.html").read_text()


def test_a_rare_level_leaves_no_interval_and_one_level_no_kappa(tmp_path: Path) -> None:
    for number, (labels, note, said) in enumerate(
        (
            (
                np.r_[np.arange(40) % 2, 2, 2],
                "2 images of level severe: no interval can be estimated",
                "unclear. The",
            ),
            (
                np.zeros(42, int),
                "no image of level mild; nothing was tested",
                "the quadratic weighted kappa is not defined, because all true and predicted levels are the same.",
            ),
        )
    ):
        for name in "ab":
            model = predicted("ordinal", labels, error=0.1, trainings=2, seed=ord(name))
            write_result(tmp_path / f"{name}{number}", labels, model, classes=NAMES["ordinal"], target="ordinal")
        found = ctprune.compare([tmp_path / f"a{number}", tmp_path / f"b{number}"], resamples=100)
        assert said in found.pairs[0].sentence
        assert any(one.startswith(note) for one in found.notes)


def test_a_label_that_all_have_is_named(tmp_path: Path) -> None:
    labels = np.stack([np.ones(40, int), np.arange(40) % 2], axis=1)
    for name in "ab":
        model = predicted("multi-label", labels, error=1, trainings=2, seed=ord(name))
        write_result(tmp_path / name, labels, model, classes=NAMES["multi-label"], target="multi-label")
    found = ctprune.compare([tmp_path / "a", tmp_path / "b"], out=tmp_path / "out", resamples=100)
    assert found.notes[0] == "all images have label 'edema': it is left out of the means over labels"
    assert [test.positive for test in found.pairs[0].delong] == ["nodule"]
    labels[:, 1] = 0
    for name in "ab":
        write_result(tmp_path / name, labels, model, classes=NAMES["multi-label"], target="multi-label")
    found = ctprune.compare([tmp_path / "a", tmp_path / "b"], out=tmp_path / "out", resamples=100)
    reason = "the AUC is not defined, because all images have the same labels."
    assert found.pairs[0].sentence == f"a and b: {reason}"
    assert "not defined: all images have the same labels" in (tmp_path / "out" / "comparison.html").read_text()


def test_other_targets_labels_and_levels_are_refused(tmp_path: Path) -> None:
    runs = {target: result(tmp_path / target, target, error=1, seed=0) for target in TARGETS}
    with pytest.raises(EvaluationError, match="have different targets, ordinal and regression: only results with"):
        ctprune.compare([runs["ordinal"], runs["regression"]])
    turned = result(tmp_path / "turned", "ordinal", error=1, seed=1, classes=("severe", "mild", "none"))
    with pytest.raises(
        EvaluationError, match="have different levels: none, mild, severe against severe, mild, none"
    ):
        ctprune.compare([runs["ordinal"], turned])
    numbers = true_labels("regression") + np.r_[1.0, np.zeros(IMAGES - 1)][:, None]
    model = predicted("regression", numbers, error=1, trainings=1, seed=0)
    patients = [f"patient-{number // 2:04d}" for number in range(IMAGES)]
    other = write_result(tmp_path / "other", numbers, model, classes=(), target="regression", patients=patients)
    with pytest.raises(EvaluationError, match="same images, but 1 of them have different labels"):
        ctprune.compare([runs["regression"], other])


@pytest.mark.parametrize(
    ("target", "spoiled", "message"),
    [
        ("multi-label", {"classes": ("edema", "cyst")}, "label 'nodule' is none of the labels edema, cyst"),
        (
            "ordinal",
            {"classes": ("none", "mild", "grave")},
            "label 'severe' is none of the levels none, mild, grave",
        ),
    ],
)
def test_labels_without_a_name_are_refused(
    tmp_path: Path, target: str, spoiled: dict[str, tuple[str, ...]], message: str
) -> None:
    import pyarrow.parquet as pq

    file = result(tmp_path / "a", target, error=1, seed=0) / "predictions.parquet"
    table = pq.read_table(file)
    metadata = json.loads(table.schema.metadata[b"ctprune"]) | {"classes": list(spoiled["classes"])}
    pq.write_table(table.replace_schema_metadata({"ctprune": json.dumps(metadata)}), file)
    with pytest.raises(EvaluationError, match=message):
        ctprune.compare([tmp_path / "a", tmp_path / "a" / ".." / "a"], names=["a", "b"])


@pytest.mark.parametrize("what", ["predictions", "labels"])
def test_numbers_that_are_none_are_refused(tmp_path: Path, what: str) -> None:
    numbers = true_labels("regression")
    model = predicted("regression", numbers, error=1, trainings=1, seed=0)
    (model if what == "predictions" else numbers[None])[0, 3] = np.inf
    write_result(tmp_path / "a", numbers, model, classes=(), target="regression")
    with pytest.raises(EvaluationError, match=f"predictions.parquet: expected finite numbers as {what}, found"):
        ctprune.compare([tmp_path / "a", tmp_path / "b"], names=["a", "b"])


def test_a_target_of_another_version_is_refused(tmp_path: Path) -> None:
    file = result(tmp_path / "a", "ordinal", error=1, seed=0) / "metrics.json"
    file.write_text(file.read_text().replace('"ordinal"', '"survival"'))
    with pytest.raises(
        EvaluationError, match=r"expected a `target` of classes, .*, found survival: it may be of a"
    ):
        ctprune.compare([tmp_path / "a", tmp_path / "b"], names=["a", "b"])


def test_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [result(tmp_path / name, "multi-label", error=1, seed=ord(name)) for name in "ab"]

    def printed(*arguments: object) -> str:
        monkeypatch.setattr(
            "sys.argv", ["ctprune", "compare", *map(str, [*runs, "--out", tmp_path / "out", *arguments])]
        )
        with pytest.raises(SystemExit) as left:
            main()
        assert not left.value.code
        return capsys.readouterr().out

    said = printed("--resamples", 100)
    assert "average precision" in said
    assert "the difference in AUC with these backbones" in said
    found = result_of("compare", printed("--resamples", 100, "--margin", 0.1, "--json"))
    assert found == json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert (found["target"], found["decisive"], found["positive"]) == ("multi-label", "auc", None)
