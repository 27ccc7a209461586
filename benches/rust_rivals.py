"""Rust readers as rivals at decoding: `rivals/`, a program to which files are given."""

from __future__ import annotations

import functools
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benches.codecs import Syntax
from benches.measure import Contender

Stored = npt.NDArray[np.uint16]

_MANIFEST = Path(__file__).parent / "rivals" / "Cargo.toml"
_NOTE = "as a program, its start included"

#: What the newest Rust is needed for: the crate j2k.
_NEWEST = (1, 99)

#: Tools of the program: name, note, the syntaxes that it is measured at (None: all).
_TOOLS = (
    ("dicom-rs", f"{_NOTE}; JPEG 2000 and HTJ2K by openjp2", None),
    ("j2k", f"{_NOTE}; on frames that dicom-rs cuts out", {"JPEG 2000", "HTJ2K"}),
)


def rust_rivals(
    syntax: Syntax, paths: list[Path], expected: list[Stored], threads: int
) -> Iterator[Contender | str]:
    """A contender for each tool that gives the stored values of all files, a sentence for each other."""
    program = built(_MANIFEST, ["--features", "j2k"] if _rust_version() >= _NEWEST else [])
    folders = sorted({str(path.parent) for path in paths})
    for tool, note, syntaxes in _TOOLS:
        if syntaxes is not None and syntax.name not in syntaxes:
            continue
        command = [program, tool, str(threads), *folders]
        problem = _problem(program, tool, paths, expected)
        if problem:
            yield f"{tool}: {problem}."
        else:
            run = functools.partial(subprocess.check_output, command)
            yield Contender(name=tool, run=run, items=len(paths), note=note)


@functools.cache
def _rust_version() -> tuple[int, ...]:
    text = subprocess.check_output(["rustc", "--version"], text=True)
    found = re.search(r"(\d+)\.(\d+)", text)
    return tuple(int(number) for number in found.groups()) if found else (0, 0)


def built(manifest: Path, options: list[str]) -> str:
    """Path of the one program that cargo builds of this manifest with these options."""
    command = ["cargo", "build", "--release", "--quiet", "--message-format", "json", *options]
    lines = subprocess.check_output([*command, "--manifest-path", str(manifest)], text=True).splitlines()
    messages: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return str(next(message["executable"] for message in messages if message.get("executable")))


def _problem(program: str, tool: str, paths: list[Path], expected: list[Stored]) -> str:
    wrong = 0
    for path, stored in zip(paths, expected, strict=True):
        found = subprocess.run([program, tool, "values", str(path)], capture_output=True)
        if found.returncode != 0:
            return f"cannot ({found.stderr.decode(errors='replace').strip().splitlines()[0][:100]})"
        same = len(found.stdout) == stored.nbytes and found.stdout == stored.tobytes()
        wrong += not same
    return f"wrong values in {wrong} of {len(paths)} files" if wrong else ""
