"""Several labels and ordered levels: heads, losses and probes against plain loops, from table to prediction."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from jsonschema import Draft202012Validator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, cohen_kappa_score, roc_auc_score

import ctprune
from ctprune.cli import main
from ctprune.cli.schemas import json_schema
from ctprune.comparison.comparison import compare_results
from ctprune.comparison.result import load_result
from ctprune.finetuning.config import FinetuneConfig
from ctprune.finetuning.heads import load_head, save_head
from ctprune.finetuning.probes import STRENGTHS
from ctprune.finetuning.result import FinetuneResult
from ctprune.finetuning.sampling import sample_part
from ctprune.finetuning.target_heads import LabelHead, LevelHead
from ctprune.finetuning.target_probes import label_probe, level_probe
from ctprune.finetuning.target_training import TargetTraining
from ctprune.finetuning.training import TrainingSet
from ctprune.networks.gray_backbone import GrayBackbone, Normalization
from ctprune.tasks import list_task
from ctprune.tasks.targets import targets_of
from tests.finetuning.small import SMALL
from tests.labeled import write
from tests.printed import result_of

LABELS = ["", "nodule", "edema", "edema; nodule"]
LEVELS = ["none", "mild", "severe"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 patients with a picture each, half of them in test: columns `found`, `grade` and `site`."""
    folder = tmp_path_factory.mktemp("labels")
    rows = [["path", "found", "grade", "patient", "split", "site"]]
    for number in range(48):
        write(folder / f"{number:02d}.png", number % 4 in (1, 3), number)
        split = "test" if number >= 24 else "val" if number >= 12 else "train"
        rows.append(
            [
                f"{number:02d}.png",
                LABELS[number % 4],
                LEVELS[number % 3],
                f"p{number}",
                split,
                "ab"[number // 12 % 2],
            ]
        )
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / "labels.csv"


def run(table: Path, out: Path, weights: Path, target: str, mode: str) -> FinetuneResult:
    options: dict[str, Any] = SMALL | {"positive": None, "target": target, "mode": mode, "weights": weights}
    options |= {"epochs": 2, "frozen_epochs": 1} if mode == "finetune" else {}
    if target == "ordinal":
        options |= {"levels": LEVELS, "label_column": "grade"}
    else:
        options |= {"label_column": "found"}
    options |= {"subgroup_columns": ["site"]} if mode == "linear" else {}
    return ctprune.finetune(table, out=out, seeds=2 if mode == "finetune" else 1, **options)


def rows_of(out: Path, result: FinetuneResult) -> list[tuple[int, list[dict[str, Any]]]]:
    about = json.loads((out / "metrics.json").read_text())
    assert about == FinetuneResult.load(out).to_dict()
    Draft202012Validator(json_schema("finetune")["properties"]["result"]).validate(about)
    rows = [row for row in pq.read_table(out / "predictions.parquet").to_pylist() if row["split"] == "test"]
    return [(n, [row for row in rows if row["seed"] == one["seed"]]) for n, one in enumerate(result.per_seed)]


def check_comparison(out: Path, result: FinetuneResult) -> None:
    """What a comparison reads and measures is what the fine-tuning found."""
    read = load_result(out, name="a")
    assert read.classes == tuple(result.classes)
    assert read.probabilities.shape == (len(result.per_seed), 24, len(result.classes))
    found = compare_results([read, replace(read, name="b")], resamples=100)
    for name, pooled in result.pooled.items():
        assert found.measures[0][name].mean == pytest.approx(pooled["mean"], nan_ok=True), name
    assert found.metrics == tuple(result.pooled)


@pytest.mark.parametrize("mode", ["finetune", "linear", "knn"])
def test_several_labels_from_table_to_prediction(table: Path, weights: Path, tmp_path: Path, mode: str) -> None:
    result = run(table, tmp_path / "ft", weights, "multi-label", mode)
    assert result.classes == ["edema", "nodule"]
    assert result.splits["test"] == {"images": 24}
    assert result.label_counts["test"] == {"edema": 12, "nodule": 12}
    areas = []
    for number, rows in rows_of(tmp_path / "ft", result):
        truth = np.array([[name in row["label"].split(";") for name in result.classes] for row in rows])
        score = np.array([row["probabilities"] for row in rows])
        metrics = result.per_seed[number]["metrics"]
        assert metrics["auc"] == pytest.approx(roc_auc_score(truth, score, average="macro"))
        expected = average_precision_score(truth, score, average="macro")
        assert metrics["average_precision"] == pytest.approx(expected)
        areas.append(roc_auc_score(truth[:, 1], score[:, 1]))
    nodule = result.by_output["nodule"]
    assert nodule["pooled"]["auc"]["mean"] == pytest.approx(np.mean(areas))
    assert nodule["no_interval"] is None
    assert nodule["pooled"]["auc"]["low"] <= np.mean(areas) <= nodule["pooled"]["auc"]["high"]
    card = (tmp_path / "ft" / "README.md").read_text()
    assert card.startswith("# Multi-label classifier of edema, nodule\n")
    assert "(label edema: 12; label nodule: 12)" in card
    assert "| nodule | " in card
    # Sites of twelve images each, of which six have the label.
    if mode == "linear":
        gap = result.subgroups[0]["by_output"]["nodule"]["gaps"]["auc"]["difference"]
        assert f"| {gap:.3f} (" in card.partition("| label | site a | site b | largest gap |\n")[2]
    assert (tmp_path / "ft" / "plots" / "roc.svg").is_file()
    found = ctprune.predict(tmp_path / "ft", table.parent / "00.png", device="cpu")
    chosen = [name for name, share in zip(found.classes, found.probabilities[0], strict=True) if share > 0.5]
    assert found.labels == [";".join(chosen)]
    check_comparison(tmp_path / "ft", result)


@pytest.mark.parametrize("mode", ["finetune", "linear", "knn"])
def test_levels_from_table_to_prediction(table: Path, weights: Path, tmp_path: Path, mode: str) -> None:
    result = run(table, tmp_path / "ft", weights, "ordinal", mode)
    assert result.classes == LEVELS
    for number, rows in rows_of(tmp_path / "ft", result):
        truth = [LEVELS.index(row["label"]) for row in rows]
        shares = [row["probabilities"] for row in rows]
        np.testing.assert_allclose(np.sum(shares, axis=1), 1, atol=1e-9)
        guess = [next(k for k in range(3) if sum(one[: k + 1]) >= 0.5 - 1e-9) for one in shares]
        metrics = result.per_seed[number]["metrics"]
        kappa = cohen_kappa_score(truth, guess, weights="quadratic")
        assert metrics["quadratic_kappa"] == pytest.approx(kappa)
        assert metrics["mae_levels"] == pytest.approx(np.mean(np.abs(np.subtract(truth, guess))))
        areas = [roc_auc_score(np.array(truth) > k, [sum(one[k + 1 :]) for one in shares]) for k in range(2)]
        assert metrics["auc"] == pytest.approx(np.mean(areas))
    assert list(result.by_output) == ["above none", "above mild"]
    card = (tmp_path / "ft" / "README.md").read_text()
    assert card.startswith("# Ordinal classifier of none < mild < severe\n")
    assert "quadratic weighted kappa" in card
    # Four images of each level are too few at a site, but eight above the lowest are not.
    if mode == "linear":
        assert result.subgroups[0]["gaps"] == {}
        assert "| threshold | site a | site b | largest gap |" in card
    assert (tmp_path / "ft" / "plots" / "confusion.svg").is_file()
    found = ctprune.predict(tmp_path / "ft", table.parent / "00.png", device="cpu")
    cumulative = found.probabilities[0].cumsum()
    assert found.labels == [LEVELS[int((cumulative[:2] < 0.5).sum())]]
    check_comparison(tmp_path / "ft", result)


@pytest.mark.parametrize("target", ["ordinal", "regression"])
def test_the_command_line_prints_targets(
    table: Path,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    target: str,
) -> None:
    def printed(*arguments: object) -> str:
        monkeypatch.setattr("sys.argv", ["ctprune", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        assert not left.value.code
        return capsys.readouterr().out

    monkeypatch.setenv("COLUMNS", "200")
    label = ["grade", "--levels", "none,mild,severe"] if target == "ordinal" else ["{path:.2}"]
    finetune = ["finetune", table, "--out", tmp_path / "ft", "--mode", "knn", "--seeds", 1, "--side", 32]
    finetune += ["--weights", weights, "--target", target, "--device", "cpu", "--label-column", *label]
    said = printed(*finetune)
    assert ("AUC: above none " if target == "ordinal" else "mean absolute error") in said
    asked = ["predict", tmp_path / "ft", table.parent / "00.png", "--device", "cpu"]
    assert ("label" if target == "ordinal" else "prediction") in printed(*asked)
    image = result_of("predict", printed(*asked, "--json"))["images"][0]
    assert set(image) - {"image", "frame"} == (
        {"label", *(f"probability_{name}" for name in LEVELS)} if target == "ordinal" else {"prediction"}
    )


def test_heads_equal_plain_loops(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(7, 4)).astype(np.float32)
    weight, bias = random.normal(size=(3, 4)).astype(np.float32), random.normal(size=3).astype(np.float32)
    # The last two biases are out of order: no threshold is passed more often than the one below it.
    steps = np.array([1.0, -0.5, 0.5], np.float32)
    for head in (LabelHead(weight, bias), LevelHead(weight[:1], steps)):
        save_head(head, tmp_path / "head.safetensors")
        found = load_head(tmp_path / "head.safetensors").probabilities(features)
        for one, shares in zip(features, found, strict=True):
            if isinstance(head, LabelHead):
                logits = [float(w.astype(float) @ one + b) for w, b in zip(weight, bias, strict=True)]
                np.testing.assert_allclose(shares, [1 / (1 + math.exp(-x)) for x in logits], rtol=1e-6)
                continue
            score = float(weight[0].astype(float) @ one)
            above = [1 / (1 + math.exp(-score - step)) for step in steps.tolist()]
            above[2] = min(above[1], above[2])
            expected = [1 - above[0], above[0] - above[1], above[1] - above[2], above[2]]
            np.testing.assert_allclose(shares, expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("weigh", [False, True])
def test_losses_equal_plain_loops(weights: Path, tmp_path: Path, weigh: bool) -> None:
    config = FinetuneConfig(target="multi-label", epochs=1, frozen_epochs=0, side=32, class_weights=weigh)
    network = GrayBackbone(ctprune.load_backbone(weights), Normalization((0.3,), (0.2,)))
    data = TrainingSet(np.zeros((6, 32, 32), np.uint8), np.zeros(6, np.int64), np.arange(5), np.arange(6), 1)
    inputs = (network, data, config, 0, torch.device("cpu"), "32", tmp_path / "no.ckpt", lambda epoch: None)
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, (6, 3)).astype(float)
    levels = random.integers(0, 4, (6, 1)).astype(float)
    logits = torch.from_numpy(random.normal(size=(4, 3)).astype(np.float32))
    rows = np.array([5, 0, 2, 3])
    of_labels = TargetTraining(*inputs, targets=labels, outputs=3)
    ordinal = (*inputs[:2], replace(config, target="ordinal"), *inputs[3:])
    of_levels = TargetTraining(*ordinal, targets=levels, outputs=4)
    for kind, there in ((of_labels, lambda i, k: labels[i, k] == 1), (of_levels, lambda i, k: levels[i, 0] > k)):
        total = 0.0
        for line, image in zip(logits.tolist(), rows, strict=True):
            for k, x in enumerate(line):
                share = 1 / (1 + math.exp(-x))
                mine = labels[:, k] if kind is of_labels else levels[:, 0]
                alike = sum(one == mine[image] for one in mine[:5])
                # The last image is not trained on.
                weight = 5 / (len(set(mine[:5])) * alike) if weigh and alike else 1
                total -= weight * math.log(share if there(image, k) else 1 - share)
        assert float(kind._loss(logits, rows)) == pytest.approx(total / 12, rel=1e-5)
    # One number with a bias for each threshold.
    features = torch.from_numpy(random.normal(size=(5, 512)).astype(np.float32))
    outputs = of_levels.head(features)
    assert outputs.shape == (5, 3)
    assert torch.allclose(
        outputs - outputs[:, :1], (of_levels.head.biases - of_levels.head.biases[0]).expand(5, 3)
    )


def some_features() -> tuple[np.ndarray, np.random.Generator]:
    random = np.random.default_rng(2)
    return random.normal(2, 3, (80, 5)).astype(np.float32), random


@pytest.mark.parametrize("weigh", [False, True])
def test_label_probe_equals_scikit_learn(weigh: bool) -> None:
    features, random = some_features()
    # One label is on half of the images, the other on few.
    labels = (features[:, :2] + random.normal(0, 2, (80, 2)) > (2, 5.5)).astype(float)
    found = label_probe((features[:50], labels[:50]), (features[50:], labels[50:]), weigh=weigh)
    mean, std = features[:50].mean(0, dtype=float), features[:50].std(0, dtype=float)
    losses, weight = [], "balanced" if weigh else None
    counts = np.ones((30, 2))
    if weigh:
        counts = 50 / np.where(labels[50:], 2 * labels[:50].sum(0), 2 * (1 - labels[:50]).sum(0))
    of_all = []
    for strength in STRENGTHS:
        models = [LogisticRegression(C=strength, max_iter=1000, class_weight=weight) for _ in range(2)]
        shares = [
            model.fit((features[:50] - mean) / std, labels[:50, k]).predict_proba((features[50:] - mean) / std)[
                :, 1
            ]
            for k, model in enumerate(models)
        ]
        there = np.where(labels[50:].T == 1, shares, 1 - np.array(shares))
        losses.append(float(-(counts.T * np.log(there)).mean()))
        of_all.append(np.transpose(shares))
    best = int(np.argmin(losses))
    assert found.strength == STRENGTHS[best]
    assert found.loss == pytest.approx(losses[best], rel=1e-3)
    np.testing.assert_allclose(found.head.probabilities(features[50:]), of_all[best], atol=1e-4)


@pytest.mark.parametrize("weigh", [False, True])
def test_level_probe_is_logistic_regression_of_two_and_has_no_slope_of_four(weigh: bool) -> None:
    features, random = some_features()
    levels = np.digitize(features[:, :1] + random.normal(0, 1, (80, 1)), [0, 2, 4]).astype(float)
    two = (levels > 1).astype(float)
    found = level_probe((features[:50], two[:50]), (features[50:], two[50:]), levels=2, weigh=weigh)
    mean, std = features[:50].mean(0, dtype=float), features[:50].std(0, dtype=float)
    model = LogisticRegression(
        C=found.strength, max_iter=1000, tol=1e-8, class_weight="balanced" if weigh else None
    )
    model.fit((features[:50] - mean) / std, two[:50, 0])
    expected = model.predict_proba((features[50:] - mean) / std)
    np.testing.assert_allclose(found.head.probabilities(features[50:]), expected, atol=2e-3)

    four = level_probe((features[:50], levels[:50]), (features[50:], levels[50:]), levels=4, weigh=weigh)
    assert four.converged
    tensors = four.head.tensors()
    start = np.concatenate(
        [tensors["level_weight"][0] * std, tensors["level_bias"] + tensors["level_weight"] @ mean]
    )

    def objective(x: np.ndarray) -> float:
        total = float(x[:5] @ x[:5]) / (2 * (four.strength or math.nan))
        for one, [level] in zip((features[:50] - mean) / std, levels[:50], strict=True):
            weight = 50 / (4 * float((levels[:50] == level).sum())) if weigh else 1
            for threshold, bias in enumerate(x[5:]):
                share = 1 / (1 + math.exp(-float(one @ x[:5]) - bias))
                total -= weight * math.log(share if level > threshold else 1 - share)
        return total

    for step in np.eye(8) * 0.02:
        assert objective(start + step) > objective(start) - 1e-4
        assert objective(start - step) > objective(start) - 1e-4


def test_parts_have_a_share_of_each_label() -> None:
    random = np.random.default_rng(0)
    rare = np.zeros(400, np.int64)
    rare[:20] = 1
    members = np.stack([np.ones(400, np.int64), rare, random.integers(0, 2, 400)], axis=1)
    chosen = sample_part(members, [f"p{n}" for n in range(400)], fraction=0.25, seed=0, leave_some=True)
    # Of groups in a seeded order each is taken that brings the sums nearer to a quarter of all.
    assert np.abs(members[chosen].sum(axis=0) - members.sum(axis=0) / 4).max() <= 1


@pytest.mark.parametrize(
    ("cells", "options", "error"),
    [
        (
            ["", "", ""],
            {"target": "multi-label"},
            "expected labels such as edema;nodule for `target` multi-label, found only empty cells",
        ),
        (["text"] * 3, {"target": "regression"}, "expected numbers as labels for `target` regression"),
        (["text"] * 3, {"target": "ordinal"}, "expected numbers as labels for `target` ordinal"),
        (["text"] * 3, {}, "expected two classes or more, found only text"),
        (["", ";", ""], {"target": "multi-label"}, "expected labels such as edema;nodule"),
        (["a", "b", "c"], {"target": "ordinal"}, "name the levels from the lowest to the highest with `levels`"),
        (["1", "2", "2"], {"target": "ordinal"}, "expected at least 3 levels"),
        (["a", "b", "c"], {"target": "ordinal", "levels": ["a", "b"]}, "label c is none of the `levels` a, b"),
        (["a", "b", "b"], {"target": "ordinal", "levels": ["a", "b", "c"]}, "level c has no image"),
    ],
)
def test_labels_that_do_not_fit(tmp_path: Path, cells: list[str], options: dict[str, Any], error: str) -> None:
    for number in range(3):
        write(tmp_path / f"{number}.png", False, number)
    lines = ["path,label", *(f"{number}.png,{cell}" for number, cell in enumerate(cells))]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    with pytest.raises(ctprune.TaskError, match=error):
        list_task(tmp_path / "labels.csv", **options)


def test_a_label_that_all_images_of_a_split_have(table: Path, weights: Path, tmp_path: Path) -> None:
    text = table.read_text().replace(",edema;", ",x;").splitlines()
    changed = [f"{line.split(',')[0]},{'nodule' if 'test' in line else line.split(',')[1]}," for line in text[1:]]
    lines = [a + ",".join(b.split(",")[2:]) for a, b in zip(changed, text[1:], strict=True)]
    (table.parent / "all.csv").write_text("\n".join([text[0], *lines]))
    with pytest.raises(ctprune.TaskError, match=r"with and without label edema in test, found 0 of 24 with it"):
        run(table.parent / "all.csv", tmp_path / "ft", weights, "multi-label", "knn")


def test_numbers_are_levels_in_their_order(table: Path) -> None:
    lines = [line for line in table.read_text().splitlines() if "," in line]
    numbered = [
        lines[0],
        *(line.replace("none", "2").replace("mild", "10").replace("severe", "9.5") for line in lines),
    ]
    (table.parent / "numbers.csv").write_text("\n".join([numbered[0], *numbered[2:]]))
    from ctprune.tasks.columns import Columns

    listed = list_task(table.parent / "numbers.csv", columns=Columns(label="grade"), target="ordinal")
    assert listed.classes == ("2", "9.5", "10")
    assert set(targets_of(listed.entries, "ordinal", listed.classes)[:, 0]) == {0.0, 1.0, 2.0}
    with pytest.raises(ctprune.ConfigError, match="levels belongs to `target` ordinal, not to classes"):
        FinetuneConfig(levels=["a", "b"])
    assert FinetuneConfig(target="ordinal", levels="a,b,c").levels == ("a", "b", "c")
