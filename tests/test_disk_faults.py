"""A run that is killed at any call that changes the disk, or whose call fails, loses nothing.

A rerun gives its bytes. As SQLite's tests do: the k-th call ends the process or fails, k rising until the command
succeeds.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import ctprune
from ctprune.manifest.manifest import FILE_NAME
from tests.containers import files_of, write_container
from tests.sources.faulty import Plan, serving

FOLDER = Path(__file__).parent / "faults"

COMPILER = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)

pytestmark = pytest.mark.skipif(
    COMPILER is None or not sys.platform.startswith("linux"), reason="needs Linux and a C compiler"
)

#: Calls that fail in the fast tests; the slow ones take all.
SOME = [2, 9, 22, 45]


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("shim") / "shim.so"
    assert COMPILER is not None
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", "-o", file, FOLDER / "shim.c", "-ldl"], check=True)
    ctypes.CDLL(str(file))
    return file


@dataclass
class Case:
    """A folder, the command that meets the fault, those that complete the work, and what they give."""

    folder: Path
    faulty: list[str]
    commands: list[list[str]]
    expected: bytes
    earlier: bytes = b""
    run: str = "run"


@pytest.fixture
def start(archive: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a few small slices of two series; in memory if it can be, where nobody waits for a disk.

    What lies beside it in `bucket` is served as `s3://bucket`.
    """
    memory = Path("/dev/shm")
    scratch = Path(tempfile.mkdtemp(prefix="ctprune-faults-", dir=memory if memory.is_dir() else None))
    folder = scratch / "start"
    patients = sorted(path for path in archive.iterdir() if path.is_dir())[:2]
    for patient in patients:
        for file in sorted(path for path in patient.rglob("*") if path.is_file())[:4]:
            target = folder / "in" / patient.name / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, target)
    (scratch / "bucket").mkdir()
    with serving(scratch / "bucket", Plan()) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        yield folder
    shutil.rmtree(scratch)


def reduced(folder: Path, *more: str, source: str = "in", out: str = "run") -> bytes:
    command = [sys.executable, "-m", "ctprune", "reduce", source, "--out", out, "--quiet", *more]
    subprocess.run(command, cwd=folder, check=True)
    return (folder / out / FILE_NAME).read_bytes()


def expected_of(start: Path, *more: str) -> bytes:
    """The manifest of an undisturbed run. Paths are in it: it is made where the others will be."""
    here = start.parent / "scratch" / "here"
    shutil.copytree(start, here)
    content = reduced(here, *more, out="whole")
    shutil.rmtree(here)
    return content


COMMON = ["--threads", "1", "--quiet"]


def single(start: Path) -> Case:
    expected = expected_of(start)
    command = ["reduce", "in", "--out", "run", *COMMON]
    return Case(start, command, [command], expected)


def pixels(start: Path) -> Case:
    options = ["--method", "ssim", "--threshold", "0.6"]
    expected = expected_of(start, *options)
    command = ["reduce", "in", "--out", "run", *options, *COMMON]
    return Case(start, command, [command], expected)


def grown(start: Path) -> Case:
    """An earlier reduction is there, of fewer files and with a summary and changes to come."""
    here = start.parent / "scratch" / "here"
    shutil.copytree(start, here)
    hidden = next(path for path in sorted((here / "in").iterdir()))
    hidden.rename(here / "hidden")
    earlier = reduced(here)
    (here / "hidden").rename(hidden)
    shutil.copytree(here / "run", start / "run")
    expected = reduced(here)
    shutil.rmtree(here)
    command = ["reduce", "in", "--out", "run", *COMMON]
    return Case(start, command, [command], expected, earlier)


def first_shard(start: Path) -> Case:
    expected = expected_of(start)
    first, second = (["reduce", "in", "--out", "run", "--shard", f"{number}/2", *COMMON] for number in (1, 2))
    return Case(start, first, [first, second], expected)


def last_shard(start: Path) -> Case:
    expected = expected_of(start)
    here = start.parent / "scratch" / "here"
    shutil.copytree(start, here)
    first, second = (["reduce", "in", "--out", "run", "--shard", f"{number}/2", *COMMON] for number in (1, 2))
    subprocess.run([sys.executable, "-m", "ctprune", *first], cwd=here, check=True)
    shutil.copytree(here / "run", start / "run")
    shutil.rmtree(here)
    # Whatever became of the shard, a join completes the work.
    return Case(start, second, [["reduce", "in", "--out", "run", *COMMON]], expected)


