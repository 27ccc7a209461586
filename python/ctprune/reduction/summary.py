"""`summary.json`: what a reduction found, kept and dropped, and how long that took."""

from __future__ import annotations

import os
import platform
from typing import Any

from ctprune import _core
from ctprune.environment.log import Log
from ctprune.environment.words import counted
from ctprune.errors import ManifestError
from ctprune.manifest.findings import Findings
from ctprune.manifest.gaps import gap_percentiles
from ctprune.manifest.manifest import MANIFEST_VERSION
from ctprune.manifest.summary_file import load_summary
from ctprune.manifest.tally import Tally
from ctprune.reading.reasons import shown_reasons

_log = Log("ctprune.reduction")


def summarize(
    archive: _core.Archive, tally: Tally, findings: Findings, *, reading_seconds: float
) -> dict[str, Any]:
    """The summary of a reduction, by name, from the archive and its rows.

    Args:
        archive: The reduction, selected.
        tally: Counts of all rows.
        findings: Findings in all rows.
        reading_seconds: Seconds from the start until the last file was read.
    """
    progress, comparisons = archive.progress(), archive.comparisons()
    masks = findings.label_volumes()
    for code, reasons in shown_reasons(tally.refused("failed")).items():
        _log.warning("%s: %s could not be read", code, counted(sum(reasons.values()), "file"))
    return {
        "manifest_version": MANIFEST_VERSION,
        "ctprune_version": _core.__version__,
        "files": progress["files_found"],
        "files_read": progress["files_read"],
        "files_reused": progress["files_reused"],
        "files_vanished": progress["files_vanished"],
        "slices": tally.rows["kept"] + tally.rows["dropped"],
        "volumes": archive.volumes(),
        "kept": tally.rows["kept"],
        "dropped": tally.rows["dropped"],
        "skipped": shown_reasons(tally.refused("skipped")),
        "failed": shown_reasons(tally.refused("failed")),
        # Without dropped slices there are no gaps, and numpy need not be loaded.
        "gaps_mm": gap_percentiles(archive.gaps_mm()) if tally.rows["dropped"] else None,
        "ruled": findings.ruled.to_dict(),
        "volumes_with": archive.geometry_flags(),
        # NIfTI volumes that look like masks.
        "label_volumes": {"count": len(masks), "first": masks[0].path if masks else None},
        "bytes_read": progress["bytes_read"],
        "reading_seconds": round(reading_seconds, 3),
        "slices_per_second": round(progress["slices_read"] / reading_seconds, 1),
        "megabytes_per_second": round(progress["bytes_read"] / reading_seconds / 1e6, 1),
        "machine": f"{platform.system()} {platform.machine()}",
        **({} if comparisons is None else {"comparisons": comparisons}),
    }


def compared_all(reduction: str | os.PathLike[str]) -> bool:
    """Whether a reduction could compare every slice; if not, unreadable slices may be readable now."""
    try:
        return not load_summary(reduction)["comparisons"]["not_compared_so_kept"]
    except (ManifestError, KeyError):
        return False
