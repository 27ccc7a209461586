"""An archive that grows: what is decided otherwise is said, and with `stable` what was kept stays kept."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ctprune
from ctprune.files.key_file import make_key
from ctprune.manifest.manifest import FILE_NAME
from tests.conftest import Cli


def grow(archive: Path, source: Path, share: float, seed: int) -> list[Path]:
    """Copy a random share of the archive's files; returns the others."""
    files = sorted(path for path in archive.rglob("*") if path.is_file())
    random.Random(seed).shuffle(files)
    first = files[: round(share * len(files))]
    for file in first:
        add(archive, source, file)
    return files[len(first) :]


def add(archive: Path, source: Path, file: Path) -> None:
    target = source / file.relative_to(archive)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(file, target)


def keys(run: Path) -> list[tuple[str, int]]:
    rows = ctprune.Manifest.load(run).slices().rows
    return list(zip(rows["path"], rows["frame"].tolist(), strict=True))


def naive(similar: Any, groups: list[range], before: list[bool]) -> tuple[list[bool], list[int]]:
    """The rule word for word: what was kept stays kept, then the others in order; the first exemplar counts."""
    kept, exemplar = list(before), list(range(len(before)))
    for group in groups:
        for slice_ in group:
            if not before[slice_]:
                decided = [other for other in group if kept[other] and (before[other] or other < slice_)]
                kept[slice_] = not any(similar(slice_, other) for other in decided)
        for slice_ in group:
            if not kept[slice_]:
                exemplar[slice_] = next(other for other in group if kept[other] and similar(slice_, other))
    return kept, exemplar


@pytest.mark.parametrize("scope", ["volume", "dataset"])
@pytest.mark.parametrize("seed", range(4))
def test_stable_is_the_rule_with_earlier_exemplars_first(
    archive: Path, tmp_path: Path, scope: str, seed: int
) -> None:
    source, out = tmp_path / "in", tmp_path / "run"
    options: Any = {"scope": scope, "threshold": 9, "stable": True}
    rest = grow(archive, source, 0.5, seed)
    ctprune.reduce(source, out=out, **options)
    before = dict(zip(keys(out), ctprune.Manifest.load(out).slices().kept.tolist(), strict=True))
    for file in rest:
        add(archive, source, file)
    slices = ctprune.reduce(source, out=out, **options).slices()
    bits = np.unpackbits(slices.fingerprints, axis=1)
    starts = slices.starts.tolist() if scope == "volume" else [0, len(slices)]
    groups = [range(a, b) for a, b in itertools.pairwise(starts)]
    earlier = [before.get(key, False) for key in keys(out)]
    assert any(earlier)
    kept, exemplar = naive(lambda a, b: (bits[a] != bits[b]).sum() <= 9, groups, earlier)
    assert slices.kept.tolist() == kept
    assert slices.exemplar.tolist() == exemplar
    # The next run decides the same.
    content = (out / FILE_NAME).read_bytes()
    ctprune.reduce(source, out=out, **options)
    assert (out / FILE_NAME).read_bytes() == content
    assert ctprune.verify(out) == []


@pytest.mark.parametrize(("method", "threshold"), [("ssim", 0.6), ("mi", 1.1)])
def test_stable_holds_for_pixels(archive: Path, tmp_path: Path, method: str, threshold: float) -> None:
    source, out = tmp_path / "in", tmp_path / "run"
    options: Any = {"method": method, "threshold": threshold, "stable": True}
    rest = grow(archive, source, 0.5, 1)
    ctprune.reduce(source, out=out, **options)
    before = {key for key, kept in zip(keys(out), ctprune.Manifest.load(out).slices().kept, strict=True) if kept}
    for file in rest:
        add(archive, source, file)
    slices = ctprune.reduce(source, out=out, **options).slices()
    after = {key for key, kept in zip(keys(out), slices.kept, strict=True) if kept}
    assert before <= after
    assert ctprune.verify(out) == []
    without = ctprune.reduce(source, **(options | {"stable": False})).slices()
    assert (without.kept != slices.kept).any()


def test_stable_is_the_plain_rule_where_nothing_was_before(archive: Path, tmp_path: Path) -> None:
    first = ctprune.reduce(archive, out=tmp_path, stable=True)
    assert first.rows == ctprune.reduce(archive).rows
    assert first.config["stable"] is True


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"threshold": 4}, "`threshold` 6, not 4"),
        ({"method": "ahash", "threshold": 6}, "read with different options|`method`"),
        ({"intensity": "lung"}, "read with different options"),
        ({"keep": 0.1}, "stable needs `threshold`"),
        ({"method": "random"}, "stable belongs to"),
    ],
    ids=str,
)
def test_stable_needs_the_same_options(archive: Path, tmp_path: Path, options: Any, expected: str) -> None:
    ctprune.reduce(archive, out=tmp_path)
    before = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(ctprune.ConfigError, match=expected):
        ctprune.reduce(archive, out=tmp_path, stable=True, **options)
    assert (tmp_path / FILE_NAME).read_bytes() == before


