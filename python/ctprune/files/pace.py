"""How often long work is saved."""

from __future__ import annotations

import time

#: Seconds between two savings: a tenth of the time since the start within these, so that long work has few parts.
SHORTEST, LONGEST = 1.0, 10.0


class Pace:
    """Says when it is time to save.

    >>> Pace().is_due()
    False
    """

    def __init__(self) -> None:
        self._started = self._saved = time.monotonic()

    def is_due(self) -> bool:
        """Whether the last saving, or the start, was long enough ago."""
        now = time.monotonic()
        return now - self._saved >= min(max((now - self._started) / 10, SHORTEST), LONGEST)

    def saved(self) -> None:
        """Count from now."""
        self._saved = time.monotonic()
