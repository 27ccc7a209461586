"""What results of fine-tunings and of segmentations do alike: they stand in `metrics.json`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ctprune import _core
from ctprune.errors import SourceError
from ctprune.files.json_files import read_versioned, write_json
from ctprune.files.json_values import without_nan

if TYPE_CHECKING:
    from typing_extensions import Self

METRICS_NAME = "metrics.json"


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """A result in the folder `out`, of the kind of training that `TRAINING` names.

    `METRICS_VERSION` is the version of its `metrics.json`.
    """

    TRAINING: ClassVar[str]
    METRICS_VERSION: ClassVar[int]

    out: Path

    def to_dict(self) -> dict[str, Any]:
        """The same for JSON; numbers that are not defined are None."""
        fields = {name: value for name, value in vars(self).items() if name != "out"}
        about = {"metrics_version": self.METRICS_VERSION, "ctprune_version": _core.__version__}
        found: dict[str, Any] = without_nan(about | fields)
        return found

    def save(self) -> None:
        """Write `metrics.json`: its presence means that the training is finished.

        Raises:
            OutputError: It cannot be written.
        """
        write_json(self.out / METRICS_NAME, self.to_dict())

    @classmethod
    def load(cls, out: str | os.PathLike[str]) -> Self:
        """Read it from the folder of a finished training.

        Raises:
            SourceError: The folder holds no result, or a result of another version.
        """
        about = read_versioned(
            Path(out) / METRICS_NAME,
            "metrics",
            cls.METRICS_VERSION,
            error=SourceError,
            missing=f"{out}: expected the folder of a finished {cls.TRAINING} with {METRICS_NAME}",
        )
        return cls(out=Path(out), **about)
