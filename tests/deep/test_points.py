"""Methods that compare points, on the embeddings of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ctprune
from ctprune.selection.points import select_points


@pytest.mark.parametrize("scope", ["volume", "dataset"])
@pytest.mark.parametrize("options", [{"method": "kcenter", "features": "embeddings"}], ids=lambda of: of["method"])
def test_the_manifest_holds_the_selection(
    run: Path, small: Path, weights: Path, scope: str, options: dict[str, Any]
) -> None:
    manifest = ctprune.reduce(small, weights=weights, budget=6, scope=scope, out=run, **options)
    summary = json.loads((run / "summary.json").read_text())
    assert summary["embeddings"]["slices_embedded"] == 0
    slices = manifest.slices()
    embeddings = np.load(run / "embeddings" / "embeddings.npy")
    starts = slices.starts.tolist() if scope == "volume" else None
    found = select_points(embeddings, options["method"], budget=6, starts=starts)
    assert slices.kept.sum() == 6
    assert slices.kept.tolist() == found.kept.tolist()
    assert slices.exemplar.tolist() == found.exemplar.tolist()
    assert slices.similarity.tolist() == found.measured.tolist()
    assert summary["threshold"] == found.threshold
    assert ctprune.verify(run) == []
    page = ctprune.write_report(run).path.read_text()
    assert "on embeddings of a network" in page
    swept = ctprune.sweep(run, methods=[options["method"]], thresholds={options["method"]: [found.threshold, 1.0]})
    fractions = swept.curve(options["method"])[1]
    assert fractions[0] >= fractions[1] >= 6 / len(slices) - 1e-9
