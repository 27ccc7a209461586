"""Run the benchmarks: `python -m benches [NAME…]`, from the project's root."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benches import environment, record
from benches.settings import Settings

#: Each benchmark with the thread counts that it runs under, each in a process of its own.
BENCHMARKS = {
    "dhash": (1,),
    "endtoend": (2,),
    "decode": (1, 2),
    "hu": (1,),
    "selection": (2,),
    "selections": (2,),
    "duplicates": (2,),
    "memory": (2,),
    "similarity": (1,),
    "deep": (2,),
    "throughput": (2,),
    "reuse": (2,),
    "scale": (2,),
    "cluster": (2,),
    "calibration": (1,),
    "pair_seeds": (1,),
    "objects": (2,),
}


def main() -> None:
    args = _arguments()
    # Taken before anything runs: the load is that of others.
    where = environment.describe()
    with tempfile.TemporaryDirectory(prefix="ctprune-bench-", dir=args.work_dir) as work:
        settings = Settings(
            work=work,
            data=args.data,
            describe=args.describe,
            slices=args.slices,
            rounds=args.rounds,
            copies=args.copies,
            large=args.large,
            repetitions=args.repetitions,
            state=args.state,
        )
        settings.save(Path(work) / "settings.json")
        for name in args.names or BENCHMARKS:
            done = [_run(name, threads, Path(work)) for threads in BENCHMARKS[name]]
            tables = [table for result in done for table in result["tables"]]
            result = {"name": name, "environment": where, **done[0], "tables": tables}
            record.write(where["date"][:10], name, result, args.record)
    print(f"results: {args.record}", file=sys.stderr)


def _run(name: str, threads: int, work: Path) -> dict[str, Any]:
    print(f"{name}, {threads} thread(s)", file=sys.stderr)
    result = work / f"{name}-{threads}.json"
    command = [sys.executable, "-m", "benches.child", name, str(threads), str(work), str(result)]
    subprocess.run(command, env=environment.variables(threads), check=True)
    return dict(json.loads(result.read_text()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benches", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(BENCHMARKS)}; all if none")
    parser.add_argument("--data", default="", help="folder with a CT series; a phantom is generated without it")
    parser.add_argument("--describe", default="a real CT", help="what the series is, for the record")
    parser.add_argument("--slices", type=int, default=98, help="at most so many slices")
    parser.add_argument("--rounds", type=int, default=5, help="how often each tool is timed")
    parser.add_argument("--copies", type=int, default=21, help="copies of the series read end to end")
    parser.add_argument(
        "--large",
        action="store_true",
        help="also the largest inputs: 10 million fingerprints or embeddings, a million files",
    )
    parser.add_argument("--repetitions", type=int, default=4000, help="simulated comparisons for each line")
    parser.add_argument("--state", default="", help="folder that keeps finished lines of calibration")
    parser.add_argument("--record", type=Path, default=record.FOLDER, help="folder for the results")
    parser.add_argument("--work-dir", help="folder for generated input; needs 6 GB, with --large 13 GB")
    args = parser.parse_args()
    unknown = [name for name in args.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"{unknown[0]}: expected one of {', '.join(BENCHMARKS)}")
    return args


if __name__ == "__main__":
    main()