def changes(run: Path) -> list[dict[str, Any]]:
    file = run / "changes.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_changes_are_told_slice_by_slice_and_counted(archive: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "run"
    rest = grow(archive, source, 0.5, 3)
    early = ctprune.reduce(source, out=out).slices()
    before = dict(zip(keys(out), early.kept.tolist(), strict=True))
    assert changes(out) == []
    for file in rest:
        add(archive, source, file)
    slices = ctprune.reduce(source, out=out).slices()
    now = dict(zip(keys(out), slices.kept.tolist(), strict=True))
    expected = {key for key, kept in before.items() if now[key] != kept}
    assert expected
    found = changes(out)
    assert {(change["path"], change["frame"]) for change in found} == expected
    for change in found:
        key = (change["path"], change["frame"])
        assert (change["before"] == "kept", change["after"] == "kept") == (before[key], now[key])
        if change["reason"] == "a new slice covers it":
            row = keys(out).index(key)
            assert keys(out)[slices.exemplar[row]] not in before
    counts = json.loads((out / "summary.json").read_text())["changes"]
    assert sum(sum(reasons.values()) for reasons in counts.values()) == len(found)
    # A run that changes nothing says so.
    ctprune.reduce(source, out=out)
    assert changes(out) == []


def test_an_exemplar_that_is_gone_and_a_file_that_has_changed(archive: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "run"
    shutil.copytree(archive, source)
    slices = ctprune.reduce(source, out=out).slices()
    names = keys(out)
    dropped = next(
        row for row in range(len(slices)) if not slices.kept[row] and names[row][0] != names[row - 1][0]
    )
    exemplar = int(slices.exemplar[dropped])
    (source / names[exemplar][0]).unlink()
    ctprune.reduce(source, out=out)
    reasons = {(change["path"], change["reason"]) for change in changes(out)}
    assert any(reason == "its exemplar is gone" for _, reason in reasons)
    other = next(
        row for row in range(len(slices)) if slices.volume[row] != slices.volume[dropped] and slices.kept[row]
    )
    covered = next(row for row in range(other + 1, len(slices)) if slices.exemplar[row] == other)
    (source / names[other][0]).write_bytes((source / names[covered][0]).read_bytes())
    os.utime(source / names[other][0], ns=(10**18, 10**18))
    ctprune.reduce(source, out=out)
    found = changes(out)
    assert all(change["before"] != change["after"] for change in found)
    assert ctprune.verify(out) == []


def test_changes_of_options_are_not_changes_of_slices(archive: Path, tmp_path: Path) -> None:
    ctprune.reduce(archive, out=tmp_path)
    ctprune.reduce(archive, out=tmp_path, threshold=2)
    assert changes(tmp_path) == []


def test_a_folder_whose_disk_is_missing_costs_nothing(archive: Path, tmp_path: Path) -> None:
    disk, other, out = tmp_path / "disk", tmp_path / "other", tmp_path / "run"
    shutil.copytree(next(archive.iterdir()), disk)
    other.mkdir()
    ctprune.reduce([disk, other], out=out)
    ctprune.read_shard(disk, shard="1/2", out=tmp_path / "shards")
    before = {file: file.read_bytes() for run in (out, tmp_path / "shards") for file in files_below(run)}
    disk.rename(tmp_path / "elsewhere")
    disk.mkdir()
    for run in (out, tmp_path / "shards"):
        with pytest.raises(ctprune.SourceError, match=f"^{disk}: the folder is empty, but {run} has"):
            ctprune.reduce([disk] if run.name == "shards" else [disk, other], out=run)
    assert {file: file.read_bytes() for file in before} == before
    disk.rmdir()
    (tmp_path / "elsewhere").rename(disk)
    # A folder that was always empty is as good as any.
    assert ctprune.reduce([disk, other], out=out).rows == ctprune.reduce(disk).rows


def test_pseudonyms_of_a_missing_disk_stay(archive: Path, tmp_path: Path) -> None:
    shutil.copytree(next(archive.iterdir()), tmp_path / "disk")
    options: Any = {"out": tmp_path / "run", "pseudonymize": make_key(tmp_path / "key")}
    ctprune.reduce(tmp_path / "disk", **options)
    shutil.rmtree(tmp_path / "disk")
    (tmp_path / "disk").mkdir()
    with pytest.raises(ctprune.SourceError, match="the folder is empty"):
        ctprune.reduce(tmp_path / "disk", **options)


def files_below(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


def test_the_command_counts_changes(archive: Path, tmp_path: Path, cli: Cli) -> None:
    rest = grow(archive, tmp_path / "in", 0.5, 3)
    cli("reduce", "in", "--out", "run")
    for file in rest:
        add(archive, tmp_path / "in", file)
    done = cli("reduce", "in", "--out", "run")
    assert "now, unlike the last time" in done.stdout


@pytest.mark.parametrize("option", ["intensity", "fingerprint"])
def test_a_changed_configuration_starts_anew_with_a_sentence(archive: Path, tmp_path: Path, option: str) -> None:
    ctprune.reduce(archive, out=tmp_path)
    said: list[str] = []
    options: Any = {"intensity": "lung"} if option == "intensity" else {"fingerprint": "ahash", "method": "all"}
    manifest = ctprune.reduce(archive, out=tmp_path, note=said.append, **options)
    assert len(said) == 1
    assert said[0].startswith(f"{tmp_path} was read with `{option}` ")
    assert said[0].endswith("all files are read again")
    assert manifest.rows == ctprune.reduce(archive, **options).rows


def test_other_kernels_start_anew_with_a_sentence(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctprune.reduce(archive, out=tmp_path)
    monkeypatch.setattr("ctprune._core.KERNELS_VERSION", ctprune._core.KERNELS_VERSION + 1)
    said, counts = list[str](), list[int]()
    ctprune.reduce(
        archive, out=tmp_path, note=said.append, progress=lambda now: counts.append(now.facts["files_read"])
    )
    assert "readers other than those" in said[0]
    assert max(counts) == sum(path.is_file() for path in archive.rglob("*"))
