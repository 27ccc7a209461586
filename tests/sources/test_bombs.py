"""Files that stand for gigabytes, for whichever reader: in containers and elsewhere, too, they cost their rows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import ctprune
from tests.containers import files_of, write_container
from tests.sources.faulty import Plan
from tests.test_hostile import PEAK, bombs


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["", "deflated.zip", "tar.gz"])
def test_bombs_cost_their_rows_and_less_than_two_gigabytes(
    bucket: Path, ct_file: Path, tmp_path: Path, kind: str, faults: Plan
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    bombs(folder, ct_file)
    # Of eight gigabytes: no server of the tests gives that out.
    (folder / "tail-sparse.dcm").unlink()
    (folder / "good.dcm").write_bytes(ct_file.read_bytes())
    if kind:
        write_container(bucket / f"bombs.{kind}", files_of(folder))
    else:
        for file in folder.iterdir():
            file.rename(bucket / file.name)
    for source in (bucket, "s3://bucket"):
        words = ["reduce", str(source), "--modality", "any", "--out", "run", "--quiet"]
        done = subprocess.run(
            [sys.executable, "-c", PEAK, *words], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        assert done.returncode in (0, 3), done.stderr
        assert int(done.stdout) < 2 << 30
        rows = ctprune.Manifest.load(tmp_path / "run").rows.to_dicts()
        # A tar file has a row of its own, too.
        status = {str(row["path"]).rpartition("/")[2]: row["status"] for row in rows if row["code"] != "S-ARCHIVE"}
        assert len(status) == 7
        assert status["good.dcm"] == "kept"
        assert all(found == "failed" for name, found in status.items() if name.startswith(("deflate", "large")))
