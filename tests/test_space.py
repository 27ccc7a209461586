"""A disk without room is said before anything is written."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

import ctprune


def with_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))


def test_copies_need_the_bytes_of_the_kept_files(
    archive: Path, manifest: ctprune.Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row for row in manifest.rows.to_dicts() if row["status"] == "kept" and row["frame"] == 0]
    alone = [row for row in rows if sum(other["path"] == row["path"] for other in manifest.rows.to_dicts()) == 1]
    needed = sum(Path(row["source"], row["path"]).stat().st_size for row in alone)
    with_free(monkeypatch, needed // 2)
    with pytest.raises(ctprune.OutputError, match=r"kept: .* MB are needed on this disk, but only .* MB are free"):
        ctprune.export_kept(manifest, mode="copy", folder=tmp_path / "kept")
    assert list(tmp_path.iterdir()) == []
    with_free(monkeypatch, 0)
    for mode in ("png", "nifti"):
        with pytest.raises(ctprune.OutputError, match="are needed on this disk"):
            ctprune.export_kept(manifest, mode=mode, folder=tmp_path / "kept")
    # Links need none.
    ctprune.export_kept(manifest, mode="link", folder=tmp_path / "links")
    with_free(monkeypatch, 1 << 40)
    ctprune.export_kept(manifest, mode="copy", folder=tmp_path / "kept")
    written = sum(file.stat().st_size for file in (tmp_path / "kept").rglob("*.dcm"))
    assert written == needed


def test_a_store_needs_its_pixels(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = ctprune.reduce(archive, out=tmp_path / "run").counts()["kept"]
    before = sorted(tmp_path.rglob("*"))
    # The pixels, and eight bytes for the row of each slice.
    needed = kept * (64 * 64 * 2 + 8)
    with_free(monkeypatch, needed - 1)
    with pytest.raises(ctprune.OutputError, match="free space, or name a folder on another disk"):
        ctprune.build_store(tmp_path / "run", side=64, depth=16)
    assert [path for path in sorted(tmp_path.rglob("*")) if path.name != ".lock"] == before
    with_free(monkeypatch, needed)
    assert len(ctprune.build_store(tmp_path / "run", side=64, depth=16)) == kept
