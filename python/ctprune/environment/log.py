"""What ctprune logs, through Python's `logging` with loggers named `ctprune.…`.

Nothing here loads `logging`, which help and usage errors do without. Who wants to see what is logged has loaded
it: until then, nothing is logged.

Messages name no patient, and no path below a source.
"""

from __future__ import annotations

import sys


class Log:
    """The logger of a part of ctprune.

    Args:
        name: Its name, such as `ctprune.sources`.

    >>> import logging
    >>> logging.getLogger("ctprune.doc").setLevel(logging.INFO)
    >>> shown = logging.StreamHandler(sys.stdout)
    >>> logging.getLogger("ctprune.doc").addHandler(shown)
    >>> Log("ctprune.doc").info("%d files", 3)
    3 files
    >>> Log("ctprune.doc").debug("not shown")
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def debug(self, message: str, *values: object) -> None:
        """Log what helps to find a fault."""
        self._log(10, message, values)

    def info(self, message: str, *values: object) -> None:
        """Log what is being done."""
        self._log(20, message, values)

    def warning(self, message: str, *values: object) -> None:
        """Log what may make the result smaller than it could be."""
        self._log(30, message, values)

    def error(self, message: str, *values: object) -> None:
        """Log what ends the work."""
        self._log(40, message, values)

    def _log(self, level: int, message: str, values: tuple[object, ...]) -> None:
        logging = sys.modules.get("logging")
        if logging is None:
            return
        above = logging.getLogger("ctprune")
        if not above.handlers:
            # Without a handler, Python would print warnings to stderr.
            above.addHandler(logging.NullHandler())
        logging.getLogger(self._name).log(level, message, *values)
