"""Counts of rows by status and reason, taken as rows pass, so that they need not all be in memory."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ctprune.environment.lazy import numpy as np
from ctprune.manifest.refused import Refused, by_code

if TYPE_CHECKING:
    from ctprune import _core


@dataclass
class Tally:
    """Numbers of rows.

    Attributes:
        rows: Number of rows by status.
        reasons: Number of rows by code and reason, for each status that has them.
    """

    rows: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, Counter[tuple[str, str]]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, batch: _core.Rows) -> None:
        """Count the rows of a batch."""
        if not len(batch):
            return
        statuses, status = batch.labels("status")
        codes, code = batch.labels("code")
        reasons, reason = batch.labels("reason")
        kinds, counts = np.unique(np.stack([status, code, reason]), axis=1, return_counts=True)
        for (of_status, of_code, of_reason), count in zip(kinds.T.tolist(), counts.tolist(), strict=True):
            name = statuses[of_status]
            self.rows[name] += count
            if codes[of_code]:
                self.reasons[name][codes[of_code], reasons[of_reason]] += count

    def refused(self, status: str) -> Refused:
        """The codes and reasons of a status, the most frequent first."""
        return by_code((code, reason, count) for (code, reason), count in self.reasons[status].items())
