"""Synthetic CT archives: something to try ctprune on without data, and what its tests run on.

A phantom is a body described by shapes (`torso`, `lungs`, `mediastinum`, `abdomen`, `skeleton`), put together
in `patient`, seen by made-up scanners (`scanner`, `reconstruct`), written as DICOM (`study`, `images`,
`dose`, `case`, `archive`).
"""

from ctprune.phantom.archive import LABELS, ArchiveSummary, write_archive

__all__ = ["LABELS", "ArchiveSummary", "write_archive"]
