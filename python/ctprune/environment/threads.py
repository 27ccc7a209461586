"""How many threads may be asked for."""

from __future__ import annotations

from ctprune.errors import ConfigError

#: Each thread has buffers of its own; more of them than this only take memory.
MAX_THREADS = 512


def check_threads(threads: int) -> None:
    """Refuse a number of threads that no machine has; 0 stands for one per core.

    Raises:
        ConfigError: The number is below 0 or above `MAX_THREADS`.
    """
    if not 0 <= threads <= MAX_THREADS:
        raise ConfigError(f"threads {threads}: expected 0 (one per core) to {MAX_THREADS}", field="threads")
