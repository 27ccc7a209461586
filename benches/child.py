"""One benchmark in a process of its own, since thread counts are settled when a process starts."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

from benches.settings import Settings


def main(name: str, threads: int, work: Path, result: Path) -> None:
    if hasattr(os, "sched_setaffinity"):
        # Some decoders start as many threads as they see cores, whatever they are told: show them no more.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    benchmark = importlib.import_module(f"benches.{name}")
    found = benchmark.run(Settings.load(work / "settings.json"), threads)
    tables = [table.to_dict() for table in found["tables"]]
    result.write_text(json.dumps({**found, "tables": tables}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))
