"""`ctprune.reduce`: a reduction on this machine, or with many machines that read for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from ctprune.environment.progress import ProgressCallback
from ctprune.errors import ConfigError
from ctprune.manifest.manifest import Manifest
from ctprune.options.configure import configure
from ctprune.reduction.config import ReduceConfig, ReduceOptions
from ctprune.reduction.reduction import Reduction
from ctprune.sources.plan import Sources

if TYPE_CHECKING:
    from typing_extensions import Unpack


def reduce(
    sources: Sources = (),
    config: ReduceConfig | None = None,
    /,
    *,
    from_list: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    progress: ProgressCallback | None = None,
    note: Callable[[str], None] | None = None,
    **options: Unpack[ReduceOptions],
) -> Manifest:
    """Select the slices worth pre-training on from folders or files of CT.

    Args:
        sources: Folders or files in any mix: DICOM, NIfTI, PNG, JPEG, TIFF, zip, tar. Or addresses of object
            stores (`s3://`, `gs://`, `az://`), of files of a web server (`https://`) and of DICOMweb
            (`dicomweb+https://`).
        config: How slices are selected; cannot be combined with single options that decide it.
        from_list: File that lists more sources, one per line, or a `.csv` or `.parquet` file with a column of
            sources.
        out: Folder for `manifest.parquet`, `summary.json` and `config.yaml` (the options), or an address of an
            object store, such as `s3://bucket/run/`. If it already holds a manifest, unchanged files are not read
            again. None writes nothing.
        progress: Called a few times a second with a `ctprune.Progress`. Stages: `finding` (files), `reading`
            (bytes), `selecting`, with some methods `embedding` or `comparing` (slices), `writing`. Facts:
            `files_found`, `files_to_read`, `files_read`, `files_reused`, `files_vanished`, `bytes_to_read`,
            `bytes_read`, `slices_read`.
        note: Called with a sentence when something that an earlier reduction read cannot be used.
        options: Those of `ctprune.ReduceConfig`, such as `method="hash"` and `threshold=6`.

    Returns:
        The manifest, with one row per slice and per skipped or failed file.

    Raises:
        ConfigError: An option cannot be used.
        SourceError: A source does not exist.
        NetworkError: A server no longer answers; progress is saved.
        UnreadableError: With `fail_first`, a file cannot be read; with `max_failed`, too many files cannot be
            read.
        OutputError: `out` cannot be written.
        InUseError: Another reduction is writing to `out`.
        WeightsError: With `deep`, the weights are missing or cannot be used.
        MissingExtraError: With `deep`, the extra `train` is not installed; with addresses, `cloud` or `dicomweb`;
            with `engine="ray"`, `ray`.
        EngineError: With `engine="ray"`, the cluster cannot be reached, or tasks were lost too often.

    >>> import ctprune, tempfile
    >>> from pathlib import Path
    >>> archive = Path(tempfile.mkdtemp()) / "dicoms"
    >>> _ = ctprune.phantom.write_archive(archive, patients=1, size=64)
    >>> manifest = ctprune.reduce(archive)
    >>> 0 < manifest.counts()["kept"] < manifest.counts()["dropped"]
    True
    """
    config = configure(ReduceConfig, config, options)
    reduction = prepared(sources, config, from_list=from_list, out=out, progress=progress, note=note)
    with reduction.at_end:
        return reduction.carry_out()


def prepared(
    sources: Sources,
    config: ReduceConfig,
    *,
    from_list: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    progress: ProgressCallback | None = None,
    note: Callable[[str], None] | None = None,
) -> Reduction:
    """A reduction ready to join, after the engine's machines, if it has any, have read the files.

    Raises:
        ConfigError: The engine needs `out`, where its machines write.
        EngineError: The engine's machines cannot be reached, or were lost too often.
    """
    reduction = Reduction(sources, config, from_list=from_list, out=out, progress=progress, note=note)
    if config.engine == "ray":
        if out is None:
            raise ConfigError("engine ray needs `out`: name a folder that all machines can access", field="engine")
        from ctprune.reduction.ray_tasks import read_with_ray

        read_with_ray(sources, config, out, from_list=from_list, progress=progress, note=reduction.note)
    return reduction
