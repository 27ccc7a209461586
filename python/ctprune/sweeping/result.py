"""The result of a sweep: a table with a row per method and threshold, and what follows from it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune import _core
from ctprune.errors import ManifestError
from ctprune.files.atomic import replace_file
from ctprune.manifest.derived import SWEEP_NAME

#: Version of the table's layout; other versions are refused.
SWEEP_VERSION = 3

_COLUMNS = ["method", "threshold", "kept", "kept_fraction"]


@dataclass(frozen=True)
class Sweep:
    """Kept fraction against threshold.

    Attributes:
        table: One row per method and threshold, from each method's strictest threshold (which drops least) to its
            loosest; columns `method`, `threshold`, `kept` (slices), `kept_fraction`.
        about: Everything else, as in the file's metadata: `manifest_digest` (see `ctprune.Manifest.digest`),
            `scope`, `slices`, `volumes`, `methods` (for each what its threshold is compared with), `targets`,
            `agreement`, `diversity` (rows of each method near each fraction, as `Diversity.to_dict` gives them).
    """

    table: _core.Rows
    about: dict[str, Any]

    @property
    def methods(self) -> list[str]:
        """The methods, in the order in which they were given."""
        return [method["name"] for method in self.about["methods"]]

    @property
    def targets(self) -> list[dict[str, Any]]:
        """Per method and wanted fraction (`keep`) the threshold whose kept fraction comes nearest to it."""
        return list(self.about["targets"])

    @property
    def agreement(self) -> list[dict[str, Any]]:
        """Per wanted fraction and pair of methods (`a`, `b`) the Jaccard index of their kept sets.

        `b` can also be `every-n`, the method of that name that comes nearest to the fraction, or `random`: what a
        random sample of the same size is expected to share.
        """
        return list(self.about["agreement"])

    def curve(self, method: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Thresholds and kept fractions of a method, each float64 of shape (thresholds,)."""
        rows = self.table.filter(np.array([name == method for name in self.table["method"]], np.bool_))
        return rows["threshold"], rows["kept_fraction"]

    def to_dict(self) -> dict[str, Any]:
        """All of it for JSON."""
        return self.about | {"curve": self.table.to_dicts()}

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write `sweep.parquet` into a folder and return its path.

        Raises:
            OutputError: It cannot be written.
        """
        with replace_file(Path(folder, SWEEP_NAME)) as beside:
            self.table.write(beside, json.dumps(self.about, sort_keys=True))
        return Path(folder, SWEEP_NAME)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Sweep:
        """Read a sweep from its folder or from the Parquet file itself.

        Raises:
            ManifestError: There is no sweep, the file is not one, or this version of ctprune cannot read it.
        """
        file = Path(path, SWEEP_NAME) if Path(path).is_dir() else Path(path)
        if not file.is_file():
            raise ManifestError(f"{path}: expected a folder with {SWEEP_NAME} or that file, found none")
        try:
            table, found = _core.Rows.read(file)
            about = json.loads(found or "{}")
            version = about["sweep_version"]
        except (OSError, KeyError, TypeError, ValueError):
            raise ManifestError(f"{file}: expected a sweep of ctprune, found another kind of file") from None
        if version != SWEEP_VERSION or not table.columns == _COLUMNS:
            raise ManifestError(
                f"{file}: sweep version {version}, but ctprune {_core.__version__} reads version {SWEEP_VERSION}: "
                "run 'ctprune sweep' again"
            )
        return cls(table, about)


def curve_table(curves: dict[str, tuple[list[float], npt.NDArray[np.int64]]], slices: int) -> _core.Rows:
    """The table of a sweep from each method's thresholds and numbers of kept slices."""
    kept = np.concatenate([np.asarray(counts, np.int64) for _, counts in curves.values()])
    return _core.Rows.from_columns(
        {
            "method": [method for method, (thresholds, _) in curves.items() for _ in thresholds],
            "threshold": np.concatenate([np.asarray(of, np.float64) for of, _ in curves.values()]),
            "kept": kept,
            "kept_fraction": kept / slices,
        }
    )
