"""Numbers of things in sentences."""

from __future__ import annotations


def counted(count: int, unit: str) -> str:
    """A number of units, as text.

    >>> counted(1, "volume"), counted(1200, "image")
    ('1 volume', '1,200 images')
    """
    return f"{count:,} {unit}{'' if count == 1 else 's'}"
