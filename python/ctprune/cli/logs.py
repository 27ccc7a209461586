"""The log of the command line: what `--log-level` shows on stderr."""

from __future__ import annotations

import logging
import os
import platform
import re
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from types import TracebackType

from ctprune.cli.output import DONE_WITH_FAILURES, neutral
from ctprune.environment.log import Log
from ctprune.errors import ConfigError, CtpruneError

LEVELS = ("error", "warning", "info", "debug")

_log = Log("ctprune.cli")


class _Stderr(logging.Handler):
    """Plain lines on the present stderr, above any progress bar there."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print(neutral(self.format(record)), file=sys.stderr, flush=True)
        except Exception:
            # As logging's own handlers do: a line that cannot be shown does not end the command.
            self.handleError(record)


def begin_logging(level: str) -> None:
    """Show ctprune's log on stderr, from this level on.

    Raises:
        ConfigError: There is no such level.
    """
    if level.lower() not in LEVELS:
        raise ConfigError(f"--log-level {level}: expected one of {', '.join(LEVELS)}")
    handler = _Stderr()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("ctprune")
    logger.handlers = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
    for line in _environment():
        _log.debug(line)


def _environment() -> Iterator[str]:
    """Facts besides the input on which a result can depend: versions, system, processors."""
    from ctprune import __version__

    yield f"ctprune {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    yield f"{os.cpu_count() or 1} processors"
    for package in sorted({re.split(r"[^\w.-]", found, maxsplit=1)[0] for found in _requirements()}):
        yield f"{package} {_version(package)}"


def _requirements() -> list[str]:
    """The requirements of ctprune and its extras, as in `pyproject.toml`."""
    try:
        return requires("ctprune") or []
    except PackageNotFoundError:
        return []


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "is not installed"


def log_end(ending: SystemExit, began: float) -> None:
    """Log how a command ended; `began` is of `time.perf_counter`.

    For an error, only places in the code are logged: its sentence is on stderr, and its causes may name files.
    """
    error = ending.__context__
    if isinstance(error, CtpruneError):
        places = reversed(list(_places(error.__traceback__)))
        _log.debug("%s was raised at %s", type(error).__name__, ", called by ".join(places))
    say = _log.info if ending.code in (None, 0, DONE_WITH_FAILURES) else _log.error
    say("ended with exit code %s after %.3f s", ending.code or 0, time.perf_counter() - began)


def _places(traceback: TracebackType | None) -> Iterator[str]:
    while traceback is not None:
        name = traceback.tb_frame.f_globals.get("__name__", "")
        if name.startswith("ctprune"):
            yield f"{name}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
