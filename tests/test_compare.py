from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ctprune
from ctprune.errors import ConfigError, EvaluationError, SourceError
from ctprune.evaluation.bootstrap import bootstrap
from ctprune.evaluation.correction import holm
from ctprune.evaluation.delong import delong_test
from ctprune.evaluation.metrics import classification_metrics
from tests.conftest import Cli
from tests.results import CLASSES, predictions, write_result

LABELS = np.random.default_rng(0).permutation(np.r_[np.ones(60, int), np.zeros(58, int)])
NOISE = np.random.default_rng(1).normal(size=(118, 2))


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A poor model without pre-training and two good ones that hardly differ."""
    folder = tmp_path_factory.mktemp("results")
    models = {
        "ft-none": (0.5, None),
        "ft-all": (1.5, {"slices": 3481, "seconds": 1900.0}),
        "ft-hash": (1.52, {"slices": 1200, "seconds": 640.0}),
    }
    for number, (name, (skill, weights)) in enumerate(models.items()):
        model = predictions(LABELS, skill=skill, seeds=3, seed=number, shared=NOISE)
        write_result(folder / name, LABELS, model, weights=weights)
    return [folder / name for name in models]


def test_numbers_are_those_of_the_evaluation(three: list[Path]) -> None:
    found = ctprune.compare(three, resamples=300, seed=5)
    models = [result.probabilities for result in found.results]
    expected = bootstrap(LABELS, models, CLASSES, resamples=300, seed=5)
    for index, measures in enumerate(found.measures):
        of_seeds = [classification_metrics(LABELS, p, CLASSES)["f1"] for p in models[index]]
        assert measures["f1"].mean == pytest.approx(np.mean(of_seeds))
        assert measures["f1"].std == pytest.approx(np.std(of_seeds, ddof=1))
        assert measures["f1"].low == expected.interval(index, "f1").low
    assert [(pair.run, pair.other) for pair in found.pairs] == [
        ("ft-none", "ft-all"),
        ("ft-none", "ft-hash"),
        ("ft-all", "ft-hash"),
    ]
    raw = [expected.difference(a, b, "auc").p_value for a, b in [(0, 1), (0, 2), (1, 2)]]
    assert [pair.corrected for pair in found.pairs] == holm(raw).tolist()
    mean = [model.mean(axis=0)[:, 1] for model in models]
    tests = [delong_test(LABELS == 1, mean[a], mean[b]) for a, b in [(0, 1), (0, 2), (1, 2)]]
    assert [pair.delong[0].test for pair in found.pairs] == tests
    assert [pair.delong[0].corrected for pair in found.pairs] == holm([test.p_value for test in tests]).tolist()


def test_it_says_what_is_noise(three: list[Path]) -> None:
    pairs = ctprune.compare(three).pairs
    assert [pair.verdict for pair in pairs] == ["smaller", "smaller", "noise"]
    assert re.fullmatch(
        r"ft-all is better than ft-none: the difference in AUC, \+0\.\d{3} \[\+0\.\d{3}, \+0\.\d{3}\], is larger "
        r"than the noise \(corrected p = 0\.00\d\)\.",
        pairs[0].sentence,
    )
    assert "is within the noise" in pairs[2].sentence


def test_models_of_pure_chance_are_rarely_called_different(tmp_path: Path) -> None:
    """The error rate holds: of 60 comparisons of equal models at most a few are called different."""
    from ctprune.comparison.comparison import compare_results
    from ctprune.comparison.result import load_result

    false_alarms = 0
    for number in range(20):
        folders = [
            write_result(
                tmp_path / f"{number}-{model}",
                LABELS,
                predictions(LABELS, skill=1.0, seeds=3, seed=10 * number + model),
            )
            for model in range(3)
        ]
        found = compare_results([load_result(folder) for folder in folders], resamples=300)
        false_alarms += any(pair.verdict in ("larger", "smaller") for pair in found.pairs)
    # Binomial(20, 0.05) exceeds 4 with a probability of 0.3 %; the seeds are fixed.
    assert false_alarms <= 4


def test_files_are_written_and_the_same_each_time(three: list[Path], tmp_path: Path) -> None:
    for name in "ab":
        ctprune.compare(three, out=tmp_path / name, resamples=200)
    names = ["comparison.html", "comparison.json", "table.md", "table.tex"]
    assert sorted(file.name for file in (tmp_path / "a").iterdir()) == names
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    found = json.loads((tmp_path / "a" / "comparison.json").read_text())
    assert found["images_by_class"] == {"NonCOVID": 58, "COVID": 60}
    assert [run["slices"] for run in found["runs"]] == [0, 3481, 1200]
    assert found["pairs"][2]["verdict"] == "noise"
    table = (tmp_path / "a" / "table.md").read_text()
    assert table.count("| ft-hash |") == 3
    tex = (tmp_path / "a" / "table.tex").read_text()
    assert tex.count(r"\begin{tabular}") == tex.count(r"\end{tabular}") == 2
    assert all(line.count("&") == 12 for line in tex.splitlines()[3:8] if line.endswith(r"\\"))


def test_page_is_self_contained_and_names_no_image(three: list[Path], tmp_path: Path) -> None:
    ctprune.compare(three, out=tmp_path, resamples=200, title="All <slices> & fewer")
    page = (tmp_path / "comparison.html").read_text()
    assert "<title>All &lt;slices&gt; &amp; fewer</title>" in page
    assert not re.search(r"""(src|href)=["'](?!#|data:)""", page.replace("xlink:href", "href"))
    assert "image-0" not in page + (tmp_path / "comparison.json").read_text()
    assert page.count("<figure") == 5
    assert "within the noise" in page
    # Each mark of the figures has become a colour of the page.
    assert "#0b2d0" not in page
    assert "#0b1c0" not in page


