"""`ctprune export`: slices of a reduction in a new folder, as links, copies, pictures or NIfTI volumes.

Names are numbers only (`00003/00017.dcm`: volume and slice index), because file names of archives often contain
names of patients. The content of files stays: copies keep every DICOM header.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctprune.environment.progress import Operation, ProgressCallback
from ctprune.environment.words import counted
from ctprune.errors import Interrupted, ManifestError
from ctprune.exporting.chosen import Chosen, table_of
from ctprune.exporting.config import ExportConfig, ExportOptions
from ctprune.exporting.files import write_files
from ctprune.exporting.layouts import Folders, ImageFolder, Layout, Monai, Nnssl
from ctprune.exporting.tar_shards import Dinov2, WebDataset
from ctprune.files.atomic import check_free, new_folder
from ctprune.files.space import check_space
from ctprune.manifest.manifest import Manifest
from ctprune.manifest.outside import check_outside, given_sources
from ctprune.manifest.pseudonyms import named_sources
from ctprune.manifest.slices import why_unusable
from ctprune.options.configure import configure

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: Slices that are passed to Rust together.
_BATCH = 256

#: Pixels per byte that compression hardly ever exceeds.
_PACKED = 8


@dataclass(frozen=True)
class Exported:
    """The outcome of an export.

    Attributes:
        folder: Folder of the files.
        mode: Kind of the files, see `ExportConfig`.
        written: Number of slices written.
        left_out: Number of slices that could not be written, by reason.
        layout: Layout of the files, see `ExportConfig`.
        burned_in: Number of slices whose header says that text in the pixels may identify the patient.
    """

    folder: Path
    mode: str
    written: int
    left_out: dict[str, int] = field(default_factory=dict)
    layout: str = "folders"
    burned_in: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return asdict(self) | {"folder": str(self.folder)}


def export_kept(
    manifest: Manifest | str | os.PathLike[str],
    config: ExportConfig | None = None,
    /,
    *,
    progress: ProgressCallback | None = None,
    **options: Unpack[ExportOptions],
) -> Exported:
    """Write the kept slices of `manifest` into a new folder tree; nothing is written to the sources.

    Args:
        manifest: A manifest in memory, or the folder or file of one, which is read a few rows at a time.
        config: What to write, and where; cannot be combined with single options.
        progress: Called a few times a second with a `ctprune.Progress`. Stage: `exporting` (slices).
        options: Those of `ctprune.ExportConfig`, such as `mode="png"` and `folder="kept"`.

    Raises:
        ConfigError: An option cannot be used, or the folder lies inside a source.
        ManifestError: There is no manifest there, or it has no slice to export.
        OutputError: The folder is not empty or cannot be written, or its disk has no room for the files.
        Interrupted: Ctrl-C; nothing is left behind.

    >>> import ctprune, tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = ctprune.phantom.write_archive(folder / "dicoms", patients=1, size=64)
    >>> kept = ctprune.reduce(folder / "dicoms", out=folder / "run").counts()["kept"]
    >>> ctprune.export_kept(folder / "run", mode="png", folder=folder / "kept").written == kept
    True
    """
    config = configure(ExportConfig, config, options)
    check_free(config.folder)
    operation = Operation(progress)
    operation.report("exporting", unit="slices")
    table = table_of(manifest)
    chosen = Chosen(table, config)
    if not chosen.count:
        raise ManifestError(f"the manifest has no slices to export ({config.use}): there is nothing to write")
    given = chosen.sources if isinstance(manifest, Manifest) else given_sources(manifest)
    check_destination(config, map(Path, [*given, *named_sources()]))
    check_space(config.folder, _least_bytes(chosen, config.mode))
    left_out: Counter[str] = Counter()
    written = 0

    def count(rows: list[dict[str, Any]], reasons: list[str], layout: Layout) -> None:
        nonlocal written
        left_out.update(filter(None, reasons))
        good = [row for row, reason in zip(rows, reasons, strict=True) if not reason]
        if good:
            layout.take(good)
        written += len(good)
        operation.report("exporting", written + left_out.total(), chosen.count, "slices")

    try:
        with new_folder(config.folder) as folder, layout_of(config)(folder, config) as layout:
            write = _write_volumes if config.mode.startswith("nifti") else _write_slices
            write(chosen, table.config, config, layout, count)
    except KeyboardInterrupt:
        done = written + left_out.total()
        raise Interrupted(
            f"the export was interrupted after {done:,} of {counted(chosen.count, 'slice')}; "
            f"{config.folder} was not made"
        ) from None
    return Exported(config.folder, config.mode, written, dict(left_out), config.layout, chosen.burned_in)


def check_destination(config: ExportConfig, sources: Iterable[Path]) -> None:
    """Refuse a folder inside a source or one that is in use; called before the work starts.

    Raises:
        ConfigError: The folder lies inside a source.
        OutputError: The folder is in use.
    """
    check_outside(config.folder, sources, field="folder")
    check_free(config.folder)


#: Takes rows, the reason why each was not written (or an empty text), and the layout.
Count = Callable[[list[dict[str, Any]], list[str], Layout], None]


def _write_slices(
    chosen: Chosen, reduction: dict[str, Any], config: ExportConfig, layout: Layout, count: Count
) -> None:
    for rows in chosen.batches(_BATCH):
        for row in rows:
            row["target"] = layout.target(row)
        reasons = why_unusable(rows)
        unchanged = [row for row, reason in zip(rows, reasons, strict=True) if not reason]
        written = iter(write_files(unchanged, reduction, config))
        count(rows, [reason or next(written) for reason in reasons], layout)


def _write_volumes(
    chosen: Chosen, reduction: dict[str, Any], config: ExportConfig, layout: Layout, count: Count
) -> None:
    from ctprune.exporting.nifti import volumes_of, write_nifti

    for volume in volumes_of(chosen.batches(_BATCH)):
        for rows in [volume] if config.mode == "nifti" else [[row] for row in volume]:
            target = layout.target(rows[0])
            for row in rows:
                row["target"] = target
            reason = next(filter(None, why_unusable(rows)), "")
            reason = reason or write_nifti(rows, target, reduction, threads=config.threads)
            count(rows, [reason] * len(rows), layout)


def layout_of(config: ExportConfig) -> Callable[[Path, ExportConfig], Layout]:
    """The class of a layout."""
    found: dict[str, Callable[[Path, ExportConfig], Layout]] = {
        "folders": Folders,
        "webdataset": WebDataset,
        "imagefolder": ImageFolder,
        "dinov2": Dinov2,
        "monai": Monai,
        "nnssl": Nnssl,
    }
    return found[config.layout]


def _least_bytes(chosen: Chosen, mode: str) -> int:
    """Smallest number of bytes that the files need; compression is not known in advance."""
    return {"link": 0, "copy": chosen.file_bytes}.get(mode, chosen.pixels // _PACKED)
