"""Runs commands of ctprune in forked processes whose k-th change of the disk fails; the shim must be preloaded.

Reads one request as JSON from stdin, writes what happened as JSON to stdout. Forked, since to start Python and to
load modules for each of some hundred calls would take most of the time.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import importlib
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from ctprune import cli
from ctprune.cli import generate, merge, output, progress, reduce  # noqa: F401
from ctprune.files import pace
from ctprune.reduction import reading, selecting

#: Savings at every occasion, portions of a few files: many calls, as in a long run.
pace.SHORTEST = pace.LONGEST = 0.0
reading.PORTION = 1e-6
selecting._SLICES = 1

SHIM = ctypes.CDLL(os.environ["CTPRUNE_SHIM"])


def run(
    arguments: list[str], folder: Path, k: int, mode: str, log: Path, killed_after: float | None = None
) -> tuple[int, int]:
    """Run a command in a forked process; its exit code, or minus the signal, and how many calls it had made.

    With `killed_after`, the process is killed after so many seconds, wherever it is.
    """
    counted, count = os.pipe()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            os.chdir(folder)
            sys.argv = ["ctprune", *arguments]
            error = 0 if mode == "kill" else getattr(errno, mode, 0)
            back = 400 * 86400 if mode == "clock" else 0
            SHIM.fault_arm(
                str(folder).encode(), ctypes.c_long(k), error, int(mode == "ENOSPC"), ctypes.c_long(back)
            )
            code = 0
            cli.main()
        except SystemExit as ending:
            code = int(ending.code or 0)
        except BaseException:
            traceback.print_exc()
            code = 71
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.write(count, str(ctypes.c_long(SHIM.fault_calls()).value).encode())
            os._exit(code)
    os.close(count)
    if killed_after is not None:
        time.sleep(killed_after)
        # Where it has ended, there is still its exit code to be fetched.
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    calls = os.read(counted, 32)
    os.close(counted)
    return os.waitstatus_to_exitcode(status), int(calls or 0)


def load_what_is_needed(request: dict[str, Any], scratch: Path) -> None:
    """Import what the commands import, without a trace of having run them."""
    names = scratch / "modules"
    child = os.fork()
    if child == 0:
        here = scratch / "here"
        shutil.copytree(request["folder"], here)
        os.chdir(here)
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        for command in [request["faulty"], *request["commands"]]:
            sys.argv = ["ctprune", *command]
            with contextlib.suppress(SystemExit):
                cli.main()
        names.write_text("\n".join(name for name in sys.modules if name != "__main__"))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    for name in names.read_text().splitlines():
        # Some put modules into `sys.modules` that cannot be imported by their names.
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def seconds_of(request: dict[str, Any], scratch: Path) -> float:
    """How long the command takes when nobody disturbs it."""
    here = scratch / "here"
    shutil.rmtree(here, ignore_errors=True)
    shutil.copytree(request["folder"], here)
    start = time.perf_counter()
    run(request["faulty"], here, 0, "none", scratch / "log")
    return time.perf_counter() - start


def sweep(request: dict[str, Any]) -> dict[str, Any]:
    """Let each call of a command fail in turn, or kill it at any moment; then run all commands without a fault.

    `request`: `folder` (copied for each k, so that it is as it was before the command), `before` and `commands`
    (run before and after the fault), `faulty` (the command), `mode`, `manifest` (where it is in the folder),
    `expected` (its bytes, in hexadecimal of their SHA-256), `earlier` (the one before, may be empty), `ks` (the
    calls, or none for all).
    """
    from hashlib import sha256

    start, scratch = Path(request["folder"]), Path(request["scratch"])
    load_what_is_needed(request, scratch)
    whole = seconds_of(request, scratch) if request["mode"] == "moment" else 0.0
    problems, faults, k = [], 0, 0
    ks = iter(request["ks"]) if request["ks"] else None
    while True:
        k = next(ks, 0) if ks else k + 1
        if not k:
            break
        here = scratch / "here"
        shutil.rmtree(here, ignore_errors=True)
        shutil.copytree(start, here)
        log = scratch / "log"
        if request["mode"] == "moment":
            after = random.Random(k).uniform(0, 1.2 * whole)
            code, calls = run(request["faulty"], here, 0, "none", log, after)
            text = log.read_text(errors="replace") if log.exists() else ""
            reached = code < 0
        else:
            code, calls = run(request["faulty"], here, k, request["mode"], log)
            text = log.read_text(errors="replace")
            reached = code < 0 or calls >= k
        said = [line for line in text.splitlines() if line.startswith("Error:")]
        file = here / request["manifest"]
        digest = sha256(file.read_bytes()).hexdigest() if file.exists() else ""
        if request["mode"] in ("kill", "moment"):
            wrong = code not in (0, -9)
        else:
            wrong = "Traceback" in text or not (code == 0 or (code == 1 and len(said) == 1))
        if wrong:
            problems.append([k, f"exit code {code}", text[-2000:]])
        if digest not in (request["earlier"], request["expected"]):
            problems.append([k, "the earlier manifest is not intact", text[-500:]])
        for command in request["commands"]:
            again, _ = run(command, here, 0, "none", log)
            if again:
                problems.append([k, f"the rerun ends with {again}", log.read_text(errors="replace")[-2000:]])
        digest = sha256(file.read_bytes()).hexdigest() if file.exists() else ""
        if digest != request["expected"]:
            problems.append([k, "the rerun gives another manifest", text[-500:]])
        left = sorted(
            str(path.relative_to(here)) for path in file.parent.rglob("*") if path.name.endswith(".part")
        )
        for name in (".lock", "parts", "parts/*"):
            left += [str(path.relative_to(here)) for path in file.parent.glob(name)]
        if left:
            problems.append([k, f"left behind: {left}", ""])
        faults += reached
        if not reached and not ks:
            break
        if len(problems) > 5:
            break
    return {"problems": problems, "faults": faults}


if __name__ == "__main__":
    print(json.dumps(sweep(json.load(sys.stdin))))