def test_long_names_have_room_in_the_figures(three: list[Path], tmp_path: Path) -> None:
    names = [f"{first}-{'x' * 80}-{last}" for first, last in ("ab", "cd", "ef")]
    ctprune.compare(three, names=names, out=tmp_path, resamples=200)
    page = (tmp_path / "comparison.html").read_text()
    drawn = re.findall(r">([^<>]*…[^<>]*)</text>", page)
    assert len(drawn) >= 9
    assert all(len(text) <= 64 for text in drawn)
    assert {text[0] + text[-1] for text in drawn if "−" not in text} == {"ab", "cd", "ef"}


def test_names_and_reference(three: list[Path]) -> None:
    found = ctprune.compare(three, names=["none", "all", "hash"], reference="all", resamples=200)
    assert [(pair.run, pair.other) for pair in found.pairs] == [("none", "all"), ("hash", "all")]
    with pytest.raises(ConfigError, match="--reference best: expected one of none, all, hash"):
        ctprune.compare(three, names=["none", "all", "hash"], reference="best")
    with pytest.raises(ConfigError, match="expected one for each of 3 results, found 1"):
        ctprune.compare(three, names=["none"])
    with pytest.raises(EvaluationError, match="two results are called 'x'"):
        ctprune.compare(three, names=["x", "x", "y"])


def test_folders_of_one_name_are_told_apart(three: list[Path], tmp_path: Path) -> None:
    for parent in "ab":
        shutil.copytree(three[0], tmp_path / parent / "ft")
    found = ctprune.compare([tmp_path / "a" / "ft", tmp_path / "b" / "ft"], resamples=200)
    assert [result.name for result in found.results] == ["a/ft", "b/ft"]
    # Equal models: no difference at all.
    assert (found.pairs[0].differences["auc"].value, found.pairs[0].verdict) == (0, "noise")


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
        "One seed only for a, b",
        "'val' chose the epoch",
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


def test_seeds_that_change_nothing_are_said(tmp_path: Path) -> None:
    """A linear probe's seeds, for instance: its features and its optimum are the same each time."""
    for name in "ab":
        model = np.repeat(predictions(LABELS, skill=1, seeds=1, seed=ord(name)), 3, axis=0)
        config = {"mode": "linear", "backbone": "resnet18" if name == "a" else None}
        write_result(tmp_path / name, LABELS, model, config=config)
    notes = ctprune.compare([tmp_path / "a", tmp_path / "b"], resamples=200).notes
    assert any("The seeds of a, b gave the same predictions" in note for note in notes)
    # The backbone comes with the weights: it is what is compared.
    assert not any("same options" in note for note in notes)


