"""The program of the processes that `Workers` starts: `python -m ctprune.pretraining.worker`."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path


def main() -> None:
    """Take part in the pre-training that standard input describes."""
    order = json.load(sys.stdin)
    threading.Thread(target=_end_with, args=(order["parent"],), daemon=True).start()
    # Only now, since torch takes seconds to import, in which the parent may end.
    from ctprune.errors import CtpruneError, Interrupted
    from ctprune.pretraining.config import PretrainConfig
    from ctprune.pretraining.launch import Launch
    from ctprune.pretraining.run import PretrainingRun

    config, launch = PretrainConfig.from_dict(order["config"]), Launch(**order["launch"])
    try:
        PretrainingRun(
            Path(order["run"]), Path(order["out"]), config, resume=order["resume"], launch=launch
        ).carry_out()
    except Interrupted:
        sys.exit(130)
    except CtpruneError as error:
        sys.exit(str(error))


def _end_with(parent: int) -> None:
    """End this process soon after its parent, however that ended."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    main()
