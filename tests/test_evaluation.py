from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control
from sklearn import metrics as sk

from ctprune.errors import EvaluationError
from ctprune.evaluation.bootstrap import bootstrap, resample_weights
from ctprune.evaluation.correction import benjamini_hochberg, decision_levels, holm
from ctprune.evaluation.delong import auc_covariance, delong_test, macro_auc_covariance
from ctprune.evaluation.metrics import METRICS, classification_metrics, undefined_because
from ctprune.evaluation.plots import mean_roc, save_plots
from ctprune.evaluation.pooled import pooled_metrics
from ctprune.evaluation.weighted import weighted_metrics
from tests.reference.auc import pairwise_covariance

# aSAH, the example of R's package pROC: 113 patients with a subarachnoid haemorrhage (Turck et al., Intensive Care
# Medicine 36 (2010) 107): outcome good or poor, WFNS grade, S100β in hundredths of µg/l.
OUTCOME = (
    "GGGGPPGPGGPGPPGGPGPPPGPGGGGGGGGGPGGPPGPPGGGGGGGGGPPGGGPGGGPG"
    "PGGPPPGPPGPPPPGGGPPGPGGGGGGPGGGGGGGGGGGGPPPPPPGGGPGGG"
)
WFNS = (
    "111132541252551252252111121211342145414255112411255212512221"
    "51125214524414121421232421451154221113125225552445111"
)
S100B = [
    *(
        13,
        14,
        10,
        4,
        13,
        10,
        47,
        16,
        18,
        10,
        12,
        10,
        44,
        71,
        4,
        8,
        49,
        4,
        7,
        33,
        9,
        9,
        7,
        11,
        7,
        17,
        7,
        11,
        13,
        19,
    ),
    *(5, 16, 41, 14, 34, 35, 48, 9, 96, 25, 50, 46, 16, 7, 43, 45, 11, 8, 9, 86, 52, 8, 6, 13, 207, 10, 14, 15, 7),
    *(
        6,
        77,
        5,
        9,
        30,
        3,
        9,
        4,
        23,
        70,
        9,
        27,
        71,
        8,
        26,
        8,
        16,
        9,
        13,
        10,
        8,
        11,
        33,
        11,
        28,
        7,
        10,
        32,
        22,
        7,
        5,
    ),
    *(24, 38, 10, 15, 8, 14, 10, 7, 4, 19, 56, 14, 58, 32, 82, 74, 15, 47, 17, 44, 15, 50, 48),
]


