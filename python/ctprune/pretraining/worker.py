"""The program of the processes that `Workers` starts: `python -m ctprune.pretraining.worker`."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def take_part(carry_out: Callable[[dict[str, Any]], None]) -> None:
    """Take part in the training that standard input describes.

    Args:
        carry_out: Called with the order that `Workers` was given, and with `launch`. It imports what is slow.
    """
    order = json.load(sys.stdin)
    threading.Thread(target=_end_with, args=(order["parent"],), daemon=True).start()
    from ctprune.errors import CtpruneError, Interrupted

    try:
        carry_out(order)
    except Interrupted:
        sys.exit(130)
    except CtpruneError as error:
        sys.exit(str(error))


def _carry_out(order: dict[str, Any]) -> None:
    # Only now, since torch takes seconds to import, in which the parent may end.
    from ctprune.pretraining.config import PretrainConfig
    from ctprune.pretraining.launch import Launch
    from ctprune.pretraining.run import PretrainingRun

    config, launch = PretrainConfig.from_dict(order["config"]), Launch(**order["launch"])
    PretrainingRun(
        Path(order["run"]), Path(order["out"]), config, resume=order["resume"], launch=launch
    ).carry_out()


def _end_with(parent: int) -> None:
    """End this process soon after its parent, however that ended."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    take_part(_carry_out)