def spoil(folder: Path, kind: str) -> None:
    if kind == "no metrics":
        (folder / "metrics.json").unlink()
    elif kind == "broken metrics":
        (folder / "metrics.json").write_text("{")
    elif kind == "old metrics":
        (folder / "metrics.json").write_text('{"metrics_version": 0}')
    elif kind == "truncated predictions":
        data = (folder / "predictions.parquet").read_bytes()
        (folder / "predictions.parquet").write_bytes(data[: len(data) // 2])
    elif kind == "no predictions":
        (folder / "predictions.parquet").unlink()
    else:
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("no metrics", "expected a finished result of 'ctprune finetune', found no metrics.json"),
        ("broken metrics", "metrics.json: expected the measures"),
        ("old metrics", "metrics.json: expected version 1, found 0"),
        ("truncated predictions", "predictions.parquet: expected predictions written by"),
        ("no predictions", "predictions.parquet: expected predictions, found no such file"),
        ("no folder", "no such folder"),
    ],
)
def test_bad_folders_are_refused(three: list[Path], tmp_path: Path, kind: str, message: str) -> None:
    shutil.copytree(three[1], tmp_path / "bad")
    spoil(tmp_path / "bad", kind)
    with pytest.raises((EvaluationError, SourceError), match=message):
        ctprune.compare([three[0], tmp_path / "bad"], out=tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_other_test_sets_are_refused(three: list[Path], tmp_path: Path) -> None:
    model = predictions(LABELS, skill=1, seeds=1, seed=0)
    other = write_result(tmp_path / "images", LABELS, model, images=[f"image-{i + 18:04}.png" for i in range(118)])
    with pytest.raises(EvaluationError, match="18 only in the first, 18 only in the second, 100 in both"):
        ctprune.compare([three[0], other])
    relabelled = write_result(tmp_path / "labels", np.r_[1 - LABELS[0], LABELS[1:]], model)
    with pytest.raises(EvaluationError, match="same images, but 1 of them have other labels"):
        ctprune.compare([three[0], relabelled])
    renamed = write_result(tmp_path / "classes", LABELS, model, classes=["a", "b"])
    with pytest.raises(EvaluationError, match="have other classes: NonCOVID, COVID against a, b"):
        ctprune.compare([three[0], renamed])
    with pytest.raises(EvaluationError, match="expected two or more results to compare, found 1"):
        ctprune.compare(three[:1])


def test_command_line(three: list[Path], tmp_path: Path, cli: Cli) -> None:
    result = cli("compare", *three, "--out", tmp_path / "out", "--resamples", "200")
    assert result.returncode == 0
    assert "ft-none" in result.stdout
    assert "is within the noise" in result.stdout
    as_json = cli("compare", *three, "--out", tmp_path / "out", "--resamples", "200", "--json")
    assert json.loads(as_json.stdout) == json.loads((tmp_path / "out" / "comparison.json").read_text())
    unfinished = cli("compare", three[0], tmp_path, "--out", tmp_path / "out")
    assert (unfinished.returncode, unfinished.stderr.count("\n")) == (1, 1)
    assert "found no metrics.json" in unfinished.stderr
    wrong = cli("compare", *three)
    assert (wrong.returncode, "--out is missing" in wrong.stderr) == (2, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"correction": "none"}, "--correction none: expected one of holm"),
        ({"resamples": 5}, "--resamples 5: expected 100 to"),
    ],
)
def test_options_out_of_range_are_refused(three: list[Path], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ctprune.compare(three, **options)


def test_a_folder_given_twice_is_refused(three: list[Path]) -> None:
    with pytest.raises(ConfigError, match="a result is named twice"):
        ctprune.compare([three[0], three[0]])
