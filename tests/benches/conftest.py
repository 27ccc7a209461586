"""A series of uncompressed files for the benchmarks' pieces."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import ctprune


@pytest.fixture
def files(manifest: ctprune.Manifest, tmp_path: Path) -> list[Path]:
    lines = manifest.rows.to_dicts()
    uncompressed = [
        line
        for line in lines
        if line["status"] in ("kept", "dropped") and line["transfer_syntax_uid"] == "1.2.840.10008.1.2.1"
    ]
    (tmp_path / "series").mkdir()
    return [
        Path(shutil.copy(Path(line["source"], line["path"]), tmp_path / "series" / f"{number:04}.dcm"))
        for number, line in enumerate(line for line in uncompressed if line["volume"] == uncompressed[0]["volume"])
    ]
