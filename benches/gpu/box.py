"""What a part of the run is given: where it computes, until when, on what, and where its figures go."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Box:
    """A part's share of the run.

    Attributes:
        part: Its name.
        results: File of the run's figures, a line of JSON for each.
        work: Folder of the part alone, removed after it.
        data: Folder that `benches.gpu.pack` wrote.
        device: `cuda` or `cpu`.
        tiny: Whether to measure something small, to see that everything works.
        until: When the part is ended, in seconds since 1970.
    """

    part: str
    results: str
    work: str
    data: str
    device: str
    tiny: bool
    until: float

    def left(self) -> float:
        """Seconds until the part is ended."""
        return self.until - time.time()

    def write(self, what: str, **figures: Any) -> None:
        append(Path(self.results), self.part, what, **figures)

    def save(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, file: Path) -> Box:
        return cls(**json.loads(file.read_text()))


def append(results: Path, part: str, what: str, **figures: Any) -> None:
    """Add a line, and see that it is on the disk: the next moment the machine may be gone."""
    line = json.dumps({"part": part, "what": what, "time": round(time.time(), 3), **figures})
    with results.open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def read(results: Path) -> list[dict[str, Any]]:
    """All whole lines; the last one may have been cut off."""
    lines = []
    for line in results.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return lines


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
