"""How a Ray cluster on this machine is begun; Ray itself is not needed."""

from __future__ import annotations

import os
import sys
import types
from typing import Any

import pytest

from ctprune.environment import ray_cluster


def test_it_sends_no_statistics_and_takes_no_memory_for_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[dict[str, Any]] = []

    def init(**options: Any) -> None:
        begun.append({**options, "statistics": os.environ.get("RAY_USAGE_STATS_ENABLED")})

    ended: list[bool] = []
    ray = types.ModuleType("ray")
    ray.__dict__.update(is_initialized=lambda: False, init=init, shutdown=lambda: ended.append(True))
    monkeypatch.setitem(sys.modules, "ray", ray)
    # So that it is put back afterwards.
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    monkeypatch.setenv("RAY_worker_niceness", "0")
    with ray_cluster.cluster(None):
        assert not ended
    assert ended
    [options] = begun
    assert options["statistics"] == "0"
    assert options["address"] == "local"
    assert options["include_dashboard"] is False
    assert options["object_store_memory"] <= 100 << 20
