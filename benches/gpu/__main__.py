"""Measure on a GPU within a given time: `python -m benches.gpu --data DIR --out DIR`, from the project's root.

Each part runs in a process of its own, which is ended when its time is over; what it has measured by then counts.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from benches.gpu.box import Box, append

RESULTS, LOG = "results.jsonl", "log.txt"

#: Each part and its share of the time; what one does not use is shared by those after it. First comes what matters
#: most, in case the machine is gone early.
PARTS = {"swav": 2.5, "tests": 2.0, "vit": 1.2, "deep": 0.5, "kmeans": 0.5, "experiment": 2.8}

#: Seconds that a part has to end by itself when its time is over.
_PATIENCE = 5.0


def main() -> None:
    started = time.time()
    args = _arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    results, log = (args.out / RESULTS).resolve(), (args.out / LOG).resolve()
    if results.exists():
        sys.exit(f"{results} is there already: give another folder with --out")
    end = started + 60 * args.minutes
    asked = {"minutes": args.minutes, "device": args.device, "tiny": args.tiny, "parts": args.parts}
    append(results, "run", "asked", **asked)
    failed = [name for name in _in_turn(args, end, results, log) if name]
    append(results, "run", "ended", seconds=round(time.time() - started, 1), failed=failed)
    print(f"results: {results}", file=sys.stderr)
    sys.exit(1 if failed else 0)


def _in_turn(args: argparse.Namespace, end: float, results: Path, log: Path) -> list[str]:
    """The names of parts that failed."""
    failed = []
    # It takes seconds of importing torch, so it is a part like the others.
    parts = {"environment": 0.3} | {name: PARTS[name] for name in args.parts}
    for index, (name, share) in enumerate(parts.items()):
        left = end - time.time() - _PATIENCE
        seconds = left * share / sum(list(parts.values())[index:])
        if seconds < 1:
            append(results, name, "not started", seconds_left=round(left, 1))
            failed.append(name)
            continue
        with tempfile.TemporaryDirectory(prefix="ctprune-gpu-", dir=args.work_dir) as work:
            box = Box(
                part=name,
                results=str(results),
                work=work,
                data=str(args.data.resolve()),
                device=args.device,
                tiny=args.tiny,
                until=time.time() + seconds,
            )
            if not carry_out(box, log):
                failed.append(name)
    return failed


def carry_out(box: Box, log: Path) -> bool:
    """Run a part to its end, or to the end of its time; whether it did what it had to."""
    print(f"{box.part}: at most {box.left():.0f} s", file=sys.stderr)
    file = Path(box.work) / "box.json"
    box.save(file)
    append(Path(box.results), box.part, "started", seconds_at_most=round(box.left(), 1))
    started = time.time()
    with log.open("a", encoding="utf-8") as stream:
        stream.write(f"\n== {box.part}\n")
        stream.flush()
        child = subprocess.Popen(
            [sys.executable, "-m", "benches.gpu.part", str(file)],
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code: int | None = child.wait(max(box.left(), 0.1) + _PATIENCE / 2)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            # Workers of a DataLoader, too.
            _end(child)
    ending = "out of time" if code is None else "done" if code == 0 else f"failed with exit code {code}"
    append(Path(box.results), box.part, ending, seconds=round(time.time() - started, 1))
    print(f"{box.part}: {ending}, {time.time() - started:.0f} s", file=sys.stderr)
    return code == 0


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the process and all that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benches.gpu", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that python -m benches.gpu.pack wrote")
    parser.add_argument("--out", type=Path, required=True, help=f"folder for {RESULTS} and {LOG}")
    parser.add_argument("--minutes", type=float, default=9.0, help="for all parts together")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="all by default")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="something small, to see that everything works")
    parser.add_argument("--work-dir", help="folder for what is written meanwhile; needs 2 GB")
    args = parser.parse_args()
    if not (args.data / "slices.zip").is_file():
        parser.error(f"{args.data} holds no slices.zip: make it with python -m benches.gpu.pack --out {args.data}")
    if args.minutes <= 0:
        parser.error(f"--minutes {args.minutes:g}: expected more than 0")
    return args


if __name__ == "__main__":
    main()
