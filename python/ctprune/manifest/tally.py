"""Rows counted by status and reason as they go by, so that they need not be in memory together."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ctprune import _core


@dataclass
class Tally:
    """Numbers of rows.

    Attributes:
        rows: Number of rows by status.
        reasons: Number of rows by reason, for each status that has one.
    """

    rows: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, batch: _core.Rows) -> None:
        """Count the rows of a batch."""
        if not len(batch):
            return
        statuses, status = batch.labels("status")
        reasons, reason = batch.labels("reason")
        pairs, counts = np.unique(status * len(reasons) + reason, return_counts=True)
        for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
            name, why = statuses[pair // len(reasons)], reasons[pair % len(reasons)]
            self.rows[name] += count
            if why:
                self.reasons[name][why] += count

    def by_reason(self, status: str) -> dict[str, int]:
        """The reasons of a status, the most frequent first."""
        return dict(sorted(self.reasons[status].items(), key=lambda item: (-item[1], item[0])))
