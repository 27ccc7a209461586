"""The sweep of embeddings: the slices that `reduce` keeps, from embeddings made once."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ctprune
from ctprune.environment.progress import Operation
from ctprune.selection.methods import METHODS
from ctprune.sweeping.by_embeddings import EmbeddingSweep
from ctprune.sweeping.config import SweepConfig
from ctprune.sweeping.slices import SweptSlices
from tests.conftest import Cli


@pytest.mark.parametrize("scope", ["volume", "dataset"])
def test_deep_keeps_the_very_slices_that_reduce_keeps(
    run: Path, small: Path, weights: Path, tmp_path: Path, scope: str
) -> None:
    shutil.copytree(run, tmp_path / "run")
    swept = SweptSlices.load(run, scope)
    method = EmbeddingSweep(METHODS["deep"], SweepConfig())
    thresholds = method.in_order(None, swept)[:60:4]
    sets = method.keep(swept, thresholds, Operation())
    assert len(set(sets.counts.tolist())) > 3
    for index, threshold in enumerate(thresholds):
        reduced = ctprune.reduce(
            small, method="deep", weights=weights, threshold=threshold, scope=scope, out=tmp_path / "run"
        )
        rows = reduced.rows.slice(0, len(swept))["status"]
        assert sets.at(index).tolist() == [status == "kept" for status in rows]


def test_targets_are_those_of_keep(run: Path) -> None:
    found = ctprune.sweep(run, methods=["deep"])
    counts = found.table["kept"].tolist()
    for target in found.targets:
        wanted = target["keep"] * found.about["slices"]
        assert abs(target["kept"] - wanted) == min(abs(count - wanted) for count in counts)
    # The run itself was made with --keep.
    kept = ctprune.Manifest.load(run).counts()["kept"]
    slices = found.about["slices"]
    assert abs(kept - 0.4 * slices) == min(abs(count - 0.4 * slices) for count in counts)


def test_embeddings_beside_the_manifest_need_no_torch(run: Path) -> None:
    code = f"import sys, ctprune; ctprune.sweep({str(run)!r}, methods=['deep']); print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_embeddings_are_made_once_for_a_run_of_another_method(
    small: Path, weights: Path, run: Path, tmp_path: Path
) -> None:
    ctprune.reduce(small, out=tmp_path / "run")
    first = ctprune.sweep(tmp_path / "run", methods=["hash", "deep"], weights=weights)
    assert (tmp_path / "run" / "embeddings").is_dir()
    assert first.methods == ["hash", "deep"]
    assert {(row["a"], row["b"]) for row in first.agreement} > {("hash", "deep"), ("deep", "every-n")}
    assert ctprune.sweep(tmp_path / "run", methods=["deep"]).curve("deep")[1].tolist() == (
        ctprune.sweep(run, methods=["deep"]).curve("deep")[1].tolist()
    )
    assert ctprune.sweep(tmp_path / "run", methods=["hash", "deep"]) == first


def test_files_that_are_gone_are_one_sentence(cli: Cli, small: Path, weights: Path, tmp_path: Path) -> None:
    shutil.copytree(small, tmp_path / "in")
    ctprune.reduce(tmp_path / "in", out=tmp_path / "run")
    shutil.rmtree(tmp_path / "in")
    result = cli("sweep", "run", "--method", "deep", "--weights", weights)
    assert result.returncode == 1
    assert "run 'ctprune reduce' again" in result.stderr
    assert result.stderr.count("\n") == 1


def test_interrupted_makes_no_sweep(run: Path, tmp_path: Path) -> None:
    def stop(progress: ctprune.Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(ctprune.Interrupted, match="no sweep was written"):
        ctprune.sweep(run, methods=["deep"], out=tmp_path / "out", progress=stop)
    assert list((tmp_path / "out").iterdir()) == []
