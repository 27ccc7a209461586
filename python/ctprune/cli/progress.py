"""The progress bar of the commands: on stderr, and only on terminals."""

from __future__ import annotations

import sys
from typing import TypeVar

Bar = TypeVar("Bar", bound="ProgressBar")


class ProgressBar:
    """What is being done, a bar, the state in words, and the time left. Commands add how they draw their state.

    Args:
        description: What is being done at first.
        hidden: Draw nothing.
    """

    def __init__(self, description: str, *, hidden: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[state]}"),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=hidden or not sys.stderr.isatty(),
            transient=True,
        )
        self._task = self._bar.add_task(description, total=None, state="")

    def __enter__(self: Bar) -> Bar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
