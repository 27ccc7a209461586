"""The sweep: at every threshold it keeps what `reduce` keeps; targets and agreement follow from the kept sets."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ctprune
from ctprune._core import nearest_kept
from ctprune.environment.progress import Operation
from ctprune.manifest.derived import SWEEP_NAME
from ctprune.manifest.manifest import write_manifest
from ctprune.selection.methods import METHODS
from ctprune.sweeping.agreement import RANDOM, chance_agreement, every_nth, jaccard
from ctprune.sweeping.by_fingerprints import FingerprintSweep
from ctprune.sweeping.config import SweepConfig
from ctprune.sweeping.curves import TARGETS
from ctprune.sweeping.method import KeptSets
from ctprune.sweeping.slices import SweptSlices
from tests.conftest import Cli
from tests.manifest_schema import schema
from tests.printed import result_of

OUTPUTS = ["diversity.html", "sweep.parquet", "sweep.png", "sweep.svg", "sweep.yaml"]


@pytest.fixture(scope="module")
def run(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("swept") / "run"
    ctprune.reduce(archive, out=out)
    return out


def slices_of(manifest: ctprune.Manifest) -> list[dict[str, Any]]:
    return [row for row in manifest.rows.to_dicts() if row["status"] in ("kept", "dropped")]


def naive_counts(run: Path, scope: str) -> list[int]:
    """The number kept at every radius by the rule, word for word."""
    rows = slices_of(ctprune.Manifest.load(run))
    bits = np.unpackbits(np.array([list(row["fingerprint"]) for row in rows], np.uint8), axis=1)
    counts = []
    for radius in range(65):
        kept: list[int] = []
        for row in range(len(rows)):
            others = [k for k in kept if scope == "dataset" or rows[k]["volume"] == rows[row]["volume"]]
            if not any((bits[k] != bits[row]).sum() <= radius for k in others):
                kept.append(row)
        counts.append(len(kept))
    return counts


@pytest.mark.parametrize("scope", ["volume", "dataset"])
def test_hash_keeps_at_every_radius_what_the_rule_keeps(run: Path, scope: str) -> None:
    result = ctprune.sweep(run, scope=scope)
    assert result.table["threshold"].tolist() == list(range(65))
    assert result.table["kept"].tolist() == naive_counts(run, scope)


@pytest.mark.parametrize("scope", ["volume", "dataset"])
def test_hash_keeps_the_very_slices_that_reduce_keeps(
    run: Path, archive: Path, tmp_path: Path, scope: str
) -> None:
    shutil.copytree(run, tmp_path / "run")
    swept = SweptSlices.load(run, scope)
    thresholds = [0, 3, 6, 11, 30, 64]
    sets = FingerprintSweep(METHODS["hash"], SweepConfig()).keep(swept, thresholds, Operation())
    for index, threshold in enumerate(thresholds):
        reduced = ctprune.reduce(archive, threshold=threshold, scope=scope, out=tmp_path / "run")
        expected = [row["status"] == "kept" for row in slices_of(reduced)]
        assert sets.at(index).tolist() == expected


def test_the_scope_is_the_runs_unless_given(run: Path, archive: Path, tmp_path: Path) -> None:
    ctprune.reduce(archive, scope="dataset", out=tmp_path / "run")
    assert ctprune.sweep(tmp_path / "run").about["scope"] == "dataset"
    assert ctprune.sweep(run).about["scope"] == "volume"


@pytest.mark.parametrize("scope", ["volume", "dataset"])
def test_targets_are_those_of_keep(run: Path, archive: Path, tmp_path: Path, scope: str) -> None:
    shutil.copytree(run, tmp_path / "run")
    targets = ctprune.sweep(run, scope=scope).targets
    assert [target["keep"] for target in targets] == list(TARGETS)
    for target in targets:
        reduced = ctprune.reduce(archive, keep=target["keep"], scope=scope, out=tmp_path / "run")
        summary = json.loads((tmp_path / "run" / "summary.json").read_text())
        assert (summary["threshold"], reduced.counts()["kept"]) == (target["threshold"], target["kept"])


def test_a_count_that_rises_again_is_found() -> None:
    # The second covers the third and fourth, until a larger radius lets the first drop it.
    fingerprints = np.array([[0b0000_0000], [0b0000_0111], [0b0001_1111], [0b0110_0111]], np.uint8)
    counts = np.array([ctprune.select_exemplars(fingerprints, threshold=t).kept.sum() for t in range(9)])
    assert counts.tolist() == [4, 4, 2, 3, 2, 1, 1, 1, 1]
    assert nearest_kept(counts.tolist(), 3.2) == 3
    assert nearest_kept([9, 4, 6, 1], 5.9) == 2
    assert nearest_kept([9, 7, 5, 1], 6) == 1


def test_kept_sets_count_and_unpack() -> None:
    flags = np.random.default_rng(0).random((5, 77)) < 0.3
    sets = KeptSets(np.packbits(flags, axis=1), 77)
    assert sets.counts.tolist() == flags.sum(axis=1).tolist()
    assert all((sets.at(index) == flags[index]).all() for index in range(5))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.floats(0.01, 1.0))
def test_every_nth_is_the_nearest_of_all_n(lengths: list[int], keep: float) -> None:
    starts = [0, *np.cumsum(lengths).tolist()]
    swept = SweptSlices.__new__(SweptSlices)
    swept.scope, swept.starts = "volume", np.array(starts)
    counts = [sum(-(-length // n) for length in lengths) for n in range(1, max(lengths) + 1)]
    best = min(counts, key=lambda count: abs(count - keep * starts[-1]))
    found = every_nth(swept, keep)
    assert abs(found.sum() - keep * starts[-1]) == abs(best - keep * starts[-1])
    assert found[starts[:-1]].all()


def test_agreement_is_the_jaccard_index_of_sets(run: Path) -> None:
    a, b = {1, 4, 6, 7}, {4, 7, 9}
    flags = [np.isin(np.arange(12), list(kept)) for kept in (a, b)]
    assert jaccard(*flags) == len(a & b) / len(a | b)
    samples = np.random.default_rng(0).random((4000, 200)).argsort(axis=1)[:, :40]
    measured = np.mean(
        [
            len(set(range(40)) & set(sample)) / (80 - len(set(range(40)) & set(sample)))
            for sample in samples.tolist()
        ]
    )
    assert chance_agreement(40, 200) == pytest.approx(measured, rel=0.02)
    rows = ctprune.sweep(run).agreement
    assert {(row["a"], row["b"]) for row in rows} == {("hash", "every-n"), ("hash", RANDOM)}
    assert all(0 <= row["jaccard"] <= 1 for row in rows)


def test_the_same_run_gives_the_same_bytes(run: Path, tmp_path: Path) -> None:
    for name, threads in (("a", 1), ("b", 3)):
        ctprune.sweep(run, out=tmp_path / name, threads=threads)
    assert sorted(file.name for file in (tmp_path / "a").iterdir()) == OUTPUTS
    for name in OUTPUTS:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_saved_sweep_is_read_again(run: Path, tmp_path: Path) -> None:
    result = ctprune.sweep(run, out=tmp_path)
    assert ctprune.Sweep.load(tmp_path) == result
    assert result.about["manifest_digest"] == ctprune.Manifest.load(run).digest()
    assert pq.read_table(tmp_path / SWEEP_NAME).column_names == ["method", "threshold", "kept", "kept_fraction"]
    assert polars.DataFrame(result.table)["kept"].to_list() == result.table["kept"].tolist()
    with pytest.raises(ctprune.ManifestError, match=r"expected a folder with sweep\.parquet"):
        ctprune.Sweep.load(tmp_path / "nowhere")
    with pytest.raises(ctprune.ManifestError, match="another kind of file"):
        ctprune.Sweep.load(run / "manifest.parquet")
    ctprune.Sweep(result.table, result.about | {"sweep_version": 99}).save(tmp_path)
    with pytest.raises(ctprune.ManifestError, match="sweep version 99"):
        ctprune.Sweep.load(tmp_path)


def test_the_command_line_shows_tables_and_writes_files(cli: Cli, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    shown = cli("sweep", "run")
    assert shown.returncode == 0, shown.stderr
    assert all(text in shown.stdout for text in ("Hamming", "50%", "every-n", "sweep.parquet"))
    assert set(OUTPUTS) < {file.name for file in (tmp_path / "run").iterdir()}
    as_json = result_of(
        "sweep", cli("sweep", "run", "--json", "--thresholds", "hash=6,3,6", "--out", "other").stdout
    )
    assert [row["threshold"] for row in as_json["curve"]] == [3, 6]
    assert sorted(file.name for file in (tmp_path / "other").iterdir()) == OUTPUTS
    silent = cli("sweep", "run", "--quiet")
    assert (silent.stdout, silent.stderr) == ("", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: expected the folder of a reduction"),
        (["run", "--method", "magic"], "--method magic: expected one of hash"),
        (["run", "--thresholds", "hash=65"], "--thresholds hash=65: expected a whole number of bits, 0 to 64"),
        (["run", "--thresholds", "hash=1.5"], "expected a whole number of bits"),
        (["run", "--thresholds", "hash"], "expected a method and numbers"),
        (["run", "--thresholds", "deep=0.9"], "deep is not among the methods hash"),
        (["run", "--method", "deep", "--thresholds", "deep=2"], "expected a cosine similarity"),
        (["run", "--scope", "patient"], "--scope patient: expected one of"),
        (["run", "--weights", "w"], "--weights belongs to --method deep"),
        (["run", "--method", "deep", "--weights", "w", "--download"], "mutually exclusive"),
        (["run", "--out", "run/manifest.parquet"], "cannot be written"),
    ],
)
def test_bad_input_gets_one_sentence(
    cli: Cli, run: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    shutil.copytree(run, tmp_path / "run")
    result = cli("sweep", *arguments)
    assert result.returncode in (1, 2)
    assert message in result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert sorted(file.name for file in (tmp_path / "run").iterdir()) == [
        "config.yaml",
        "manifest.parquet",
        "summary.json",
    ]


def test_a_run_without_slices_is_refused(tmp_path: Path) -> None:
    write_manifest(tmp_path / "manifest.parquet", [], ctprune.ReduceConfig().to_dict())
    assert schema(8).names == pq.read_schema(tmp_path / "manifest.parquet").names
    with pytest.raises(ctprune.SourceError, match="expected a reduction with slices"):
        ctprune.sweep(tmp_path)


def test_hash_needs_no_files_but_pixels_do(archive: Path, tmp_path: Path) -> None:
    shutil.copytree(archive, tmp_path / "in")
    ctprune.reduce(tmp_path / "in", out=tmp_path / "run")
    swept = SweptSlices.load(tmp_path / "run", None)
    swept.check_files()
    first = tmp_path / "in" / swept.rows["path"][0]
    os.utime(first, ns=(5, 5))
    with pytest.raises(ctprune.SourceError, match="has changed since the reduction read it"):
        swept.check_files()
    expected = ctprune.sweep(tmp_path / "run")
    shutil.rmtree(tmp_path / "in")
    with pytest.raises(ctprune.SourceError, match="the file is gone: run 'ctprune reduce' again"):
        swept.check_files()
    assert ctprune.sweep(tmp_path / "run") == expected
