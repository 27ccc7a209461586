"""Folders as on a CD: a DICOMDIR, and the files that it lists."""

from __future__ import annotations

from pathlib import Path

from pydicom.fileset import FileSet


def write_file_set(listed: FileSet, folder: Path) -> None:
    """Write the files and the DICOMDIR; remove pydicom's copies, which would go with a warning."""
    listed.write(folder)
    listed._stage["t"].cleanup()
