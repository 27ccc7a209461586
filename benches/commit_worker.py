"""The work of one checkout: reads names of cases, writes how long each took and a digest of its answer.

Cases use what all commits have in common.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom

Run = Callable[[Path, int], Any]

#: By name: the thread counts that a case runs under, what its figure is, and what it does. A case whose figure is
#: no time gives the figure and the answer.
CASES: dict[str, tuple[tuple[int, ...], str, Run]] = {}

_SYNTAXES = ("deflated", "RLE", "JPEG-LS", "JPEG lossless SV1", "JPEG 2000", "HTJ2K", "JPEG XL")


def _case(name: str, threads: tuple[int, ...] = (1,), figure: str = "s") -> Callable[[Run], Run]:
    def add(run: Run) -> Run:
        CASES[name] = (threads, figure, run)
        return run

    return add


@functools.cache
def _stored(work: Path) -> npt.NDArray[np.uint16]:
    return np.stack([pydicom.dcmread(path).pixel_array for path in sorted((work / "series").iterdir())])


@functools.cache
def _gray(work: Path) -> npt.NDArray[np.uint8]:
    stored = _stored(work).astype(np.float64)
    low, high = stored.min(axis=(1, 2), keepdims=True), stored.max(axis=(1, 2), keepdims=True)
    return np.rint((stored - low) * (255.0 / np.maximum(high - low, 1))).astype(np.uint8)


@functools.cache
def _fingerprints(kind: str) -> npt.NDArray[np.uint8]:
    from benches import walks

    return walks.walks(1_000_000) if kind == "walks" else walks.uniform(1_000_000)


@functools.cache
def _embeddings() -> npt.NDArray[np.float32]:
    return np.random.default_rng(1).standard_normal((4000, 512)).astype(np.float32)


def _ctprune() -> Any:
    import ctprune

    return ctprune


@_case("dhash 8 bits")
def _dhash(work: Path, threads: int) -> Any:
    return _ctprune().dhash(_gray(work))


@_case("dhash 16 bits")
def _dhash_stored(work: Path, threads: int) -> Any:
    return _ctprune().dhash(_stored(work))


@_case("similarity ssim, pairs")
def _ssim(work: Path, threads: int) -> Any:
    gray = _gray(work)
    return np.round(_ctprune().ssim(gray[:32], gray[32:96], all_to_all=True), 12)


@_case("similarity mi, pairs")
def _mi(work: Path, threads: int) -> Any:
    gray = _gray(work)
    return np.round(_ctprune().mutual_information(gray[:16], gray[32:64], all_to_all=True), 12)


@_case("similarity ssim, a volume reduced to a tenth")
def _ssim_volume(work: Path, threads: int) -> Any:
    return _kept(_ctprune().reduce(work / "series", method="ssim", keep=0.1, threads=threads))


@_case("similarity mi, a volume reduced to a tenth")
def _mi_volume(work: Path, threads: int) -> Any:
    return _kept(_ctprune().reduce(work / "series", method="mi", keep=0.1, threads=threads))


@_case("selection 1 million CT-like", (1, 2))
def _select_walks(work: Path, threads: int) -> Any:
    return _ctprune().select_exemplars(_fingerprints("walks"), threshold=6).exemplar


@_case("selection 1 million uniform", (2,))
def _select_uniform(work: Path, threads: int) -> Any:
    return _ctprune().select_exemplars(_fingerprints("uniform"), threshold=6).exemplar


@_case("endtoend reduce", (1, 2))
def _reduce(work: Path, threads: int) -> Any:
    return _kept(_ctprune().reduce(work / "copies", threads=threads))


@_case("decode uncompressed", (1, 2))
def _decode(work: Path, threads: int) -> Any:
    return _kept(_ctprune().reduce(work / "copies", method="all", threads=threads))


def _add_syntax(name: str) -> None:
    @_case(f"decode {name}", (1, 2))
    def _decode_syntax(work: Path, threads: int) -> Any:
        return _kept(_ctprune().reduce(work / "transcoded" / name, method="all", threads=threads))


for _name in _SYNTAXES:
    _add_syntax(_name)


@_case("reuse ctprune --help")
def _help(work: Path, threads: int) -> Any:
    _python("-m", "ctprune", "--help")


@_case("reuse an empty folder reduced")
def _empty(work: Path, threads: int) -> Any:
    (work / "empty").mkdir(exist_ok=True)
    # It says that no slice was found, exit code 4.
    _python("-m", "ctprune", "reduce", str(work / "empty"), "--out", str(_out(work)), "--quiet", code=4)


@_case("reuse first run", (2,))
def _first(work: Path, threads: int) -> Any:
    _python("-m", "ctprune", "reduce", str(work / "copies"), "--out", str(_out(work)), "--quiet")


@_case("reuse another threshold", (2,))
def _again(work: Path, threads: int) -> Any:
    out = work / f"again-{os.getpid()}"
    _python("-m", "ctprune", "reduce", str(work / "copies"), "--out", str(out), "--threshold", "3", "--quiet")


@_case("memory peak of 200,000 slices of 8 × 8", (2,), "MiB")
def _memory(work: Path, threads: int) -> Any:
    command = [sys.executable, "-m", "benches.memory", "reduce", str(work / "memory")]
    done = subprocess.run(
        [*command, "--out", str(_out(work)), "--quiet"], capture_output=True, text=True, check=True
    )
    return int(done.stdout.splitlines()[-1]) / 1024


def _kept(manifest: Any) -> str:
    kept = manifest.kept()
    return "\n".join(f"{path}" for path in sorted(map(str, list(kept["path"]))))


def _out(work: Path) -> Path:
    out = work / f"out-{os.getpid()}"
    shutil.rmtree(out, ignore_errors=True)
    return out


def _python(*arguments: str, code: int = 0) -> None:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    if done.returncode != code:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr}")


def _digest(answer: Any) -> str:
    data = answer.tobytes() if isinstance(answer, np.ndarray) else str(answer).encode()
    return hashlib.sha256(data).hexdigest()


def main(work: Path, threads: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    for line in sys.stdin:
        name, loops = json.loads(line)
        _, figure, run = CASES[name]
        is_time = figure == "s"
        if is_time:
            run(work, threads)
        start = time.perf_counter()
        for _ in range(loops):
            answer = run(work, threads)
        seconds = (time.perf_counter() - start) / loops
        value = seconds if is_time else answer
        print(json.dumps({"value": value, "answer": _digest(answer) if is_time else ""}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
