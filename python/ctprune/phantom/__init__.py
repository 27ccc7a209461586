"""Synthetic CT archives: something to try ctprune on without data, and what its tests run on.

A phantom is a body described by shapes (`torso`, `lungs`, `mediastinum`, `abdomen`, `skeleton`), put together
in `patient`, seen by made-up scanners (`scanner`, `reconstruct`), written as DICOM (`study`, `images`,
`dose`, `case`, `archive`) as `config` says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ctprune.phantom.config import PhantomConfig

if TYPE_CHECKING:
    from ctprune.phantom.archive import LABELS, ArchiveSummary, write_archive

__all__ = ["LABELS", "ArchiveSummary", "PhantomConfig", "write_archive"]


def __getattr__(name: str) -> Any:
    """What makes pictures loads numpy and pydicom, so it waits until it is used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ctprune.phantom import archive

    return getattr(archive, name)
