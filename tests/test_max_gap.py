"""`max_gap_mm`: an exemplar lies near along the body, by the rule word for word; and what is said of distances."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ctprune
from ctprune.cli.hints import hints
from ctprune.errors import ConfigError
from ctprune.manifest.findings import Findings
from ctprune.manifest.gaps import gap_percentiles
from tests.conftest import Cli
from tests.reference.slices import hamming


def slices(manifest: ctprune.Manifest) -> list[dict[str, Any]]:
    return [row for row in manifest.rows.to_dicts() if row["status"] in ("kept", "dropped")]


def near_exemplars(rows: list[dict[str, Any]], threshold: int, max_gap_mm: float) -> list[int]:
    """The rule, word for word."""
    kept: dict[int, list[int]] = defaultdict(list)
    found = []
    for number, row in enumerate(rows):
        similar = (
            k
            for k in kept[row["volume"]]
            if hamming(rows[k]["fingerprint"], row["fingerprint"]) <= threshold
            and abs(rows[k]["position_mm"] - row["position_mm"]) <= max_gap_mm + 1e-3
        )
        exemplar = next(similar, number)
        if exemplar == number:
            kept[row["volume"]].append(number)
        found.append(exemplar)
    return found


@pytest.mark.parametrize("max_gap_mm", [0, 5, 12.5, 40])
def test_the_manifest_holds_the_rule(archive: Path, max_gap_mm: float) -> None:
    manifest = ctprune.reduce(archive, threshold=20, max_gap_mm=max_gap_mm)
    rows = slices(manifest)
    assert all(row["position_mm"] is not None for row in rows)
    expected = near_exemplars(rows, 20, max_gap_mm)
    assert [row["exemplar"] for row in rows] == expected
    # The bound takes effect.
    assert expected != [row["exemplar"] for row in slices(ctprune.reduce(archive, threshold=20))]


def test_the_number_of_threads_does_not_matter(archive: Path) -> None:
    options: list[dict[str, Any]] = [
        {"threshold": 12},
        {"keep": 0.3},
        {"method": "ahash", "threshold": 10},
        {"method": "ssim", "threshold": 0.4},
        {"method": "mi", "threshold": 1.05},
    ]
    for some in options:
        one, many = (ctprune.reduce(archive, max_gap_mm=10, threads=threads, **some) for threads in (1, 3))
        assert one == many
        for row in slices(one):
            exemplar = one.rows.slice(row["exemplar"], row["exemplar"] + 1).to_dicts()[0]
            assert abs(row["position_mm"] - exemplar["position_mm"]) <= 10.001
        if "keep" not in some:
            assert ctprune.reduce(archive, **some).counts()["kept"] < one.counts()["kept"], some


def test_methods_and_scopes_without_a_bound_refuse_it() -> None:
    for method in ("all", "every-n", "random"):
        with pytest.raises(ConfigError, match="max_gap_mm belongs to"):
            ctprune.ReduceConfig(method=method, max_gap_mm=5)
    with pytest.raises(ConfigError, match="max_gap_mm needs `scope` volume"):
        ctprune.ReduceConfig(scope="dataset", max_gap_mm=5)
    with pytest.raises(ConfigError, match="max_gap_mm"):
        ctprune.ReduceConfig(max_gap_mm=-1)


def test_summary_and_report_say_how_far_exemplars_are(archive: Path, tmp_path: Path, cli: Cli) -> None:
    run = tmp_path / "run"
    manifest = ctprune.reduce(archive, threshold=20, out=run)
    rows = slices(manifest)
    gaps = [
        abs(row["position_mm"] - rows[row["exemplar"]]["position_mm"])
        for row in rows
        if row["status"] == "dropped"
    ]
    summary = json.loads((run / "summary.json").read_text())
    found = summary["gaps_mm"]
    assert found["slices"] == len(gaps)
    for name, percent in (("median", 50), ("p90", 90), ("p99", 99), ("largest", 100)):
        assert found[name] == pytest.approx(np.percentile(gaps, percent), abs=2e-3)
    assert found["far"] == sum(gap > 50 for gap in gaps)
    shown = cli("reduce", archive, "--threshold", 20, "--out", run)
    assert f"{found['median']:.1f} / {found['p99']:.1f} / {found['largest']:.1f} mm" in shown.stdout
    # So lax a threshold reaches into other parts of the body.
    assert found["far"] > 0.01 * found["slices"]
    assert "--max-gap-mm 50" in shown.stderr
    page = ctprune.write_report(run).path.read_text()
    assert (
        f"<td>{found['median']:.1f}<td>{found['p90']:.1f}<td>{found['p99']:.1f}<td>{found['largest']:.1f}" in page
    )
    assert "--max-gap-mm 50" in page
    near = ctprune.reduce(archive, threshold=20, max_gap_mm=50, out=run)
    assert [row["exemplar"] for row in slices(near)] != [row["exemplar"] for row in rows]
    page = ctprune.write_report(run).path.read_text()
    assert "exemplars at most 50 mm away along the body" in page
    assert "--max-gap-mm 50" in page


def test_no_distances_without_dropped_slices() -> None:
    assert gap_percentiles(np.array([], np.float32)) is None


def test_an_intensity_is_named_where_padding_or_metal_rules(archive: Path, tmp_path: Path) -> None:
    ctprune.reduce(archive, out=tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    quiet = {"slices": 100, "metal": 4, "padding": 0}
    assert not any("--intensity" in said for said in hints(summary | {"ruled": quiet}, Findings()))
    ruled = {"slices": 100, "metal": 5, "padding": 58}
    [said] = [said for said in hints(summary | {"ruled": ruled}, Findings()) if "--intensity" in said]
    assert "padding below −1024 HU sets the gray of 58.0% of the slices" in said
    assert "metal from 3000 HU on sets the gray of 5.0% of the slices" in said
    assert "--intensity hu:-1000,400" in said
    windowed = summary | {"ruled": ruled, "config": summary["config"] | {"intensity": "window:40,400"}}
    assert not any("--intensity" in said for said in hints(windowed, Findings()))


def test_ruled_slices_are_counted(archive: Path, tmp_path: Path) -> None:
    manifest = ctprune.reduce(archive, out=tmp_path / "run")
    rows = slices(manifest)
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["ruled"] == {
        "slices": len(rows),
        "metal": sum(row["max_hu"] >= 3000 for row in rows),
        "padding": sum(row["min_hu"] < -1024 for row in rows),
    }
