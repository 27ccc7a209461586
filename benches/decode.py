"""Decoding each transfer syntax: files to pixels, one process, one thread and two."""

from __future__ import annotations

import functools
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import ctprune
from benches import series
from benches.codecs import SYNTAXES, Syntax, transcoded
from benches.decoders import Decoder, decoders
from benches.measure import Contender, Table, compare
from benches.rust_rivals import built, rust_rivals
from benches.settings import Settings
from ctprune import _core

Stored = npt.NDArray[np.uint16]

#: Uncompressed files are read so fast that more of them are needed.
_UNCOMPRESSED_COPIES = 5

#: Files that ctprune reads into one array.
_BLOCK = 16


def run(settings: Settings, threads: int) -> dict[str, Any]:
    return {
        "input": f"{series.about(settings)}, transcoded without loss",
        "about": (
            "Goal: with one thread as many files per second as the best tool, with two threads more; 10,000 "
            "uncompressed. The first line hands over stored values; ctprune.reduce fingerprints them too."
        ),
        "tables": [_table(settings, syntax, threads) for syntax in SYNTAXES],
    }


def _table(settings: Settings, syntax: Syntax, threads: int) -> Table:
    paths = transcoded(settings, syntax)
    sources = [paths[0].parent]
    expected = list(series.stored_values(series.series(settings)))
    contenders, notes = [], []
    tools = {decoder.name: decoder for decoder in decoders(syntax, paths[0], threads)}
    if syntax.name == "uncompressed":
        copies = series.copies(settings)[:_UNCOMPRESSED_COPIES]
        sources, paths = copies, [path for folder in copies for path in sorted(folder.iterdir())]
        expected *= len(copies)
    stored = np.stack(expected)
    _check_ctprune(sources, paths, stored)
    contenders += _ctprune(sources, paths, stored, threads)
    for decoder in tools.values():
        problem = _problem(decoder, paths, expected)
        if problem:
            notes.append(f"{decoder.name}: {problem}.")
        else:
            contenders.append(_rival(decoder, paths, threads))
    for rival in rust_rivals(syntax, paths, expected, threads):
        if isinstance(rival, str):
            notes.append(rival)
        else:
            contenders.append(rival)
    size = sum(os.path.getsize(path) for path in paths) / len(paths) / 1000
    title = f"{syntax.name}, {size:.0f} kB a file, {threads} thread{'s' * (threads > 1)}"
    return compare(title, contenders, rounds=settings.rounds, unit="files", notes=notes)


def _check_ctprune(sources: list[Path], paths: list[Path], stored: Stored) -> None:
    """Every value as stored, and every file's fingerprint that of these values."""
    for path, expected in zip(paths, stored, strict=True):
        hu = _core.read_hu([(str(path), 0)], *expected.shape, "CT", 512)[0]
        if not np.array_equal(hu - (hu[0, 0] - float(expected[0, 0])), expected):
            raise AssertionError(f"{path.name}: ctprune decodes other values")
    rows = ctprune.reduce(sources, method="all").rows
    order = sorted(range(len(rows)), key=list(zip(rows["source"], rows["path"], strict=True)).__getitem__)
    fingerprints = rows["fingerprint"][order]
    if not np.array_equal(fingerprints, ctprune.dhash(stored)):
        raise AssertionError(f"{paths[0].parent.name}: ctprune finds other fingerprints")


def _ctprune(sources: list[Path], paths: list[Path], stored: Stored, threads: int) -> list[Contender]:
    slices = [(str(path), 0) for path in paths]
    blocks = [slices[start : start + _BLOCK] for start in range(0, len(slices), _BLOCK)]
    shape = stored.shape[1:]
    program = _build()
    command = [program, str(threads), *sorted({str(path.parent) for path in paths})]
    if int(subprocess.check_output(command)) != len(paths):
        raise AssertionError(f"{paths[0].parent.name}: ctprune does not decode every file")
    return [
        Contender(
            name="ctprune, decoding alone",
            run=lambda: subprocess.check_output(command),
            items=len(paths),
            note="the Rust readers as a program, its start included",
        ),
        Contender(
            name="ctprune.reduce",
            run=lambda: ctprune.reduce(sources, method="all", threads=threads),
            items=len(paths),
            note="with fingerprints and manifest; keeps no array",
        ),
        Contender(
            name="ctprune, arrays of HU",
            run=lambda: [_core.read_hu(block, *shape, "CT", 512) for block in blocks],
            items=len(paths),
            note=f"float32, {_BLOCK} slices at a time",
        ),
        Contender(
            name="(ctprune.dhash from memory)",
            run=lambda: ctprune.dhash(stored),
            items=len(paths),
            note="what the fingerprints of the first line take",
        ),
    ]


@functools.cache
def _build() -> str:
    """The example that reads files and does nothing with their pixels."""
    return built(Path("Cargo.toml"), ["--package", "ctprune-archive", "--example", "decode"])


def _rival(decoder: Decoder, paths: list[Path], threads: int) -> Contender:
    def decode_all(some: list[Path]) -> None:
        for path in some:
            decoder.decode(path)

    def decode_in_threads() -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(decode_all, [paths[first::threads] for first in range(threads)]))

    run = decode_in_threads if threads > 1 else lambda: decode_all(paths)
    return Contender(name=decoder.name, run=run, items=len(paths), note=decoder.note)


def _problem(decoder: Decoder, paths: list[Path], expected: list[Stored]) -> str:
    """Why this tool cannot be timed; empty when it gives the stored values or the HU of all files."""
    try:
        shift = float(decoder.decode(paths[0])[0, 0]) - float(expected[0][0, 0])
        pairs = zip(paths, expected, strict=True)
        wrong = sum(not np.array_equal(decoder.decode(path) - shift, stored) for path, stored in pairs)
    except Exception as error:
        return f"cannot ({type(error).__name__})"
    return f"wrong values in {wrong} of {len(paths)} files" if wrong else ""
