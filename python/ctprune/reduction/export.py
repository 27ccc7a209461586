"""Put the kept slices of a manifest into a new tree: links, copies or PNG pictures, one folder per volume.

Names are numbers only (`00003/00017.dcm`: volume and slice index), because file names of archives often
hold names of patients. What is in the files stays: copies keep every DICOM header.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ctprune import _core
from ctprune.environment.threads import check_threads
from ctprune.errors import ConfigError, OutputError
from ctprune.files import parquet_file
from ctprune.files.atomic import check_free, new_folder
from ctprune.manifest.manifest import Manifest, manifest_path, read_metadata

MODES = ("link", "copy", "png")

#: Suffixes that links and copies keep, the longer ones first.
_SUFFIXES = (".nii.gz", ".nii", ".png", ".jpeg", ".jpg", ".tiff", ".tif")

#: Kept slices that travel to Rust together.
_BATCH = 256


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """How kept slices are exported.

    Args:
        mode: `link` (symbolic links), `copy` (both with every DICOM header, patients' names included) or `png`.
        folder: A new or empty folder.
        png_depth: 8 for grey as it was fingerprinted, 16 for HU + 32768.

    Raises:
        ConfigError: An option that cannot be used.
    """

    mode: str
    folder: Path
    png_depth: int = 8

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ConfigError(f"--export {self.mode}: expected one of {', '.join(MODES)}")
        if self.png_depth not in (8, 16):
            raise ConfigError(f"--png-depth {self.png_depth}: expected 8 or 16")

    @classmethod
    def from_options(cls, mode: str | None, folder: Path | None, png_depth: int | None) -> ExportConfig | None:
        """Command-line options that belong together; None when no export was asked for."""
        if mode is None:
            if folder is not None or png_depth is not None:
                raise ConfigError("--export-dir and --png-depth need --export link, copy or png")
            return None
        if folder is None:
            raise ConfigError("--export needs --export-dir: name a new folder")
        if png_depth is not None and mode != "png":
            raise ConfigError(f"--png-depth belongs to --export png, not to {mode}")
        return cls(mode=mode, folder=folder, png_depth=png_depth or 8)

    def check(self, sources: list[Path]) -> None:
        """Refuse a folder inside a source or one that is in use; called before the work starts."""
        for source in sources:
            if source.is_dir() and self.folder.resolve().is_relative_to(source.resolve()):
                raise ConfigError(f"--export-dir {self.folder} lies inside the source {source}")
        check_free(self.folder)


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
    manifest: Manifest | str | os.PathLike[str], config: ExportConfig, *, threads: int = 0
) -> Exported:
    """Write the kept slices of `manifest` as `config` says; the source is only read.

    Args:
        manifest: A manifest in memory, or a run's folder or file, which is then read a few rows at a time.
        config: What to write where.
        threads: Number of threads for pictures, 0 for one per core.

    Raises:
        ManifestError: There is no manifest there.
        OutputError: The folder is not empty or cannot be written.
    """
    check_threads(threads)
    rows_of = _in_memory(manifest) if isinstance(manifest, Manifest) else _on_disk(manifest)
    left_out: Counter[str] = Counter()
    written = 0
    with new_folder(config.folder) as folder:
        for rows in _kept_rows(rows_of):
            if config.mode == "png":
                written += _write_png(rows, folder, rows_of.config, config, left_out, threads)
            else:
                written += sum(_place(row, folder, config.mode, left_out) for row in rows)
    return Exported(folder=config.folder, mode=config.mode, written=written, left_out=dict(left_out))


@dataclass(frozen=True)
class _Rows:
    """A manifest's configuration, and some of its columns from the first row to the last, as often as needed."""

    config: dict[str, Any]
    batches: Callable[[list[str]], Iterator[pa.RecordBatch]]


def _in_memory(manifest: Manifest) -> _Rows:
    return _Rows(manifest.config, lambda names: iter(manifest.table.select(names).to_batches()))


def _on_disk(path: str | os.PathLike[str]) -> _Rows:
    file = manifest_path(path)

    def batches(names: list[str]) -> Iterator[pa.RecordBatch]:
        with parquet_file.opened(file) as parquet:
            yield from parquet.iter_batches(columns=names)

    return _Rows(read_metadata(file)["config"], batches)


def _kept_rows(rows_of: _Rows) -> Iterator[list[dict[str, Any]]]:
    several = _files_with_several_frames(rows_of)
    for batch in rows_of.batches(["source", "path", "frame", "volume", "slice_index", "reader", "status"]):
        kept = batch.filter(pc.equal(batch["status"], "kept"))
        for start in range(0, kept.num_rows, _BATCH):
            rows = kept.slice(start, _BATCH).to_pylist()
            for row in rows:
                row["is_one_of_several"] = (row["source"], row["path"]) in several
            yield rows


def _files_with_several_frames(rows_of: _Rows) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for batch in rows_of.batches(["source", "path", "frame"]):
        later = batch.filter(pc.greater(batch["frame"], 0))
        found.update(zip(later["source"].to_pylist(), later["path"].to_pylist(), strict=True))
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


def _place(row: dict[str, Any], folder: Path, mode: str, left_out: Counter[str]) -> bool:
    if row["is_one_of_several"]:
        left_out["a frame of a file with several cannot be linked or copied alone: use --export png"] += 1
        return False
    origin = Path(row["source"], row["path"])
    target = _target(folder, row, _suffix(row["reader"], origin.name.lower()))
    try:
        if mode == "link":
            os.symlink(origin, target)
        else:
            shutil.copyfile(origin, target)
    except FileNotFoundError:
        left_out["the file is gone"] += 1
        return False
    except OSError as error:
        hint = "; copies work everywhere: use --export copy" if mode == "link" else ""
        raise OutputError(f"{target}: cannot be written: {error.strerror}{hint}") from None
    return True


def _write_png(
    rows: list[dict[str, Any]],
    folder: Path,
    reduction: dict[str, Any],
    config: ExportConfig,
    left_out: Counter[str],
    threads: int,
) -> int:
    jobs = [
        (os.path.join(row["source"], row["path"]), row["frame"], str(_target(folder, row, ".png"))) for row in rows
    ]
    reading = {name: reduction[name] for name in ("intensity", "modality", "max_slice_mb")}
    try:
        reasons = _core.export_png(jobs, depth=config.png_depth, threads=threads, **reading)
    except OSError as error:
        raise OutputError(str(error)) from None
    left_out.update(reason for reason in reasons if reason)
    return sum(not reason for reason in reasons)
