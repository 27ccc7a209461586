"""Run ctprune's command line as users do, without a new interpreter each time.

A server imports what takes seconds, torch above all, and forks for each command. The fork loads ctprune itself, so
all that ctprune does at its start happens; nothing of an earlier command is left.
"""

from __future__ import annotations

import atexit
import json
import os
import runpy
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_LIGHT = ("numpy", "pydicom", "PIL.Image", "rich.console", "typer", "yaml")

_DRAWING = ("numpy.random", "jinja2", "matplotlib.figure", "matplotlib.backends.backend_svg")

_HEAVY = (
    *_DRAWING,
    *("torch", "torch.utils.tensorboard", "torchvision.transforms.v2", "pytorch_lightning"),
    *("lightly.loss", "lightly.models", "lightly.transforms"),
    *("sklearn.linear_model", "sklearn.metrics", "sklearn.neighbors"),
)

#: Commands that draw, and those that import torch, unless they only say what they would do.
_FIGURES = {"report", "sweep", "compare"}
_TRAINING = {"pretrain", "convert", "finetune", "predict", "segment", "experiment"}


class Commands:
    """The side of the tests."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def run(
        self, arguments: Sequence[object], *, cwd: Path, env: Mapping[str, str], timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Exit code and outputs of `ctprune ARGUMENTS`.

        Raises:
            subprocess.TimeoutExpired: After so many seconds the command was killed.
        """
        words = [str(argument) for argument in arguments]
        if not hasattr(os, "fork"):
            command = [sys.executable, "-m", "ctprune", *words]
            return subprocess.run(command, cwd=cwd, env=dict(env), capture_output=True, text=True, timeout=timeout)
        with self._lock, tempfile.TemporaryDirectory(prefix="ctprune-command-") as scratch:
            outputs = [f"{scratch}/{name}" for name in ("stdout", "stderr")]
            request = {
                "arguments": words,
                "cwd": str(cwd),
                "env": dict(env),
                "outputs": outputs,
                "timeout": timeout,
            }
            server = self._started()
            assert server.stdin is not None
            assert server.stdout is not None
            server.stdin.write(json.dumps(request) + "\n")
            server.stdin.flush()
            code = json.loads(server.stdout.readline())
            stdout, stderr = (Path(output).read_text("utf-8", "replace") for output in outputs)
        if code is None:
            raise subprocess.TimeoutExpired(words, timeout, stdout, stderr)
        return subprocess.CompletedProcess(["ctprune", *words], code, stdout, stderr)

    def _started(self) -> subprocess.Popen[str]:
        if self._server is None:
            command = [sys.executable, "-m", "tests.commands"]
            root = Path(__file__).parents[1]
            self._server = subprocess.Popen(
                command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        return self._server

    def close(self) -> None:
        """End the server."""
        if self._server is not None:
            with self._server as server:
                # The end of its input would not do: a process that a test has forked may hold that open.
                server.kill()
            self._server = None


def _serve() -> None:
    for name in _LIGHT:
        __import__(name)
    for line in sys.stdin:
        request = json.loads(line)
        words = request["arguments"]
        if "--help" not in words:
            trains = words[:1] and (words[0] in _TRAINING or "deep" in words)
            for name in _HEAVY if trains else _DRAWING if _FIGURES & set(words[:1]) else ():
                __import__(name)
        child = os.fork()
        if child == 0:
            _become(request)
        print(json.dumps(_code_of(child, request["timeout"])), flush=True)


def _become(request: dict[str, object]) -> None:
    """Be `python -m ctprune`, to the end."""
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, output in enumerate(request["outputs"], 1):  # type: ignore[arg-type, var-annotated]
            os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
        os.chdir(str(request["cwd"]))
        os.environ.clear()
        os.environ.update(request["env"])  # type: ignore[arg-type]
        # Where -m looks first: not this server's folder.
        sys.path[0] = str(request["cwd"])
        sys.argv = ["ctprune", *request["arguments"]]  # type: ignore[misc]
        runpy.run_module("ctprune", run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ending:
        if isinstance(ending.code, str):
            print(ending.code, file=sys.stderr)
        code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        # As an interpreter ends.
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _code_of(child: int, timeout: float) -> int | None:
    """The exit code, or minus the signal; `None` when it took too long."""
    until = time.monotonic() + timeout
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            os.kill(child, 9)
            os.waitpid(child, 0)
            return None
        time.sleep(0.002)


if __name__ == "__main__":
    _serve()
