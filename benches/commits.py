"""This checkout beside an older one, timed in turns: `python -m benches.commits OLDER`, from the project's root.

OLDER is a checkout of an earlier commit whose extension module lies in its `python/ctprune`. Both do the same
work in processes of their own, one after the other within each round, and must give the same answer.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benches import environment, memory, record, series
from benches.codecs import SYNTAXES, transcoded
from benches.commit_worker import CASES
from benches.measure import Table, number
from benches.settings import Settings

_THREADS = 2
_SMALL_FILES = 200_000


class Checkout:
    """A checkout, and the process that does its work."""

    def __init__(self, root: Path, work: Path, threads: int) -> None:
        self.root = root
        self.commit = _commit(root)
        variables = environment.variables(threads) | {"PYTHONPATH": f"{root / 'python'}:{Path.cwd()}"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benches.commit_worker", str(work), str(threads)],
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, case: str, loops: int) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([case, loops]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.root}: the process ended during {case}")
        return dict(json.loads(line))

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def main() -> None:
    args = _arguments()
    where = environment.describe()
    with tempfile.TemporaryDirectory(prefix="ctprune-bench-", dir=args.work_dir) as folder:
        settings = Settings(
            work=folder, data=args.data, describe=args.describe, slices=args.slices, copies=args.copies
        )
        _make_input(settings, set(args.names))
        tables = [_compare(args, Path(folder), threads) for threads in (1, _THREADS)]
        result = {
            "name": "commits",
            "environment": where,
            "input": f"{series.about(settings)}, and copies and transcoded copies of it; generated fingerprints",
            "about": "Each case on this commit (new) and an older one (old), in turns, with equal answers.",
            "tables": [table.to_dict() for table in tables if table.rows],
        }
    record.write(where["date"][:10], "commits", result, args.record)


def _make_input(settings: Settings, names: set[str]) -> None:
    series.copies(settings)
    for syntax in SYNTAXES:
        transcoded(settings, syntax)
    if not names or "memory" in names:
        memory.write_archive(Path(settings.work) / "memory", _SMALL_FILES)


def _compare(args: argparse.Namespace, work: Path, threads: int) -> Table:
    new, old = Checkout(Path.cwd(), work, threads), Checkout(args.older, work, threads)
    title = f"{new.commit} (new) against {old.commit} (old), {threads} thread{'s' * (threads > 1)}"
    table = Table(title, ["case", "new", "old", "new / old", "range"])
    for case, (of_threads, figure, _) in CASES.items():
        if threads in of_threads and (not args.names or case.split()[0] in args.names):
            _add(table, case, figure, new, old, args.rounds)
    for checkout in (new, old):
        checkout.end()
    return table


def _add(table: Table, case: str, figure: str, new: Checkout, old: Checkout, rounds: int) -> None:
    first = [checkout.ask(case, 1) for checkout in (new, old)]
    if first[0]["answer"] != first[1]["answer"]:
        table.notes.append(f"{case}: the answers differ.")
    # A figure that is no time (memory) is taken once a round all the same, without loops.
    loops = max(1, round(0.5 / max(first[1]["value"], 1e-6))) if figure == "s" else 1
    pairs = []
    for turn in range(rounds):
        order = (new, old) if turn % 2 == 0 else (old, new)
        values = {checkout.root: checkout.ask(case, loops)["value"] for checkout in order}
        pairs.append((values[new.root], values[old.root]))
    ratios = [one / other for one, other in pairs]
    of_new, of_old = (statistics.median(values) for values in zip(*pairs, strict=True))
    table.rows.append(
        [
            case,
            f"{number(of_new)} {figure}",
            f"{number(of_old)} {figure}",
            number(statistics.median(ratios)),
            f"{number(min(ratios))} – {number(max(ratios))}",
        ]
    )
    table.raw.append({"case": case, "unit": figure, "new": [p[0] for p in pairs], "old": [p[1] for p in pairs]})
    print(" | ".join(table.rows[-1]), file=sys.stderr, flush=True)


@functools.cache
def _commit(root: Path) -> str:
    command = ["git", "-C", str(root), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benches.commits", description=__doc__)
    parser.add_argument("older", type=Path, help="checkout of the older commit, with its extension module")
    parser.add_argument("names", nargs="*", help="first words of cases; all if none")
    parser.add_argument("--data", default="", help="folder with a CT series; a phantom is generated without it")
    parser.add_argument("--describe", default="a real CT", help="what the series is, for the record")
    parser.add_argument("--slices", type=int, default=98, help="at most so many slices")
    parser.add_argument("--copies", type=int, default=21, help="copies of the series read end to end")
    parser.add_argument("--rounds", type=int, default=9, help="how often each case is timed")
    parser.add_argument("--record", type=Path, default=record.FOLDER, help="folder for the results")
    parser.add_argument("--work-dir", help="folder for generated input; needs 6 GB")
    args = parser.parse_args()
    args.older = args.older.resolve()
    return args


if __name__ == "__main__":
    main()
