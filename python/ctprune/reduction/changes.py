"""Slices whose status has changed since the earlier reduction of an archive, and why."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctprune import _core
from ctprune.environment.lazy import numpy as np
from ctprune.files.atomic import replace_file

if TYPE_CHECKING:
    import numpy.typing as npt

CHANGES_NAME = "changes.jsonl"

_WHERE = ["source", "path", "frame"]

#: Rows that are processed together.
_TOGETHER = 1 << 14

#: Options that decide which files are read, not how.
_OF_FILES = {"exclude", "stable"}


@dataclass(frozen=True)
class Changes:
    """The n slices whose status differs from that in the earlier reduction.

    Attributes:
        archive: The grouped archive.
        rows: Their rows of the manifest, uint32 of shape (n,), ascending.
        kept: Whether each is now kept, bool of shape (n,).
        reason: Index of the reason of each, uint8 of shape (n,).
        reasons: The reasons.
        option: The option that differs from the earlier reduction's; in that case slices are not compared.
    """

    archive: _core.Archive
    rows: npt.NDArray[np.uint32]
    kept: npt.NDArray[np.bool_]
    reason: npt.NDArray[np.uint8]
    reasons: list[str]
    option: str = ""

    def counts(self) -> dict[str, dict[str, int]]:
        """Number of slices by new status and reason, the most frequent first."""
        found: dict[str, dict[str, int]] = {}
        for became, chosen in (("kept", self.kept), ("dropped", ~self.kept)):
            counts = np.bincount(self.reason[chosen], minlength=len(self.reasons))
            order = [index for index in np.argsort(-counts, kind="stable").tolist() if counts[index]]
            if order:
                found[became] = {self.reasons[index]: int(counts[index]) for index in order}
        return found

    def write(self, out: Path) -> None:
        """Write a line for each slice to `changes.jsonl` in a folder; without changes, remove the file.

        Raises:
            OutputError: The folder cannot be written.
        """
        file = out / CHANGES_NAME
        if not len(self.rows):
            file.unlink(missing_ok=True)
            return
        with replace_file(file) as beside, beside.open("w", encoding="utf-8") as lines:
            start = 0
            while start < len(self.rows):
                first = int(self.rows[start])
                end = int(np.searchsorted(self.rows, first + _TOGETHER))
                rows = self.archive.rows(first, int(self.rows[end - 1]) + 1)
                if len(rows) <= int(self.rows[end - 1]) - first:
                    end = int(np.searchsorted(self.rows, first + len(rows)))
                addresses = rows.take(self.rows[start:end].astype(np.int64) - first).select(_WHERE).to_dicts()
                for index, address in zip(range(start, end), addresses, strict=True):
                    lines.write(json.dumps(address | self._change(index)) + "\n")
                start = end

    def _change(self, index: int) -> dict[str, str]:
        is_kept = bool(self.kept[index])
        return {
            "before": "dropped" if is_kept else "kept",
            "after": "kept" if is_kept else "dropped",
            "reason": self.reasons[int(self.reason[index])],
        }


def find_changes(archive: _core.Archive, earlier: dict[str, Any], config: dict[str, Any]) -> Changes:
    """Compare the selection of the grouped slices with the one that the archive took over.

    Args:
        archive: The archive, selected.
        earlier: Configuration of the earlier run.
        config: Configuration of this run.
    """
    differing = [name for name in config if name not in _OF_FILES and earlier.get(name) != config[name]]
    if differing:
        none = np.zeros(0, np.uint32)
        return Changes(archive, none, none.astype(np.bool_), none.astype(np.uint8), [], differing[0])
    return Changes(archive, *archive.changes())