def some_predictions(
    images: int, classes: int, seed: int, *, ties: bool = False
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Labels of every class and probabilities that know something of them."""
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), random.integers(classes, size=images - classes)])
    logits = random.normal(size=(images, classes)) + 1.2 * np.eye(classes)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if ties:
        whole = np.round(probabilities * 4) + 1
        probabilities = whole / whole.sum(axis=1, keepdims=True)
    return labels, probabilities, [f"class {i}" for i in range(classes)]


@pytest.mark.parametrize("ties", [False, True])
def test_two_classes_equal_scikit_learn(ties: bool) -> None:
    labels, probabilities, classes = some_predictions(200, 2, 0, ties=ties)
    found = classification_metrics(labels, probabilities, classes)
    predicted = probabilities.argmax(axis=1)
    assert found == {
        "auc": pytest.approx(sk.roc_auc_score(labels, probabilities[:, 1])),
        "average_precision": pytest.approx(sk.average_precision_score(labels, probabilities[:, 1])),
        "accuracy": pytest.approx(sk.accuracy_score(labels, predicted)),
        "balanced_accuracy": pytest.approx(sk.balanced_accuracy_score(labels, predicted)),
        "f1": pytest.approx(sk.f1_score(labels, predicted)),
        "precision": pytest.approx(sk.precision_score(labels, predicted)),
        "sensitivity": pytest.approx(sk.recall_score(labels, predicted)),
        "specificity": pytest.approx(sk.recall_score(1 - labels, 1 - predicted)),
        "calibration_error": pytest.approx(slow_calibration_error(labels, probabilities)),
    }


def test_many_classes_equal_scikit_learn() -> None:
    labels, probabilities, classes = some_predictions(300, 5, 1)
    found = classification_metrics(labels, probabilities, classes)
    predicted = probabilities.argmax(axis=1)
    assert found["auc"] == pytest.approx(sk.roc_auc_score(labels, probabilities, multi_class="ovr"))
    assert found["average_precision"] == pytest.approx(
        sk.average_precision_score(np.eye(5)[labels], probabilities, average="macro")
    )
    assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(labels, predicted))
    assert found["f1"] == pytest.approx(sk.f1_score(labels, predicted, average="macro"))
    assert found["precision"] == pytest.approx(sk.precision_score(labels, predicted, average="macro"))
    assert found["sensitivity"] == pytest.approx(sk.recall_score(labels, predicted, average="macro"))
    confusion = sk.multilabel_confusion_matrix(labels, predicted)
    assert found["specificity"] == pytest.approx(np.mean(confusion[:, 0, 0] / confusion[:, 0].sum(axis=1)))
    assert found["calibration_error"] == pytest.approx(slow_calibration_error(labels, probabilities))


def slow_calibration_error(labels: np.ndarray, probabilities: np.ndarray) -> float:
    error = 0.0
    for b in range(15):
        inside = [i for i in range(len(labels)) if b / 15 < probabilities[i].max() <= (b + 1) / 15]
        if inside:
            accuracy = np.mean([probabilities[i].argmax() == labels[i] for i in inside])
            error += len(inside) / len(labels) * abs(accuracy - np.mean([probabilities[i].max() for i in inside]))
    return error


def test_the_positive_class_can_be_chosen() -> None:
    labels, probabilities, classes = some_predictions(100, 2, 2)
    found = classification_metrics(labels, probabilities, classes, positive="class 0")
    swapped = classification_metrics(1 - labels, probabilities[:, ::-1], classes)
    assert found == pytest.approx(swapped)
    with pytest.raises(EvaluationError, match="positive ill: expected one of class 0, class 1"):
        classification_metrics(labels, probabilities, classes, positive="ill")


def test_one_class_only_is_nan_and_said() -> None:
    found = classification_metrics([1, 1], [[0.2, 0.8], [0.6, 0.4]], ["healthy", "ill"])
    assert found["accuracy"] == 0.5
    assert found["calibration_error"] == pytest.approx(0.4)
    assert all(np.isnan(found[name]) for name in METRICS if name not in ("accuracy", "calibration_error"))
    assert "all 2 images are of class 'ill'" in undefined_because([1, 1], ["healthy", "ill"])[0]
    assert undefined_because([0, 1], ["a", "b", "c"]) == [
        "class 'c' has no image: it is left out of the averages over classes"
    ]
    assert undefined_because([0, 1], ["healthy", "ill"]) == []


def test_a_class_without_images_is_left_out_of_averages() -> None:
    labels, probabilities, classes = some_predictions(90, 3, 3)
    there = labels < 2
    found = classification_metrics(labels[there], probabilities[there], classes)
    areas = [sk.roc_auc_score(labels[there] == c, probabilities[there][:, c]) for c in (0, 1)]
    assert found["auc"] == pytest.approx(np.mean(areas))


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        ([0, 2], [[0.5, 0.5], [0.5, 0.5]], "labels: expected 0 to 1, found 0 to 2"),
        ([0.0, 1.0], [[0.5, 0.5], [0.5, 0.5]], "labels: expected whole numbers"),
        ([], [], "labels: expected whole numbers"),
        ([0, 1], [[0.5, 0.5]], "probabilities: expected .*found \\(1, 2\\)"),
        ([0, 1], [[0.5, 0.5], [0.5, np.nan]], "found others or nan"),
        ([0, 1], [[0.5, 0.5], [0.5, 0.4]], "every row to sum to 1"),
    ],
)
def test_bad_predictions_are_refused(labels: list[int], probabilities: list[list[float]], message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        classification_metrics(labels, probabilities, ["a", "b"])


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 4), st.integers(5, 30), st.booleans(), st.integers(0, 2**32))
def test_weights_equal_repeated_images(classes: int, images: int, ties: bool, seed: int) -> None:
    labels, probabilities, names = some_predictions(images, classes, seed, ties=ties)
    weights = np.random.default_rng(seed).integers(0, 3, size=(4, images)).astype(float)
    weights[:, 0] += 1
    found = weighted_metrics(labels, probabilities, weights, 1 if classes == 2 else None)
    for row, weight in enumerate(weights):
        times = weight.astype(int)
        repeated = classification_metrics(np.repeat(labels, times), np.repeat(probabilities, times, axis=0), names)
        assert {name: values[row] for name, values in found.items()} == pytest.approx(repeated, nan_ok=True)


def test_bootstrap_equals_a_plain_loop() -> None:
    labels, probabilities, classes = some_predictions(60, 3, 4)
    trainings = np.stack([probabilities, np.roll(probabilities, 1, axis=0)])
    found = bootstrap(labels, trainings, classes, resamples=12, seed=7)
    [(_, weights)] = resample_weights(np.arange(60), 12, seed=7)
    drawn = [np.repeat(np.arange(60), weight) for weight in weights.astype(int)]
    slow = [[classification_metrics(labels[rows], one[rows], classes) for rows in drawn] for one in trainings]
    for name in METRICS:
        expected = np.array([[measures[name] for measures in of_training] for of_training in slow])
        assert found.samples[name] == pytest.approx(expected)
        assert found.covariance(name) == pytest.approx(np.cov(expected) * 60 / 59)


def test_the_stream_of_resamples_never_changes() -> None:
    [(rows, weights)] = resample_weights(np.arange(6), 3, seed=0)
    assert (rows.start, rows.stop) == (0, 3)
    # Raw outputs of PCG64 with seed 0, which numpy promises to keep.
    raw = [int(x) >> 11 for x in np.random.PCG64(0).random_raw(18)]
    drawn = [x * 6 // 2**53 for x in raw]
    assert weights.tolist() == [[drawn[6 * b : 6 * b + 6].count(i) for i in range(6)] for b in range(3)]
    assert weights[0].tolist() == [2, 1, 0, 1, 1, 1]


def test_blocks_of_resamples_do_not_change_them(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, probabilities, classes = some_predictions(40, 2, 5)
    whole = bootstrap(labels, probabilities, classes, resamples=31)
    monkeypatch.setattr("ctprune.evaluation.bootstrap._BLOCK", 7 * 40)
    in_blocks = bootstrap(labels, probabilities, classes, resamples=31)
    for name in METRICS:
        assert np.array_equal(whole.samples[name], in_blocks.samples[name], equal_nan=True)


def test_error_of_accuracy_is_the_binomial_one() -> None:
    labels = np.zeros(100, dtype=int)
    labels[:50] = 1
    probabilities = np.where(np.arange(100)[:, None] % 5 == 0, [[0.9, 0.1]], [[0.1, 0.9]])
    probabilities[50:] = probabilities[50:, ::-1]
    found = bootstrap(labels, probabilities, ["a", "b"], resamples=20000)
    assert found.values["accuracy"] == 0.8
    assert found.covariance("accuracy").item() == pytest.approx(0.8 * 0.2 / 99, rel=0.03)


def test_patients_are_drawn_whole() -> None:
    labels, probabilities, classes = some_predictions(60, 2, 6)
    one_each = bootstrap(labels, probabilities, classes, resamples=500)
    # Every image four times: nothing new is known, and by patient nothing changes.
    patients = [f"p{i}" for i in np.repeat(np.arange(60), 4)]
    repeated = np.repeat(probabilities, 4, axis=0)
    by_patient = bootstrap(np.repeat(labels, 4), repeated, classes, patients=patients, resamples=500)
    by_image = bootstrap(np.repeat(labels, 4), repeated, classes, resamples=500)
    assert (one_each.unit, by_patient.unit, by_image.unit) == ("image", "patient", "image")
    for name in ("auc", "f1"):
        assert by_patient.covariance(name).item() == pytest.approx(one_each.covariance(name).item())
        assert by_image.covariance(name).item() < 0.4 * by_patient.covariance(name).item()


def test_an_image_without_a_patient_stands_alone() -> None:
    labels, probabilities, classes = some_predictions(30, 2, 7)
    unknown = bootstrap(labels, probabilities, classes, patients=[None] * 30, resamples=100)
    known = bootstrap(labels, probabilities, classes, resamples=100)
    assert unknown.unit == "image"
    assert np.array_equal(unknown.samples["auc"], known.samples["auc"], equal_nan=True)
    with pytest.raises(EvaluationError, match="expected one for each of 30 images, found 2"):
        bootstrap(labels, probabilities, classes, patients=["a", "b"])


def test_resamples_without_a_class_are_counted() -> None:
    labels = [1] + [0] * 9
    probabilities = [[0.2, 0.8]] + [[0.7, 0.3]] * 9
    found = bootstrap(labels, probabilities, ["a", "b"], resamples=1000)
    # (9/10)^10 of the resamples miss the only image of its class.
    assert found.undefined == pytest.approx(1000 * 0.9**10, rel=0.1)
    assert found.covariance("auc").item() == 0


def test_pooled_metrics_are_mean_and_spread_over_seeds() -> None:
    labels, first, classes = some_predictions(80, 3, 10)
    second = np.roll(first, 1, axis=0)
    found = pooled_metrics(labels, [first, second], classes, resamples=200)
    of_seeds = [classification_metrics(labels, p, classes)["auc"] for p in (first, second)]
    assert found["auc"]["mean"] == pytest.approx(np.mean(of_seeds))
    assert found["auc"]["std"] == pytest.approx(np.std(of_seeds, ddof=1))
    assert found["auc"]["low"] < found["auc"]["mean"] < found["auc"]["high"]
    assert np.isnan(pooled_metrics(labels, first, classes, resamples=10)["auc"]["std"])


def test_delong_equals_proc() -> None:
    """Expected values as in pROC's own tests (var, cov, roc.test of aSAH)."""
    truth = np.array(list(OUTCOME)) == "P"
    wfns, s100b = np.array(list(WFNS), float), np.array(S100B) / 100
    areas, covariance = auc_covariance(truth, [wfns, s100b])
    assert areas == pytest.approx([0.823678861788618, 0.731368563685637], abs=1e-12)
    assert covariance[0, 0] == pytest.approx(0.00146991470882363, rel=1e-10)
    assert covariance[1, 1] == pytest.approx(0.00266868245717244, rel=1e-10)
    assert covariance[0, 1] == pytest.approx(0.00119615567376754, rel=1e-10)
    test = delong_test(truth, wfns, s100b)
    assert test.z == pytest.approx(2.20898359144091, rel=1e-10)
    assert test.p_value == pytest.approx(0.0271757822291882, rel=1e-10)
    assert (test.low, test.high) == pytest.approx((0.0104061769564846, 0.174214419249478), rel=1e-10)


@settings(max_examples=50, deadline=None)
@given(st.integers(4, 25), st.booleans(), st.integers(0, 2**32))
def test_delong_equals_all_pairs(images: int, ties: bool, seed: int) -> None:
    random = np.random.default_rng(seed)
    truth = np.r_[True, True, False, False, random.random(images - 4) < 0.5]
    scores = random.integers(0, 4, (3, images)).astype(float) if ties else random.normal(size=(3, images))
    areas, covariance = auc_covariance(truth, scores)
    slow_areas, slow_covariance = pairwise_covariance(truth, scores)
    assert areas == pytest.approx(slow_areas, abs=1e-12)
    assert covariance == pytest.approx(slow_covariance, abs=1e-12)


def test_delong_by_patient() -> None:
    """Images of a patient that are copies of each other tell no more than one of them."""
    random = np.random.default_rng(0)
    truth, scores = random.random(40) < 0.4, random.normal(size=(2, 40))
    single = delong_test(truth, *scores)
    repeated = np.repeat(scores, 5, axis=1)
    patients = [str(i) for i in np.repeat(np.arange(40), 5)]
    by_patient = delong_test(np.repeat(truth, 5), *repeated, patients=patients)
    assert by_patient.p_value == pytest.approx(single.p_value, rel=1e-9)
    assert delong_test(np.repeat(truth, 5), *repeated).z > 2 * single.z


def test_delong_by_patient_agrees_with_the_bootstrap() -> None:
    """Patients with images of both classes, which share a shift of their scores."""
    random = np.random.default_rng(1)
    patient = np.repeat(np.arange(80), 6)
    truth = random.random(480) < 0.5
    scores = random.normal(size=480) + truth + 1.5 * random.normal(size=80)[patient]
    _, covariance = auc_covariance(truth, scores, patients=[str(p) for p in patient])
    share = 1 / (1 + np.exp(-scores))
    found = bootstrap(
        truth.astype(int), np.stack([1 - share, share], axis=1), ["a", "b"], patients=[str(p) for p in patient]
    )
    assert covariance.item() == pytest.approx(found.covariance("auc").item(), rel=0.2)


def test_covariance_of_the_mean_area_over_classes_agrees_with_the_bootstrap() -> None:
    random = np.random.default_rng(2)
    labels = np.arange(240) % 3
    noise = random.normal(size=(240, 3)) + 0.5 * random.normal(size=(2, 240, 3))
    score = np.exp(1.5 * np.eye(3)[labels] + noise)
    probabilities = score / score.sum(axis=2, keepdims=True)
    patients = [str(i // 4) for i in range(240)]
    covariance = macro_auc_covariance(labels, probabilities, patients=patients)
    drawn = bootstrap(labels, probabilities, ["a", "b", "c"], patients=patients, resamples=2000)
    assert covariance == pytest.approx(drawn.covariance("auc"), rel=0.15)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_the_mean_area_of_two_classes_is_delongs(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels, share = np.arange(30) % 2, random.random((2, 30))
    probabilities = np.stack([1 - share, share], axis=2)
    assert macro_auc_covariance(labels, probabilities) == pytest.approx(auc_covariance(labels == 1, share)[1])


def test_delong_of_equal_and_of_separated_models() -> None:
    truth = [False, False, True, True]
    same = delong_test(truth, [1, 2, 3, 4], [10, 20, 30, 40])
    assert (same.difference, same.z, same.p_value) == (0, 0, 1)
    opposite = delong_test(truth, [1, 2, 3, 4], [4, 3, 2, 1])
    assert (opposite.difference, opposite.p_value) == (1, 0)
    with pytest.raises(EvaluationError, match="needs a positive and a negative image"):
        delong_test([True, True], [1, 2], [1, 2])
    assert np.isnan(delong_test([False, False, True], [1, 2, 3], [3, 2, 1]).p_value)


def test_holm_and_benjamini_hochberg() -> None:
    p_values = [0.01, 0.04, np.nan, 0.03, 0.005]
    # Worked by hand: 4·0.005, 3·0.01, 2·0.03, then no less than the one before.
    assert holm(p_values) == pytest.approx([0.03, 0.06, np.nan, 0.06, 0.02], nan_ok=True)
    defined = [0.01, 0.04, 0.03, 0.005]
    assert benjamini_hochberg(defined) == pytest.approx(false_discovery_control(defined))
    assert benjamini_hochberg(p_values)[[0, 1, 3, 4]] == pytest.approx(benjamini_hochberg(defined))
    assert holm([]).size == 0
    with pytest.raises(EvaluationError, match="expected 0 to 1"):
        holm([1.2])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_rejects_as_the_closed_test_of_bonferroni(p_values: list[float]) -> None:
    """Holm's p-value of a hypothesis: the largest Bonferroni one over all sets of hypotheses with it."""
    indices = range(len(p_values))
    subsets = [s for size in range(1, len(p_values) + 1) for s in itertools.combinations(indices, size)]
    slow = [max(min(1, len(s) * min(p_values[j] for j in s)) for s in subsets if i in s) for i in indices]
    assert holm(p_values) == pytest.approx(slow)


@pytest.mark.parametrize("classes", [2, 4])
def test_plots_are_written_and_do_not_change(tmp_path: Path, classes: int) -> None:
    labels, first, names = some_predictions(60, classes, 11)
    both = np.stack([first, np.roll(first, 2, axis=0)])
    files = save_plots(labels, both, names, tmp_path / "a")
    assert sorted(f.name for f in files) == sorted(
        f"{stem}.{ending}"
        for stem in ("roc", "precision_recall", "calibration", "confusion")
        for ending in ("png", "svg")
    )
    for file, again in zip(files, save_plots(labels, both, names, tmp_path / "b"), strict=True):
        assert file.read_bytes() == again.read_bytes()
        assert len(file.read_bytes()) > 2000
    assert [f.name for f in (tmp_path / "a").iterdir() if f.name.startswith(".")] == []


def test_plots_of_one_class_say_so(tmp_path: Path) -> None:
    save_plots([0, 0], [[0.9, 0.1], [0.2, 0.8]], ["a", "b"], tmp_path)
    assert "not defined: a class has no image" in (tmp_path / "roc.svg").read_text()


def test_area_under_the_mean_curve_is_the_mean_area() -> None:
    labels, probabilities, classes = some_predictions(400, 3, 12)
    rate, curves = mean_roc(labels, probabilities, classes)
    area = np.trapezoid(curves[0], rate)
    assert area == pytest.approx(classification_metrics(labels, probabilities, classes)["auc"], abs=0.005)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(0, 1) | st.just(float("nan")), min_size=1, max_size=12),
    st.sampled_from(["holm", "benjamini-hochberg"]),
)
def test_levels_decide_as_the_correction_does(p_values: list[float], correction: str) -> None:
    """An interval at the level leaves out 0 (p is below the level) just where the corrected p is below 0.05."""
    corrected = {"holm": holm, "benjamini-hochberg": benjamini_hochberg}[correction](p_values)
    levels = decision_levels(p_values, correction, alpha=0.05)
    # At the very border rounding decides.
    clear = ~np.isclose(corrected, 0.05)
    assert (np.less(p_values, levels) == (corrected < 0.05))[clear].all()
