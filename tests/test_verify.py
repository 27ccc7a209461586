"""`ctprune verify` finds what is wrong with a reduction, and nothing where all is right."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import ctprune
from ctprune import _core
from ctprune.manifest.manifest import FILE_NAME, write_manifest
from tests.conftest import Cli
from tests.printed import result_of


@pytest.fixture
def run(archive: Path, tmp_path: Path) -> Path:
    """A reduction of a copy of the archive, which tests may change."""
    shutil.copytree(archive, tmp_path / "in")
    ctprune.reduce(tmp_path / "in", out=tmp_path / "run")
    return tmp_path / "run"


def checks(run: Path, **options: Any) -> list[str]:
    return [finding.check for finding in ctprune.verify(run, **options)]


def sentence(run: Path, **options: Any) -> str:
    [finding] = ctprune.verify(run, **options)
    return finding.sentence


def edit(run: Path, column: str, row: int, value: object) -> None:
    """Change a value of the manifest, and seal it as ctprune would."""
    manifest = ctprune.Manifest.load(run)
    table = pa.table(manifest.rows)
    values = table[column].to_pylist()
    values[row] = value
    index = table.schema.get_field_index(column)
    table = table.set_column(index, table.schema.field(index), pa.array(values, table.schema.field(index).type))
    write_manifest(run / FILE_NAME, [_core.Rows.from_arrow(table, 8)], manifest.config)


METHODS: list[dict[str, Any]] = [
    {"method": "hash"},
    {"method": "hash", "scope": "dataset", "keep": 0.2},
    {"method": "phash", "threshold": 10, "order": "path"},
    {"method": "ssim", "threshold": 0.7},
    {"method": "all"},
    {"method": "every-n", "n": 3},
    {"method": "random", "keep": 0.3},
    {"method": "random-per-volume", "keep": 0.3},
    {"method": "kcenter", "keep": 0.3},
    {"method": "kcenter", "threshold": 9, "scope": "dataset"},
    {"method": "facility", "keep": 0.3},
    {"method": "hash", "threshold": 20, "max_gap_mm": 5},
    {"method": "ahash", "keep": 0.2, "max_gap_mm": 12.5},
    {"method": "hash", "one_per_scan": True, "min_slices": 4},
]


@pytest.mark.parametrize("options", METHODS, ids=lambda options: options["method"])
def test_a_reduction_that_is_right_has_no_finding(archive: Path, tmp_path: Path, options: Any) -> None:
    ctprune.reduce(archive, out=tmp_path, **options)
    assert ctprune.verify(tmp_path, pixels=1.0) == []


def test_an_exemplar_beyond_the_largest_gap(archive: Path, tmp_path: Path) -> None:
    """The rule without the bound is not taken for the one with it."""
    for name, options in (("near", {"max_gap_mm": 5}), ("far", {})):
        ctprune.reduce(archive, out=tmp_path / name, threshold=20, **options)
    manifests = [ctprune.Manifest.load(tmp_path / name) for name in ("near", "far")]
    assert manifests[0].counts() != manifests[1].counts()
    write_manifest(tmp_path / "near" / FILE_NAME, [manifests[1].rows], manifests[0].config)
    sentences = [finding.sentence for finding in ctprune.verify(tmp_path / "near") if finding.check == "exemplars"]
    assert len(sentences) == 1
    assert "have an exemplar other than the one that their fingerprints give" in sentences[0]


def test_a_flipped_bit_of_the_manifest(run: Path) -> None:
    content = bytearray((run / FILE_NAME).read_bytes())
    content[len(content) // 2] ^= 1
    (run / FILE_NAME).write_bytes(content)
    assert checks(run) == ["manifest"]


def test_files_that_are_gone_or_have_changed(run: Path, tmp_path: Path) -> None:
    files = sorted(path for path in (tmp_path / "in").rglob("*.dcm"))
    files[0].unlink()
    os.utime(files[1], (0, 0))
    found = {finding.sentence for finding in ctprune.verify(run)}
    assert found == {
        f"{files[0]}: the file is gone",
        f"{files[1]}: the file has changed since the reduction read it",
    }


def test_pixels_that_are_others_though_size_and_time_are_the_same(run: Path, tmp_path: Path) -> None:
    slices = ctprune.Manifest.load(run).kept().to_dicts()
    first, second = [Path(row["source"], row["path"]) for row in slices if row["reader"] == "dicom"][:2]
    about = first.stat()
    content = bytearray(first.read_bytes())
    content[-len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    first.write_bytes(content)
    os.utime(first, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert checks(run) == []
    assert checks(run, pixels=1.0) == ["pixels"] or len(ctprune.verify(run, pixels=1.0)) == 2
    assert str(first) in ctprune.verify(run, pixels=1.0)[0].sentence
    assert second.exists()


def test_ctrl_c_while_slices_are_read_again_ends_the_check(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        raise ctprune.Interrupted("interrupted after 1 of 9 files; nothing was written")

    monkeypatch.setattr("ctprune.reduction.verify.reduce", stopped)
    with pytest.raises(ctprune.Interrupted, match=r"^interrupted$"):
        ctprune.verify(run, pixels=1.0)


def test_counts_of_the_summary(run: Path) -> None:
    summary = json.loads((run / "summary.json").read_text())
    summary["kept"] += 1
    (run / "summary.json").write_text(json.dumps(summary))
    assert f"kept: expected {summary['kept'] - 1}, as in the manifest, found {summary['kept']}" in sentence(run)


def test_a_missing_summary(run: Path) -> None:
    (run / "summary.json").unlink()
    assert checks(run) == ["summary"]


def dropped(run: Path) -> dict[str, Any]:
    rows = ctprune.Manifest.load(run).rows.to_dicts()
    return next({**row, "number": number} for number, row in enumerate(rows) if row["status"] == "dropped")


def test_an_exemplar_that_is_not_kept(run: Path) -> None:
    row = dropped(run)
    edit(run, "exemplar", row["number"], row["number"])
    assert "have an exemplar that is not kept" in ctprune.verify(run)[0].sentence


def test_an_exemplar_out_of_reach(run: Path) -> None:
    row = dropped(run)
    fingerprint = bytes(255 - byte for byte in row["fingerprint"])
    edit(run, "fingerprint", row["number"], fingerprint)
    sentences = [finding.sentence for finding in ctprune.verify(run)]
    assert any("lie farther than 6 bits from their exemplar" in sentence for sentence in sentences)
    assert any("have a distance to their exemplar other than that of" in sentence for sentence in sentences)


def test_an_exemplar_that_the_rule_does_not_give(run: Path) -> None:
    manifest = ctprune.Manifest.load(run)
    slices = manifest.slices()
    kept = next(
        row for row in range(1, len(slices)) if slices.kept[row] and slices.volume[row] == slices.volume[row - 1]
    )
    # As if it were its own exemplar's near-duplicate: a fingerprint that the rule would drop.
    edit(run, "fingerprint", kept, slices.fingerprints[slices.starts[slices.volume[kept]]].tobytes())
    assert "exemplars" in checks(run)


def test_slices_out_of_order(run: Path) -> None:
    slices = ctprune.Manifest.load(run).slices()
    edit(run, "position_mm", int(slices.starts[1]) - 1, -1e6)
    assert "have a position before that of the preceding slice" in sentence(run)


def test_a_volume_that_is_numbered_wrongly(run: Path) -> None:
    edit(run, "slice_index", 1, 5)
    assert "not numbered in order" in sentence(run)


def test_a_damaged_part(run: Path, archive: Path, tmp_path: Path) -> None:
    ctprune.read_shard(tmp_path / "in", shard="1/2", out=run, exclude=["nothing"])
    assert checks(run) == []
    shutil.rmtree(run / "parts")
    out = tmp_path / "unfinished"
    ctprune.read_shard(archive, shard="1/2", out=out)
    [part] = (out / "parts").rglob("*.parquet")
    part.write_bytes(part.read_bytes()[:-30])
    assert checks(out) == ["parts", "manifest"]


def test_a_reduction_without_a_manifest_is_not_finished(archive: Path, tmp_path: Path) -> None:
    ctprune.read_shard(archive, shard="2/3", out=tmp_path / "shards")
    assert sentence(tmp_path / "shards").endswith(
        "shards: there is no manifest yet, 1 of its 3 shards are read: read the others, or run 'ctprune reduce' "
        "for all together"
    )

    def stop(progress: ctprune.Progress) -> None:
        if progress.stage == "selecting":
            raise KeyboardInterrupt

    with pytest.raises(ctprune.Interrupted):
        ctprune.reduce(archive, out=tmp_path / "stopped", progress=stop)
    assert sentence(tmp_path / "stopped").endswith("run 'ctprune reduce' again to resume")


def test_a_damaged_store(run: Path) -> None:
    store = ctprune.build_store(run, side=16)
    assert checks(run) == []
    pixels = bytearray((store.folder / "pixels.npy").read_bytes())
    pixels[-1] ^= 1
    (store.folder / "pixels.npy").write_bytes(pixels)
    assert checks(run) == ["store"]


def test_a_folder_that_holds_no_reduction(tmp_path: Path) -> None:
    with pytest.raises(ctprune.ManifestError, match="expected the folder of a reduction"):
        ctprune.verify(tmp_path)


def test_the_command(run: Path, tmp_path: Path, cli: Cli) -> None:
    right = cli("verify", "run", "--pixels", "10%")
    assert (right.returncode, right.stdout) == (0, "run: no problem was found\n")
    next((tmp_path / "in").rglob("*.dcm")).unlink()
    wrong = cli("verify", "run")
    assert wrong.returncode == 1
    assert wrong.stdout.startswith("files: ")
    found = cli("verify", "run", "--json")
    assert [finding["check"] for finding in result_of("verify", found.stdout)["findings"]] == ["files"]
    assert cli("verify", "run", "--pixels", "2").returncode == 2
