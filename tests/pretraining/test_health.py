from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ctprune.pretraining.health import CollapseAlarm, knn_accuracy, rankme


def test_rankme_and_knn_equal_numpy() -> None:
    features = torch.randn(40, 12, generator=torch.Generator().manual_seed(0)) @ torch.diag(torch.arange(12.0))
    values = np.linalg.svd(features.numpy().astype(float), compute_uv=False)
    shares = values / values.sum() + 1e-7
    assert rankme(features) == pytest.approx(math.exp(-(shares * np.log(shares)).sum()), rel=1e-9)
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
