"""The log of a training: a CSV file, TensorBoard, and Weights & Biases when asked for."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from ctprune.errors import ConfigError, OutputError
from ctprune.files.atomic import replace_file

Line = dict[str, float | int]

FOLDER_NAME = "logs"

#: Measures of the probe, for the backbone and for the moving average of its weights.
PROBED = (
    "knn_accuracy",
    "linear_accuracy",
    "linear_auc",
    "average_knn_accuracy",
    "average_linear_accuracy",
    "average_linear_auc",
)

#: Columns of `metrics.csv`; those of the end of an epoch are empty in other lines.
COLUMNS = (
    "step",
    "epoch",
    "loss",
    "learning_rate",
    "slices_per_second",
    "feature_std",
    "assignment_entropy",
    "rankme",
    *PROBED,
)


class Records:
    """Lines of the log on disk.

    Args:
        folder: Folder of the pre-training.
        lines: Lines that an interrupted training wrote before it is resumed.
        wandb: Configuration for Weights & Biases; None leaves it out.
    """

    def __init__(self, folder: Path, lines: list[Line], wandb: Mapping[str, Any] | None = None) -> None:
        self._file = folder / FOLDER_NAME / "metrics.csv"
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._write_all(lines)
        purge = lines[-1]["step"] + 1 if lines else 0
        self._board = SummaryWriter(str(self._file.parent / "tensorboard"), purge_step=int(purge))
        self._run = None if wandb is None else _start_wandb(self._file.parent, wandb)
        for line in lines:
            # A run of Weights & Biases is whole, also after an interruption.
            self._log_to_wandb(line)

    def add(self, line: Line) -> None:
        """Write one line everywhere.

        Raises:
            OutputError: The disk is full, or the file can no longer be written.
        """
        try:
            with self._file.open("a", newline="") as opened:
                csv.DictWriter(opened, COLUMNS).writerow(line)
        except OSError as error:
            raise OutputError(f"{self._file}: cannot be written: {error.strerror or error}") from None
        for name, value in _numbers(line).items():
            self._board.add_scalar(name, value, int(line["step"]))
        self._log_to_wandb(line)

    def close(self) -> None:
        """Close everything that is open."""
        self._board.close()
        if self._run is not None:
            self._run.finish()

    def _log_to_wandb(self, line: Line) -> None:
        if self._run is not None:
            self._run.log(_numbers(line), step=int(line["step"]))

    def _write_all(self, lines: list[Line]) -> None:
        with replace_file(self._file) as beside, beside.open("w", newline="") as opened:
            writer = csv.DictWriter(opened, COLUMNS)
            writer.writeheader()
            writer.writerows(lines)


def import_wandb() -> Any:
    """The library of Weights & Biases.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        import wandb
    except ModuleNotFoundError:
        raise ConfigError(
            "wandb needs Weights & Biases, which is not installed: pip install wandb", field="wandb"
        ) from None
    return wandb


def _start_wandb(folder: Path, config: Mapping[str, Any]) -> Any:
    return import_wandb().init(
        project="ctprune",
        dir=str(folder),
        config=dict(config),
        # Nothing leaves the machine unless the user has set WANDB_MODE for it.
        mode=os.environ.get("WANDB_MODE", "offline"),
        # Printed text and the program's path may contain names.
        settings={"console": "off", "disable_git": True, "save_code": False},
    )


def _numbers(line: Line) -> Line:
    return {name: value for name, value in line.items() if name != "step"}