def merged(start: Path) -> Case:
    here = start.parent / "scratch" / "here"
    shutil.copytree(start, here)
    sources = [f"in/{folder.name}" for folder in sorted((start / "in").iterdir())]
    for name, source in zip("xy", sources, strict=True):
        reduced(here, source=source, out=name)
        shutil.copytree(here / name, start / name)
    command = [sys.executable, "-m", "ctprune", "reduce", *sources, "--out", "whole", "--quiet"]
    subprocess.run(command, cwd=here, check=True)
    expected = (here / "whole" / FILE_NAME).read_bytes()
    shutil.rmtree(here)
    merge = ["merge", "x", "y", "--out", "run", *COMMON]
    return Case(start, merge, [merge], expected)


def remote(start: Path) -> Case:
    """A zip file with a tar file in it, and a tar file, in a bucket."""
    bucket, (first, second) = start.parent / "bucket", sorted((start / "in").iterdir())
    inner = write_container(start / "inner.tar", files_of(first))
    write_container(bucket / "one.deflated.zip", {"inner.tar": inner.read_bytes(), **files_of(second)})
    write_container(bucket / "two.tar.gz", {f"copy/{name}": data for name, data in files_of(first).items()})
    inner.unlink()
    here = start.parent / "scratch" / "here"
    shutil.copytree(start, here)
    expected = reduced(here, source="s3://bucket", out="whole")
    shutil.rmtree(here)
    command = ["reduce", "s3://bucket", "--out", "run", *COMMON]
    return Case(start, command, [command], expected)


CASES: dict[str, Callable[[Path], Case]] = {
    "single": single,
    "pixels": pixels,
    "grown": grown,
    "first shard": first_shard,
    "last shard": last_shard,
    "merge": merged,
    "remote": remote,
}


def sweep(shim: Path, case: Case, mode: str, ks: list[int]) -> dict[str, Any]:
    scratch = case.folder.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    request = {
        "folder": str(case.folder),
        "scratch": str(scratch),
        "faulty": case.faulty,
        "commands": case.commands,
        "mode": mode,
        "manifest": f"{case.run}/{FILE_NAME}",
        "expected": hashlib.sha256(case.expected).hexdigest(),
        "earlier": hashlib.sha256(case.earlier).hexdigest() if case.earlier else "",
        "ks": ks,
    }
    environment = os.environ | {
        "LD_PRELOAD": str(shim),
        "CTPRUNE_SHIM": str(shim),
        "NO_COLOR": "1",
        "COLUMNS": "200",
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.driver"],
        cwd=FOLDER.parents[1],
        env=environment,
        input=json.dumps(request),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def explained(found: dict[str, Any]) -> str:
    return "\n".join(f"call {k}: {what}\n{text}" for k, what, text in found["problems"])


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("single", "kill"),
        ("grown", "ENOSPC"),
        ("last shard", "kill"),
        ("merge", "EIO"),
        ("remote", "kill"),
        ("grown", "EROFS"),
    ],
)
def test_a_few_calls(shim: Path, start: Path, name: str, mode: str) -> None:
    found = sweep(shim, CASES[name](start), mode, SOME)
    assert not found["problems"], explained(found)
    assert found["faults"] >= 3


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["kill", "EIO", "ENOSPC"])
@pytest.mark.parametrize("name", CASES)
def test_every_call(shim: Path, start: Path, name: str, mode: str) -> None:
    found = sweep(shim, CASES[name](start), mode, [])
    assert not found["problems"], explained(found)
    assert found["faults"] > 20


@pytest.mark.slow
@pytest.mark.parametrize("name", ["single", "pixels", "grown", "merge"])
def test_killed_at_a_hundred_moments(shim: Path, start: Path, name: str) -> None:
    case = CASES[name](start)
    # As many threads as there are cores: what is under way at a moment differs from run to run.
    case.faulty = [word if word != "1" else "0" for word in case.faulty]
    found = sweep(shim, case, "moment", list(range(1, 101)))
    assert not found["problems"], explained(found)
    assert found["faults"] > 20


def test_a_clock_that_is_set_back(shim: Path, start: Path) -> None:
    found = sweep(shim, grown(start), "clock", [0x7FFFFFFF])
    assert not found["problems"], explained(found)


def test_files_from_the_future(start: Path) -> None:
    for file in (start / "in").rglob("*.dcm"):
        os.utime(file, (4e9, 4e9))
    first = reduced(start)
    counts: list[int] = []
    ctprune.reduce(
        start / "in", out=start / "run", progress=lambda now: counts.append(now.facts["files_read"]), threads=1
    )
    assert max(counts) == 0
    assert len(first) > 0
