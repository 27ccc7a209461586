from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ctprune.pretraining.health import CollapseAlarm, assignment_entropy, knn_accuracy, rankme


def test_rankme_and_knn_equal_numpy() -> None:
    features = torch.randn(40, 12, generator=torch.Generator().manual_seed(0)) @ torch.diag(torch.arange(12.0))
    values = np.linalg.svd(features.numpy().astype(float), compute_uv=False)
    shares = values / values.sum() + 1e-7
    assert rankme(features) == pytest.approx(math.exp(-(shares * np.log(shares)).sum()), rel=1e-6)
    labels = torch.arange(40) % 3
    units = features.numpy() / np.linalg.norm(features.numpy(), axis=1, keepdims=True)
    right = 0
    for i in range(40):
        cosines = [(float(units[i] @ units[j]), int(labels[j])) for j in range(40) if j != i]
        votes = [0.0, 0.0, 0.0]
        for cosine, label in sorted(cosines, reverse=True)[:20]:
            votes[label] += math.exp(cosine / 0.1)
        right += int(np.argmax(votes)) == int(labels[i])
    assert knn_accuracy(features, labels) == pytest.approx(right / 40)


@pytest.mark.parametrize(
    ("slices", "features", "rank", "decay"),
    [(96, 200, 96, 0), (96, 200, 5, 0), (96, 64, 64, 0), (200, 64, 64, 8), (96, 200, 1, 0), (8, 4, 0, 0)],
)
def test_rankme_equals_that_of_the_singular_values(slices: int, features: int, rank: int, decay: int) -> None:
    generator = torch.Generator().manual_seed(1)
    matrix = torch.randn(slices, rank, generator=generator) @ torch.randn(rank, features, generator=generator)
    matrix *= torch.logspace(0, -decay, features)
    values = torch.linalg.svdvals(matrix.double())
    shares = values / values.sum().clamp(min=1e-30) + 1e-7
    expected = torch.exp(-(shares * shares.log()).sum()).item()
    assert rankme(matrix) == pytest.approx(expected, rel=2e-6)


def test_alarms_need_many_bad_lines() -> None:
    alarm = CollapseAlarm(prototypes=8)
    features = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    uniform = torch.full((16, 8), 1 / 8)
    found = [alarm.check(loss=math.log(8), features=features, assignments=uniform) for _ in range(20)]
    assert found[:19] == [""] * 19
    assert "stuck at ln(8)" in found[19]
    assert not alarm.check(loss=1.0, features=features, assignments=torch.eye(8).repeat(2, 1))
    single = torch.zeros(16, 8)
    single[:, 3] = 1
    found = [alarm.check(loss=0.5, features=features, assignments=single) for _ in range(20)]
    assert "one and the same prototype" in found[-1]


def test_the_knn_vote_leaves_out_the_whole_patient() -> None:
    # Slices of a patient are alike, and their class was drawn without a look at them.
    generator = torch.Generator().manual_seed(0)
    patients = torch.arange(30) // 2
    features = 10 * torch.randn(15, 8, generator=generator)[patients] + torch.randn(30, 8, generator=generator)
    labels = torch.randint(0, 2, (15,), generator=generator)[patients]
    assert knn_accuracy(features, labels, neighbors=1) == 1.0
    right = 0
    units = torch.nn.functional.normalize(features, dim=1)
    for i in range(30):
        others = [(float(units[i] @ units[j]), int(labels[j])) for j in range(30) if patients[j] != patients[i]]
        votes = [0.0, 0.0]
        for cosine, label in sorted(others, reverse=True)[:5]:
            votes[label] += math.exp(cosine / 0.1)
        right += int(np.argmax(votes)) == int(labels[i])
    found = knn_accuracy(features, labels, patients=patients, neighbors=5)
    assert found == pytest.approx(right / 30)
    assert found < 0.8
    # With fewer others than shall vote, those that there are do.
    two = torch.tensor([0, 0, 1, 1])
    alike = torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, 0.2], [1.0, 0.3]])
    assert knn_accuracy(alike, two, patients=two) == 0.0


def test_assignment_entropy_is_the_share_of_the_largest() -> None:
    single, even = torch.zeros(6, 4), torch.full((6, 4), 0.25)
    single[:, 2] = 1
    assert (assignment_entropy(single), assignment_entropy(even)) == (0.0, pytest.approx(1.0))
    shares = np.array([2, 1, 1]) / 4
    mixed = torch.eye(4)[[0, 0, 1, 2]]
    assert assignment_entropy(mixed) == pytest.approx(-(shares * np.log(shares)).sum() / math.log(4))
