"""The folder of a training's result: its owner, one writer at a time, and the history of epochs."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ctprune.errors import ConfigError, OutputError
from ctprune.files.atomic import folder_for_results, replace_file
from ctprune.files.json_files import write_json
from ctprune.files.run_lock import NAME as LOCK_NAME
from ctprune.files.run_lock import sole_writer
from ctprune.finetuning.training_options import TrainingConfig
from ctprune.options.file import save_options

#: All options, and the digests (of options, data and weights) that identify a training.
CONFIG_NAME, INPUTS_NAME = "config.yaml", "inputs.json"

#: What unfinished seeds leave behind for the next session; gone when all are done.
PROGRESS_FOLDER = "progress"


def check_out(out: Path, source: Path, what: str) -> None:
    """Refuse a folder in the data, or one that holds something else; called before the work starts.

    Args:
        out: Folder of the result.
        source: The data.
        what: What the folder may hold, such as `fine-tuning`.

    Raises:
        ConfigError: It is a file, or lies in the data.
        OutputError: It holds something else.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"out {out}: expected a folder, found a file", field="out")
    if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise ConfigError(f"out {out} lies inside the data {source}: name a folder outside of it", field="out")
    holds = {path.name for path in out.iterdir()} - {LOCK_NAME} if out.is_dir() else set()
    if holds and CONFIG_NAME not in holds:
        raise OutputError(f"{out} is not empty and holds no {what}: choose a new or an empty folder")


@contextmanager
def hold(out: Path) -> Iterator[None]:
    """Be the folder's only writer; if nothing was written, remove the folder again.

    Raises:
        InUseError: Another training is writing to it.
        OutputError: It cannot be written.
    """
    with folder_for_results(out), sole_writer(out):
        yield


def claim(out: Path, config: TrainingConfig, what: str, *, data_digest: str, weights_sha256: str | None) -> bool:
    """Take the folder for this training; return whether an earlier session has done so.

    Args:
        out: Folder of the result.
        config: A `FinetuneConfig` or `SegmentConfig`.
        what: What is trained, such as `fine-tuning`.
        data_digest: Digest of the data.
        weights_sha256: Digest of the file of weights; None for random weights.

    Raises:
        OutputError: The folder holds a training of other data, weights or options, or cannot be written.
    """
    file = out / INPUTS_NAME
    mine = {"config_digest": config.digest(), "data_digest": data_digest, "weights_sha256": weights_sha256}
    if file.is_file():
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = None
        if found != mine:
            raise OutputError(f"{out} holds a {what} of other data, weights or options: choose a new folder")
        return True
    save_options(config, out / CONFIG_NAME)
    write_json(file, mine)
    return False


def write_history(out: Path, by_seed: Mapping[int, Iterable[Mapping[str, Any]]]) -> None:
    """Write `history.csv`, a row for each epoch of each seed, if there is any.

    Args:
        out: Folder of the result.
        by_seed: Rows of each seed, all with the same names.

    Raises:
        OutputError: It cannot be written.
    """
    rows = [{"seed": seed, **epoch} for seed, history in by_seed.items() for epoch in history]
    if not rows:
        return
    with replace_file(out / "history.csv") as beside, beside.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
