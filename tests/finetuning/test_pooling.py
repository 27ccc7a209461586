"""How images become one prediction, against plain loops; attention against the paper's equations."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from ctprune.finetuning.attention import AttentionHead
from ctprune.finetuning.attention_training import EPOCHS, GatedAttention, train_attention
from ctprune.finetuning.bags import Units, bags_of, joined, renumbered
from ctprune.finetuning.heads import LinearHead, NeighborHead, load_head, save_head
from ctprune.finetuning.pooling import Pooling, mean_of_bags, top_of_bags
from ctprune.tasks.listing import Entry

CPU = torch.device("cpu")
SIZES = [3, 1, 5, 2]


def bags(random: np.random.Generator, sizes: list[int] = SIZES) -> list[np.ndarray]:
    """Units of these sizes whose images are in any order."""
    return bags_of(random.permutation(np.repeat(np.arange(len(sizes)), sizes)))


def shares(random: np.random.Generator, count: int, classes: int) -> np.ndarray:
    found = random.random((count, classes))
    return found / found.sum(axis=1, keepdims=True)


def units_of_labels(labels: list[int], of_image: np.ndarray) -> Units:
    entries = [Entry(f"volume-{number}", str(label)) for number, label in enumerate(labels)]
    classes, label = ("0", "1"), np.array(labels)
    return Units("volume", entries, label, label, classes, "classes", classes, of_image)


def test_bags_are_what_a_loop_collects() -> None:
    random = np.random.default_rng(0)
    of_image = random.permutation(np.repeat(np.arange(4), SIZES))
    found = bags_of(of_image)
    assert [rows.tolist() for rows in found] == [
        [row for row, unit in enumerate(of_image) if unit == number] for number in range(4)
    ]
    chosen = [found[2], found[0]]
    values = random.random(len(of_image))
    for rows, again in zip(chosen, renumbered(chosen), strict=True):
        np.testing.assert_array_equal(values[joined(chosen)][again], values[rows])


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("k", [1, 2, 9])
def test_means_and_largest_scores_equal_plain_loops(classes: int, k: int) -> None:
    random = np.random.default_rng(classes)
    some = bags(random)
    probabilities = shares(random, sum(SIZES), classes)
    means, tops = (
        mean_of_bags(probabilities, some),
        top_of_bags(probabilities, some, k, 0 if classes == 2 else None),
    )
    for number, rows in enumerate(some):
        for column in range(classes):
            values = [float(probabilities[row, column]) for row in rows]
            assert means[number, column] == pytest.approx(sum(values) / len(values))
        scores = []
        for column in range(classes):
            largest = sorted((float(probabilities[row, column]) for row in rows), reverse=True)[:k]
            scores.append(sum(largest) / len(largest))
        # Of two classes the positive one decides, here the first.
        expected = [scores[0], 1 - scores[0]] if classes == 2 else [score / sum(scores) for score in scores]
        assert tops[number] == pytest.approx(expected)


def test_a_unit_of_one_image_is_that_image() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(6, 5)).astype(np.float32)
    head = LinearHead(random.normal(size=(2, 5)).astype(np.float32), np.zeros(2, np.float32))
    singles = bags_of(np.arange(6))
    for pooling in (
        Pooling(None, True, None, 1),
        Pooling("mean", True, None, 1),
        Pooling("mean", False, None, 1),
        Pooling("top-k", True, 3, 1),
    ):
        found = pooling.probabilities(head, features, singles)
        np.testing.assert_allclose(found, head.probabilities(features), atol=1e-7)


def test_frozen_features_are_averaged_and_trained_networks_probabilities() -> None:
    random = np.random.default_rng(0)
    features, some = random.normal(size=(sum(SIZES), 5)).astype(np.float32), bags(random)
    heads = (
        LinearHead(random.normal(size=(2, 5)).astype(np.float32), np.zeros(2, np.float32)),
        NeighborHead(random.normal(size=(9, 5)).astype(np.float32), np.arange(9) % 2, 3, 2),
    )
    for head in heads:
        frozen = Pooling("mean", True, None, 1).probabilities(head, features, some)
        trained = Pooling("mean", False, None, 1).probabilities(head, features, some)
        for number, rows in enumerate(some):
            mean = features[rows].astype(np.float64).mean(axis=0, keepdims=True).astype(np.float32)
            # A float32 product of one row and of many differ in their last bits on some processors.
            np.testing.assert_allclose(frozen[number], head.probabilities(mean)[0], rtol=1e-5)
            alone = head.probabilities(features[rows]).mean(axis=0)
            np.testing.assert_allclose(trained[number], alone, rtol=1e-5)


def attention(features: np.ndarray, head: dict[str, np.ndarray]) -> np.ndarray:
    """Probabilities of one unit by equations 7 and 9 of Ilse et al. 2018, number by number."""

    def affine(matrix: np.ndarray, bias: np.ndarray, one: np.ndarray) -> list[float]:
        return [
            sum(float(w) * float(h) for w, h in zip(row, one, strict=True)) + float(b)
            for row, b in zip(matrix, bias, strict=True)
        ]

    images = (features - head["mean"]) / head["scale"]
    scores = []
    for one in images:
        content = [math.tanh(value) for value in affine(head["content_weight"], head["content_bias"], one)]
        gate = [1 / (1 + math.exp(-value)) for value in affine(head["gate_weight"], head["gate_bias"], one)]
        scores.append(sum(float(w) * t * s for w, t, s in zip(head["attention"], content, gate, strict=True)))
    exponentials = [math.exp(score) for score in scores]
    pooled = sum(e / sum(exponentials) * one for e, one in zip(exponentials, images, strict=True))
    logits = np.array(affine(head["class_weight"], head["class_bias"], pooled))
    return np.exp(logits) / np.exp(logits).sum()


def random_head(random: np.random.Generator, width: int = 5, hidden: int = 4) -> AttentionHead:
    shapes = {
        "content_weight": (hidden, width),
        "content_bias": (hidden,),
        "gate_weight": (hidden, width),
        "gate_bias": (hidden,),
        "attention": (hidden,),
        "class_weight": (3, width),
        "class_bias": (3,),
    }
    weights = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return AttentionHead(mean=random.normal(size=width), scale=random.random(width) + 0.5, **weights)


def test_attention_equals_the_papers_equations_and_is_saved(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    head, some = random_head(random), bags(random)
    features = random.normal(size=(sum(SIZES), 5)).astype(np.float32)
    found = Pooling("attention", True, None, None).probabilities(head, features, some)
    for number, rows in enumerate(some):
        np.testing.assert_allclose(found[number], attention(features[rows], head.tensors()), rtol=1e-9)
        assert head.weights(features[rows]).sum() == pytest.approx(1)
    save_head(head, tmp_path / "head.safetensors")
    np.testing.assert_array_equal(load_head(tmp_path / "head.safetensors").of_bags(features, some), found)
    # An image by itself has all attention.
    np.testing.assert_allclose(head.probabilities(features[:1])[0], attention(features[:1], head.tensors()))


def test_attentions_gradients_are_those_of_a_plain_loop() -> None:
    torch.manual_seed(0)
    network = GatedAttention(5, lambda width: torch.nn.Linear(width, 3), hidden=4).double()
    images, labels = torch.randn(sum(SIZES), 5, dtype=torch.float64), torch.tensor([0, 2, 1, 1])
    torch.nn.functional.cross_entropy(network(images, SIZES), labels).backward()
    found = {name: weight.grad.clone() for name, weight in network.named_parameters()}
    network.zero_grad()
    loss = torch.zeros((), dtype=torch.float64)
    for unit, label in zip(images.split(SIZES), labels, strict=True):
        scores = []
        for one in unit:
            content = torch.tanh(network.content.weight @ one + network.content.bias)
            gate = 1 / (1 + torch.exp(-(network.gate.weight @ one + network.gate.bias)))
            scores.append((network.attention.weight[0] * content * gate).sum())
        exponentials = torch.stack(scores).exp()
        pooled = sum(e / exponentials.sum() * one for e, one in zip(exponentials, unit, strict=True))
        logits = network.layer.weight @ pooled + network.layer.bias
        loss = loss - (logits[label] - logits.exp().sum().log()) / len(labels)
    loss.backward()
    for name, weight in network.named_parameters():
        torch.testing.assert_close(found[name], weight.grad)


def test_a_unit_does_not_depend_on_the_others_in_a_step() -> None:
    torch.manual_seed(0)
    network, images = GatedAttention(5, lambda width: torch.nn.Linear(width, 3)), torch.randn(sum(SIZES), 5)
    together = network(images, SIZES)
    alone = [network(unit, [len(unit)])[0] for unit in images.split(SIZES)]
    torch.testing.assert_close(together, torch.stack(alone), rtol=0, atol=1e-6)


def needles(seed: int) -> tuple[np.ndarray, Units]:
    """Units of which the positive ones have a single image that is unlike the rest."""
    random = np.random.default_rng(seed)
    labels = (np.arange(80) % 2).tolist()
    sizes = random.integers(8, 16, 80)
    features = random.normal(size=(sizes.sum(), 6)).astype(np.float32)
    units = units_of_labels(labels, np.repeat(np.arange(80), sizes))
    for number in range(1, 80, 2):
        features[units.bags[number][0], 0] += 6
    return features, units


def test_attention_finds_the_image_that_matters_and_repeats_itself() -> None:
    features, units = needles(0)
    train, select, test = np.arange(40), np.arange(40, 60), np.arange(60, 80)
    seen: list[int] = []

    def fit(seed: int, epochs: int) -> AttentionHead:
        probe = train_attention(
            features, units, train, select, weigh_classes=True, seed=seed, device=CPU,
            epochs=epochs, progress=lambda done, total, accuracy: seen.append(done),
        )  # fmt: skip
        assert probe.best_epoch is not None
        best = probe.history[probe.best_epoch - 1]
        assert (best["epoch"], best["select_accuracy"]) == (probe.best_epoch, probe.accuracy)
        losses = [row["select_loss"] for row in probe.history if row["select_accuracy"] == probe.accuracy]
        assert best["select_loss"] == min(losses)
        assert isinstance(probe.head, AttentionHead)
        return probe.head

    head = fit(0, EPOCHS)
    assert seen == list(range(EPOCHS + 1))
    ill = [number for number in test if number % 2]
    assert np.mean([head.weights(features[units.bags[number]]).argmax() == 0 for number in ill]) > 0.9
    accuracy = (head.of_bags(features, units.bags).argmax(1) == units.labels)[test].mean()
    assert accuracy > 0.85
    first, again, other = fit(0, 3), fit(0, 3), fit(1, 3)
    for name, tensor in first.tensors().items():
        np.testing.assert_array_equal(again.tensors()[name], tensor)
    assert (other.class_weight != first.class_weight).any()
