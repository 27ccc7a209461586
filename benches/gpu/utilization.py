"""How busy a GPU is while something runs, as its driver says."""

from __future__ import annotations

import statistics
import subprocess
import threading
from types import TracebackType

_ASKED = ("utilization.gpu", "utilization.memory", "memory.used", "power.draw", "clocks.sm")

#: Seconds between two questions.
_PAUSE = 0.3


class Utilization:
    """Asks nvidia-smi again and again while a `with` block runs; finds nothing where there is none."""

    def __init__(self, device: str) -> None:
        self._gpu = device == "cuda"
        self._said: list[str] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def means(self) -> dict[str, float]:
        """By name, such as `utilization.gpu` in percent."""
        return means_of(self._said)

    def _ask(self) -> None:
        command = ["nvidia-smi", f"--query-gpu={','.join(_ASKED)}", "--format=csv,noheader,nounits", "--id=0"]
        # What it says in the first moments is of what ran before.
        while not self._stopped.wait(_PAUSE):
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
            except (OSError, subprocess.SubprocessError):
                return
            self._said.append(done.stdout)

    def __enter__(self) -> Utilization:
        if self._gpu:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        if self._gpu:
            self._thread.join()


def means_of(lines: list[str]) -> dict[str, float]:
    """Means of what nvidia-smi said, of those cells that are numbers.

    >>> means_of(["90, 40, 1000, 500.5, 1980", "80, 40, 1000, [N/A], 1980"])["utilization.gpu"]
    85.0
    """
    rows = [[cell.strip() for cell in line.split(",")] for line in lines]
    found = {}
    for name, *cells in zip(_ASKED, *(row for row in rows if len(row) == len(_ASKED)), strict=True):
        values = [float(cell) for cell in cells if cell.replace(".", "", 1).isdigit()]
        if values:
            found[name] = round(statistics.mean(values), 1)
    return found
