"""Stop early if too many files fail: `max_failed`."""

from __future__ import annotations

from ctprune import _core
from ctprune.environment.words import counted
from ctprune.errors import ConfigError, UnreadableError
from ctprune.options.parse import fraction

#: While a run is in progress, a share is checked only from this many files on.
MIN_FILES = 100

_EXPECTED = "expected a share below 100%, such as 1% or 0.01, or a whole number of files"


def max_failed(text: str) -> float:
    """The option from text: a share below 1, or a number of files.

    >>> max_failed("1%"), max_failed("0.5"), max_failed("20")
    (0.01, 0.5, 20.0)
    """
    try:
        found = fraction("max_failed", text)
    except ConfigError:
        raise ConfigError(f"max_failed {text}: {_EXPECTED}", field="max_failed") from None
    if "%" in text and found >= 1:
        raise ConfigError(f"max_failed {text}: {_EXPECTED}", field="max_failed")
    return found


def check_max_failed(limit: float | None) -> None:
    """Check that a limit is a share or a whole number.

    Raises:
        ConfigError: The sentence begins with the option's name.
    """
    if limit is not None and limit >= 1 and limit != int(limit):
        raise ConfigError(f"max_failed {limit:g}: {_EXPECTED}", field="max_failed")


def stop_if_too_many_failed(archive: _core.Archive, limit: float | None, *, at_end: bool, saved: bool) -> None:
    """Raise an error if more files have failed than allowed.

    Args:
        archive: The reduction in progress.
        limit: A share of the files read so far (below 1) or a number of files; None means no limit.
        at_end: Whether all files are read; then a share is checked however few they are.
        saved: Whether progress is saved for another run.

    Raises:
        UnreadableError: Too many files failed; it has the most frequent code.
    """
    if limit is None:
        return
    failed, tried, codes = archive.failures()
    if 0 < limit < 1:
        too_many = failed > limit * tried and (at_end or tried >= MIN_FILES)
        allowed = f"{limit:.6%}".rstrip("%").rstrip("0").rstrip(".") + "%"
    else:
        too_many, allowed = failed > limit, f"{limit:,.0f}"
    if not too_many:
        return
    code, count = codes[0]
    most = f"{'all' if count == failed else f'{count:,} of them'} with {code}"
    then = "fix that, then rerun to resume" if saved else "fix that"
    raise UnreadableError(
        f"{failed:,} of {counted(tried, 'file')} read so far could not be read, {most}; `max_failed` allows "
        f"{allowed}: {then}, or allow more"
    )
