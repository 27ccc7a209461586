"""The simulated cluster against what can be worked out by hand."""

from __future__ import annotations

import pytest
from benches.cluster import Costs, simulate

from benches import cluster

FREE = float("inf")


@pytest.fixture(autouse=True)
def without_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_SPREAD", 0.0)
    monkeypatch.setattr(cluster, "_LOST_PER_HOUR", 0.0)


@pytest.mark.parametrize("workers", [1, 3, 100])
def test_without_chance_it_is_a_division(workers: int) -> None:
    costs = Costs(listed=0, read=2e-3, joined=1e-6, joined_bytes=100)
    found = simulate(1_000_000, workers, costs, storage=FREE)
    assert found.reading == pytest.approx(2000 / workers)
    assert (found.listing, found.waiting, found.lost) == (0, 0, 0)
    assert found.joining == pytest.approx(1)


def test_every_shard_lists_all_names() -> None:
    costs = Costs(listed=1e-6, read=1e-3, joined=0, joined_bytes=0)
    found = simulate(1_000_000, 10, costs, storage=FREE)
    # Two shards one after the other, each with a second of listing and 50 of reading.
    assert found.reading == pytest.approx(2 * (1 + 50))
    assert found.listing == pytest.approx(1 / 51)


def test_storage_is_shared() -> None:
    costs = Costs(listed=0, read=1e-3, joined=0, joined_bytes=0)
    bandwidth = 10 * cluster._FILE_BYTES / 1e-3
    assert simulate(10**6, 10, costs, storage=bandwidth).waiting == pytest.approx(0)
    found = simulate(10**6, 40, costs, storage=bandwidth)
    assert found.reading == pytest.approx(100)
    assert found.waiting == pytest.approx(0.75)


def test_lost_machines_cost_what_they_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    costs = Costs(listed=1e-6, read=1e-3, joined=0, joined_bytes=0)
    monkeypatch.setattr(cluster, "_LOST_PER_HOUR", 3600.0)
    found = simulate(1_000_000, 10, costs, storage=FREE)
    assert found.lost == 20
    assert found.reading == pytest.approx(2 * (2 + 50 + cluster._LOST_SECONDS))
    monkeypatch.setattr(cluster, "_SPREAD", 0.3)
    assert simulate(10**6, 9, costs, storage=FREE, seed=1) == simulate(10**6, 9, costs, storage=FREE, seed=1)
    assert simulate(10**6, 9, costs, storage=FREE, seed=1) != simulate(10**6, 9, costs, storage=FREE, seed=2)
