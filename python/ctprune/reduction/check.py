"""From sources or a reduction to a verdict per series."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from ctprune import _core
from ctprune.checking.check import SeriesCheck, check_rows, write_series
from ctprune.environment.progress import ProgressCallback
from ctprune.files.atomic import folder_for_results
from ctprune.manifest.local_run import folder_to_write, is_remote_run
from ctprune.manifest.manifest import FILE_NAME, Manifest, batches
from ctprune.manifest.outside import check_outside, check_outside_run
from ctprune.reduction.config import ReduceConfig
from ctprune.reduction.reduction import Reduction
from ctprune.sources.addresses import as_address
from ctprune.sources.plan import listed

if TYPE_CHECKING:
    from ctprune.sources.plan import Sources

_ROWS_PER_BATCH = 1 << 16


def check(
    sources: Sources,
    *,
    config: ReduceConfig | None = None,
    pixels: bool = False,
    out: str | os.PathLike[str] | None = None,
    progress: ProgressCallback | None = None,
) -> list[SeriesCheck]:
    """Check the series of sources or of a reduction; the worst come first.

    Args:
        sources: Folders, files or addresses to read; or the folder or address of one reduction, whose files are
            not read again, except to compare slices that may be equal.
        config: How sources are read: modality, patterns, limits. Options of the selection are ignored.
        pixels: Whether to read the pixels of sources; otherwise nothing is found about values and equal slices. A
            reduction has read them already.
        out: Folder for `series.parquet`; by default the reduction's folder, if there is one.
        progress: Called now and then with how far it has come.

    Returns:
        One `SeriesCheck` per series.

    Raises:
        SourceError: There is no such source.
        ManifestError: The manifest of a reduction cannot be used.
        ConfigError: `out` lies inside a source.
        OutputError: `out` cannot be written.

    >>> import ctprune, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> _ = ctprune.phantom.write_archive(folder, patients=1, size=64)
    >>> sorted({found.code for series in ctprune.check(folder) for found in series.findings})[:1]
    ['C-THICKNESS-OVERLAP']
    """
    run = run_of(sources)
    if isinstance(run, str):
        out = folder_to_write(run, out, "checked/")
    if out is not None:
        if run is None:
            check_outside(out, listed(sources))
        else:
            check_outside_run(out, run)
    with nullcontext() if out is None else folder_for_results(Path(out)):
        rows = Manifest.load(run).rows if run is not None else _read(sources, config, pixels, progress)
        found = check_rows(rows, 0 if config is None else config.threads)
        if run is not None or out is not None:
            write_series(found, out or run or "")
        return found


def run_of(sources: Sources) -> str | Path | None:
    """The folder or address of the reduction, if that is the only source."""
    one = sources if isinstance(sources, (str, os.PathLike)) else sources[0] if len(sources) == 1 else None
    if one is None:
        return None
    address = as_address(one)
    if address is not None:
        return address if is_remote_run(address) else None
    return Path(one) if (Path(one) / FILE_NAME).is_file() else None


def _read(
    sources: Sources, config: ReduceConfig | None, pixels: bool, progress: ProgressCallback | None
) -> _core.Rows:
    reduction = Reduction(sources, config or ReduceConfig(), progress=progress, headers_only=not pixels)
    reduction.find()
    reduction.read_files()
    reduction.group()
    archive = reduction.archive
    return _core.Rows.concat(list(batches(archive, archive.manifest_rows(), size=_ROWS_PER_BATCH)))
