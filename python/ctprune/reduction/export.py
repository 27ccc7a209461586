"""Put the kept slices of a manifest into a new tree: links, copies or PNG pictures, one folder per volume.

Names are numbers only (`00003/00017.dcm`: volume and slice index), because file names of archives often
hold names of patients. What is in the files stays: copies keep every DICOM header.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ctprune import _core
from ctprune.environment.progress import Operation, ProgressCallback
from ctprune.errors import ConfigError, OutputError
from ctprune.files.atomic import check_free, new_folder
from ctprune.files.members import opens, visit_bytes
from ctprune.files.space import check_space
from ctprune.manifest.manifest import Manifest, manifest_path
from ctprune.manifest.slices import batches_of_dicts, path_of, with_status
from ctprune.options.configure import configure
from ctprune.reduction.export_config import ExportConfig, ExportOptions
from ctprune.sources.addresses import as_address
from ctprune.sources.ahead import FetchAhead

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: Suffixes that links and copies keep, the longer ones first.
_SUFFIXES = (".nii.gz", ".nii", ".png", ".jpeg", ".jpg", ".tiff", ".tif")

#: Kept slices that travel to Rust together.
_BATCH = 256


@dataclass(frozen=True)
class Exported:
    """What an export did: its mode, number of slices written, and those left out by reason."""

    folder: Path
    mode: str
    written: int
    left_out: dict[str, int] = field(default_factory=dict)

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
        ConfigError: An option cannot be used.
        ManifestError: There is no manifest there.
        OutputError: The folder is not empty or cannot be written, or its disk has no room for the copies.
    """
    config = configure(ExportConfig, config, options)
    rows_of = _in_memory(manifest) if isinstance(manifest, Manifest) else _on_disk(manifest)
    left_out: Counter[str] = Counter()
    written = 0
    operation = Operation(progress)
    operation.report("exporting", unit="slices")
    if config.mode == "copy":
        # How well pictures can be packed is not known before.
        check_space(config.folder, sum(_bytes_kept(batch) for batch in rows_of.batches(["file_size", "status"])))
    with new_folder(config.folder) as folder:
        for rows in _kept_rows(rows_of):
            if config.mode == "png":
                written += _write_png(rows, folder, rows_of.config, config, left_out)
            else:
                written += _link_or_copy_all(rows, folder, config.mode, left_out)
            operation.report("exporting", written + left_out.total(), unit="slices")
    return Exported(folder=config.folder, mode=config.mode, written=written, left_out=dict(left_out))


def check_destination(config: ExportConfig, sources: Iterable[Path]) -> None:
    """Refuse a folder inside a source or one that is in use; called before the work starts.

    Raises:
        ConfigError: The folder lies inside a source.
        OutputError: The folder is in use.
    """
    for source in sources:
        if source.is_dir() and config.folder.resolve().is_relative_to(source.resolve()):
            raise ConfigError(f"folder {config.folder} lies inside the source {source}", field="folder")
    check_free(config.folder)


class _Rows(NamedTuple):
    """A manifest's configuration, and some of its columns from the first row to the last, as often as needed."""

    config: dict[str, Any]
    batches: Callable[[list[str]], Iterator[_core.Rows]]


def _in_memory(manifest: Manifest) -> _Rows:
    return _Rows(manifest.config, lambda names: iter([manifest.rows.select(names)]))


def _on_disk(path: str | os.PathLike[str]) -> _Rows:
    reader = _core.ManifestReader(str(manifest_path(path)))
    return _Rows(json.loads(reader.about)["config"], reader.batches)


def _kept_rows(rows_of: _Rows) -> Iterator[list[dict[str, Any]]]:
    several = _files_with_several_frames(rows_of)
    for batch in rows_of.batches(["source", "path", "frame", "volume", "slice_index", "reader", "status"]):
        for rows in batches_of_dicts(with_status(batch, "kept"), _BATCH):
            for row in rows:
                row["is_one_of_several"] = (row["source"], row["path"]) in several
            yield rows


def _bytes_kept(batch: _core.Rows) -> int:
    return int(with_status(batch, "kept")["file_size"].sum())


def _files_with_several_frames(rows_of: _Rows) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for batch in rows_of.batches(["source", "path", "frame"]):
        later = batch.filter(batch["frame"] > 0)
        found.update(zip(later["source"], later["path"], strict=True))
    return found


def _target(folder: Path, row: dict[str, Any], suffix: str) -> Path:
    volume = folder / f"{row['volume']:05d}"
    volume.mkdir(exist_ok=True)
    return volume / f"{row['slice_index']:05d}{suffix}"


def _suffix(reader: str, name: str) -> str:
    """What programs know the file's kind by, and nothing else of its name."""
    if reader in ("dicom", "pydicom"):
        return ".dcm"
    return next((suffix for suffix in _SUFFIXES if name.endswith(suffix)), "")


def _link_or_copy_all(rows: list[dict[str, Any]], folder: Path, mode: str, left_out: Counter[str]) -> int:
    """Link or copy these rows' files; copies of members of one container are made in one pass over it."""
    written = 0
    members = []
    for row in rows:
        if not row["is_one_of_several"] and not opens(path_of(row)):
            members.append(row)
        else:
            written += _link_or_copy(row, folder, mode, left_out)
    if members and mode == "link":
        for row in members:
            what = "a member of an archive" if as_address(path_of(row)) is None else "an object on another machine"
            left_out[f"{what} cannot be linked: use `mode` copy or png"] += 1
        return written

    def take(index: int, content: bytes | str) -> None:
        nonlocal written
        if isinstance(content, str):
            left_out[content] += 1
            return
        row = members[index]
        target = _target(folder, row, _suffix(row["reader"], str(row["path"]).lower()))
        try:
            with target.open("xb") as file:
                file.write(content)
        except OSError as error:
            raise OutputError(f"{target}: cannot be written: {error.strerror}") from None
        written += 1

    if members:
        visit_bytes([path_of(row) for row in members], take)
    return written


def _link_or_copy(row: dict[str, Any], folder: Path, mode: str, left_out: Counter[str]) -> bool:
    if row["is_one_of_several"]:
        left_out["a single frame of a multi-frame file cannot be linked or copied: use `mode` png"] += 1
        return False
    origin = path_of(row)
    target = _target(folder, row, _suffix(row["reader"], origin.lower()))
    try:
        if mode == "link":
            os.symlink(origin, target)
        else:
            shutil.copyfile(origin, target)
    except FileNotFoundError:
        left_out["the file is gone"] += 1
        return False
    except OSError as error:
        hint = "; copies work everywhere: use `mode` copy" if mode == "link" else ""
        raise OutputError(f"{target}: cannot be written: {error.strerror}{hint}") from None
    return True


def _write_png(
    rows: list[dict[str, Any]],
    folder: Path,
    reduction: dict[str, Any],
    config: ExportConfig,
    left_out: Counter[str],
) -> int:
    jobs = [(path_of(row), row["frame"], str(_target(folder, row, ".png"))) for row in rows]
    reading = {name: reduction[name] for name in ("intensity", "modality", "max_slice_mb")}
    try:
        with FetchAhead() as fetch:
            depth = config.png_depth or 8
            reasons = _core.export_png(jobs, depth=depth, threads=config.threads, fetch=fetch, **reading)
    except OSError as error:
        raise OutputError(str(error)) from None
    left_out.update(reason for reason in reasons if reason)
    return sum(not reason for reason in reasons)
