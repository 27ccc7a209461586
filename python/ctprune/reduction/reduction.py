"""From sources to a manifest: find, read, select, write. Rust does the work in portions; this drives it."""

from __future__ import annotations

import itertools
import json
import os
import platform
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ctprune import _core
from ctprune.environment.threads import check_threads
from ctprune.errors import ConfigError, Interrupted, ManifestError, OutputError, SourceError, UnreadableError
from ctprune.files.atomic import check_writable, replace_file
from ctprune.files.globs import glob_pattern
from ctprune.files.run_lock import sole_writer
from ctprune.manifest.derived import remove_report, remove_sweep
from ctprune.manifest.findings import Findings
from ctprune.manifest.manifest import (
    FILE_NAME,
    MANIFEST_VERSION,
    Manifest,
    Tally,
    batches,
    schema,
    write_manifest,
)
from ctprune.manifest.parts import Parts
from ctprune.reading.reasons import shown_reason, shown_reasons
from ctprune.reduction.config import ReduceConfig
from ctprune.reduction.stage_clock import StageClock

if TYPE_CHECKING:
    from ctprune.reduction.deep_selection import DeepSelection
    from ctprune.reduction.pixel_selection import PixelSelection

SUMMARY_NAME = "summary.json"

#: Seconds per portion: progress is drawn and Ctrl-C answered between portions.
_PORTION = 0.2

_ROWS_PER_BATCH = 1 << 16

Sources = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a reduction has come; sizes in bytes, counts since its start.

    Attributes:
        stage: `finding`, `reading`, `selecting`, `embedding`, `comparing` or `writing`.
        slices: Slices to select among, while they are embedded or compared.
    """

    stage: str
    files_found: int = 0
    files_to_read: int = 0
    files_read: int = 0
    bytes_to_read: int = 0
    bytes_read: int = 0
    slices_read: int = 0
    files_reused: int = 0
    files_vanished: int = 0
    slices: int = 0
    slices_embedded: int = 0
    slices_compared: int = 0


ProgressCallback = Callable[[Progress], None]


def reduce(
    sources: Sources,
    *,
    out: str | os.PathLike[str] | None = None,
    method: str = "hash",
    threshold: float | None = None,
    keep: float | None = None,
    hash_size: int = 8,
    n: int | None = None,
    seed: int | None = None,
    window: str | None = None,
    weights: str | os.PathLike[str] | None = None,
    download: bool = False,
    scope: str = "volume",
    order: str = "position",
    intensity: str = "minmax",
    modality: str = "CT",
    volume_pattern: str | None = None,
    exclude: Sequence[str] = (),
    max_slice_mb: int = 512,
    threads: int = 0,
    fail_first: bool = False,
    progress: ProgressCallback | None = None,
) -> Manifest:
    """Select the slices worth pre-training on from folders or files of CT.

    Args:
        sources: Folders or files: DICOM, NIfTI, PNG, JPEG, TIFF, mixed as they are.
        out: Folder for `manifest.parquet` and `summary.json`; a manifest that is there already is reused where
            files are unchanged. None writes nothing.
        method: See `ctprune.ReduceConfig`, also for the other options of selection.
        threshold: Hamming distance in bits with `hash`, else a similarity.
        keep: Fraction of slices to keep.
        hash_size: Rows of the dHash.
        n: Every n-th slice.
        seed: Seed of the sample.
        window: With `ssim`, `uniform` or `gaussian`.
        weights: With `deep`, the backbone's file.
        download: With `deep`, fetch torchvision's ResNet-50 where it is not on disk.
        scope: `volume` or `dataset`.
        order: `position` or `path`.
        intensity: From Hounsfield units to grey.
        modality: DICOM Modality to read.
        volume_pattern: Takes the volume from image names.
        exclude: Patterns of paths of files that are not read, such as `labelsTr/*`.
        max_slice_mb: Limit for one decoded slice in MiB.
        threads: Number of threads, 0 for one per core; the result does not depend on it.
        fail_first: Stop at the first file that cannot be read.
        progress: Called a few times a second.

    Returns:
        The manifest, one row per slice or refused file.

    Raises:
        ConfigError: An option cannot be used.
        SourceError: A source is not there.
        UnreadableError: With `fail_first`, a file cannot be read.
        OutputError: `out` cannot be written.
        InUseError: Another reduction is writing to `out`.
        WeightsError: With `deep`, the weights are not there or cannot be used.
        MissingExtraError: With `deep`, the extra `train` is not installed.

    >>> import ctprune, tempfile
    >>> from pathlib import Path
    >>> archive = Path(tempfile.mkdtemp()) / "dicoms"
    >>> _ = ctprune.phantom.write_archive(archive, patients=1, size=64)
    >>> manifest = ctprune.reduce(archive)
    >>> 0 < manifest.counts()["kept"] < manifest.counts()["dropped"]
    True
    """
    config = ReduceConfig(
        method=method,
        threshold=threshold,
        keep=keep,
        hash_size=hash_size,
        n=n,
        seed=seed,
        window=window,
        weights=None if weights is None else os.fspath(weights),
        scope=scope,
        order=order,
        intensity=intensity,
        modality=modality,
        volume_pattern=volume_pattern,
        exclude=exclude if isinstance(exclude, str) else tuple(exclude),  # type: ignore[arg-type]
        max_slice_mb=max_slice_mb,
    )
    run = Reduction(
        sources, config, out=out, threads=threads, fail_first=fail_first, download=download, progress=progress
    )
    return run.carry_out()


class Reduction:
    """One reduction on its way. `reduce` is the short form."""

    def __init__(
        self,
        sources: Sources,
        config: ReduceConfig,
        *,
        out: str | os.PathLike[str] | None = None,
        threads: int = 0,
        fail_first: bool = False,
        download: bool = False,
        progress: ProgressCallback | None = None,
    ) -> None:
        if download and (config.method != "deep" or config.weights is not None):
            raise ConfigError("--download belongs to --method deep without --weights")
        check_threads(threads)
        self.config = config
        self.sources = _resolve(sources)
        self.out = None if out is None else Path(out)
        self.fail_first = fail_first
        self._download = download
        self._deep: DeepSelection | None = None
        self._pixels: PixelSelection | None = None
        self.summary: dict[str, Any] = {}
        self.findings = Findings()
        self.removed: list[Path] = []
        self._progress = progress or (lambda _: None)
        try:
            self._archive = _core.Archive(**config.reading(), threads=threads)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        self._grouped: int | None = None
        self._stages: StageClock | None = None
        for glob in config.exclude:
            self._archive.exclude(glob_pattern(glob), glob)
        self._threads = threads or os.cpu_count() or 1
        self._started = time.perf_counter()
        self._parts: Parts | None = None
        if self.out is not None:
            _check_out(self.out, self.sources)
            self._parts = Parts(self.out, self._archive, config.to_dict(), config.reading())

    def find(self) -> Progress:
        """Take over what an earlier run knew and list all files; reads no pixel."""
        if self._parts is not None:
            self._parts.take_over()
        for source in self.sources:
            if source.is_dir():
                self._archive.add_source(str(source))
            else:
                self._archive.add_file(str(source))
        while self._archive.discover(_PORTION):
            self._report("finding")
        return self._report("finding")

    def carry_out(self) -> Manifest:
        """Do all steps and return the manifest; writes it when there is a folder to write to.

        A manifest in memory takes some 500 bytes per slice: `write` does without.
        """
        if self.out is not None:
            self.write()
            return Manifest.load(self.out)
        reading_seconds = self._find_read_and_select()
        tally = Tally()
        table = pa.Table.from_batches(list(self._counted(tally)), schema(self.config.hash_size))
        self.summary = self._summarise(tally, reading_seconds)
        return Manifest(table=table, config=self.config.to_dict(), ctprune_version=_core.__version__)

    def write(self) -> None:
        """Do all steps and write the manifest and its summary, a few rows at a time."""
        if self.out is None or self._parts is None:
            raise ConfigError("out is missing: name a folder for the manifest")
        check_writable(self.out)
        done = False
        with sole_writer(self.out):
            try:
                self._parts.sweep()
                reading_seconds = self._find_read_and_select()
                tally = Tally()
                outdated = [remove_report(self.out)]
                write_manifest(self.out / FILE_NAME, self._counted(tally), self.config.to_dict())
                outdated.append(remove_sweep(self.out, self.out / FILE_NAME))
                self.removed = [file for file in outdated if file is not None]
                self.summary = self._summarise(tally, reading_seconds)
                with replace_file(self.out / SUMMARY_NAME) as beside:
                    beside.write_text(json.dumps(self.summary, indent=2) + "\n")
                done = True
            except KeyboardInterrupt:
                self._save_parts()
                raise Interrupted(self._how_far()) from None
            except BaseException:
                # What ended it is what the user must know, not that a full disk takes no part either.
                with suppress(OutputError):
                    self._save_parts()
                raise
            finally:
                self._parts.close(remove=done)

    def _find_read_and_select(self) -> float:
        """All steps before writing; returns the seconds until the last file was read."""
        if self.config.method == "deep":
            # Before hours of reading, since it may fail.
            from ctprune.reduction.deep_selection import DeepSelection

            self._deep = DeepSelection(self.config, download=self._download, threads=self._threads)
            # Loading a network is not reading.
            self._started = time.perf_counter()
        if self.config.method in ("ssim", "mi"):
            from ctprune.reduction.pixel_selection import PixelSelection

            self._pixels = PixelSelection(self.config, threads=self._threads)
        try:
            self.find()
            self._read()
            self._retry_with_pydicom()
            reading_seconds = time.perf_counter() - self._started
            self._report("selecting")
            self._archive.group(self.config.order, self.config.volume_pattern)
            self._select()
        except KeyboardInterrupt:
            self._save_parts()
            raise Interrupted(self._how_far()) from None
        self._report("writing")
        return reading_seconds

    def _read(self) -> None:
        more = True
        while more:
            more = self._archive.read(_PORTION)
            if self._parts is not None:
                self._parts.save_now_and_then()
            self._report("reading")
            if self.fail_first and self._archive.first_failure() is not None:
                self._retry_with_pydicom()
                self._stop_at_failure()

    def _stop_at_failure(self) -> None:
        failure = self._archive.first_failure()
        if failure is not None:
            raise UnreadableError(f"{failure[0]}: {shown_reason(failure[1])}")

    def _retry_with_pydicom(self) -> None:
        """What Rust does not know may be known to one of pydicom's decoders, if any is installed."""
        unsupported = self._archive.unsupported()
        if not unsupported:
            return
        from ctprune.reading.pydicom_reader import PydicomRefusal, read_slices

        config = self.config
        for file, path in unsupported:
            refused = None
            try:
                for slice_ in read_slices(path, modality=config.modality, max_slice_mb=config.max_slice_mb):
                    self._archive.add_foreign(file, *slice_)
            except PydicomRefusal as refusal:
                refused = str(refusal)
            self._archive.end_foreign(file, refused)
            if self._parts is not None:
                self._parts.save_now_and_then()
            self._report("reading")

    def _select(self) -> None:
        config = self.config
        if self._deep is not None:
            self._deep.select(self._archive, self.out, self._report_embedding)
            return
        if self._pixels is not None:
            self._pixels.select(self._archive, self._report_comparing)
            return
        self._archive.select(
            method=config.method,
            threshold=int(config.threshold or 0),
            keep=config.keep,
            n=config.n or 1,
            seed=config.seed or 0,
            whole_archive=config.scope == "dataset",
        )

    def _counted(self, tally: Tally) -> Iterator[pa.RecordBatch]:
        for batch in batches(self._archive, self._archive.lines(), self.config.hash_size, size=_ROWS_PER_BATCH):
            tally.add(batch)
            self.findings.add(batch)
            yield batch

    def _save_parts(self) -> None:
        if self._parts is not None:
            self._parts.save()

    def _how_far(self) -> str:
        progress = self._archive.progress()
        done = f"interrupted after {progress['files_read']} of {progress['files_to_read']} files"
        if self.out is None or not progress["files_read"]:
            return f"{done}; nothing was written"
        return f"{done}; the same command goes on from there"

    def _report_embedding(self, slices_embedded: int) -> None:
        self._report("embedding", slices=self._slices_grouped(), slices_embedded=slices_embedded)

    def _report_comparing(self, slices_compared: int) -> None:
        self._report("comparing", slices=self._slices_grouped(), slices_compared=slices_compared)

    def _slices_grouped(self) -> int:
        if self._grouped is None:
            self._grouped = self._archive.volume_starts()[-1] if self._archive.volumes() else 0
        return self._grouped

    def _report(self, stage: str, **counts: int) -> Progress:
        if self._stages is None:
            self._stages = StageClock(began=self._started)
        self._stages.report(stage)
        progress = Progress(stage=stage, **counts, **self._archive.progress())
        self._progress(progress)
        return progress

    def _threshold(self) -> float | None:
        outside = self._deep or self._pixels
        return self._archive.threshold() if outside is None else outside.threshold

    def _label_volumes(self) -> dict[str, Any]:
        """NIfTI volumes that look like masks: how many, and the first file."""
        found = self.findings.label_volumes()
        return {"count": len(found), "first": found[0].path if found else None}

    def _summarise(self, tally: Tally, reading_seconds: float) -> dict[str, Any]:
        progress = self._archive.progress()
        seconds = time.perf_counter() - self._started
        return {
            "manifest_version": MANIFEST_VERSION,
            "ctprune_version": _core.__version__,
            "config": self.config.to_dict(),
            "sources": [str(source) for source in self.sources],
            "threshold": self._threshold(),
            "files": progress["files_found"],
            "files_read": progress["files_read"],
            "files_reused": progress["files_reused"],
            "files_vanished": progress["files_vanished"],
            "slices": tally.rows["kept"] + tally.rows["dropped"],
            "volumes": self._archive.volumes(),
            "kept": tally.rows["kept"],
            "dropped": tally.rows["dropped"],
            "skipped": shown_reasons(tally.by_reason("skipped")),
            "failed": shown_reasons(tally.by_reason("failed")),
            "volumes_with": self._archive.oddities(),
            "label_volumes": self._label_volumes(),
            "bytes_read": progress["bytes_read"],
            "seconds": round(seconds, 3),
            "reading_seconds": round(reading_seconds, 3),
            "stage_seconds": {} if self._stages is None else self._stages.seconds(),
            "slices_per_second": round(progress["slices_read"] / reading_seconds, 1),
            "megabytes_per_second": round(progress["bytes_read"] / reading_seconds / 1e6, 1),
            "threads": self._threads,
            "machine": f"{platform.system()} {platform.machine()}",
            **({} if self._deep is None else {"embeddings": self._deep.summary()}),
            **({} if self._pixels is None else {"comparisons": self._pixels.summary()}),
        }


def _resolve(sources: Sources) -> list[Path]:
    """Absolute paths of the sources, each there and none inside another."""
    given = [sources] if isinstance(sources, (str, os.PathLike)) else list(sources)
    if not given:
        raise ConfigError("no source: name at least one folder or file")
    paths = []
    for source in given:
        path = Path(os.path.abspath(source))
        if not path.exists():
            raise SourceError(_not_there(os.fspath(source)))
        if path.is_dir() and not os.access(path, os.R_OK | os.X_OK):
            raise SourceError(f"{source}: the folder may not be read: check its permissions")
        paths.append(path)
    # A folder stands right before what lies in it: so many files can be named, each of them a source.
    ordered = sorted((path.resolve().parts, place) for place, path in enumerate(paths))
    for (outer, place), (inner, other) in itertools.pairwise(ordered):
        if inner[: len(outer)] == outer:
            first, second = paths[min(place, other)], paths[max(place, other)]
            raise ConfigError(f"sources {first} and {second} overlap: name the outer one only")
    return paths


def _not_there(source: str) -> str:
    """What is wrong with a source that is no path of a file or folder."""
    address = re.match(r"([a-z][a-z0-9+.-]+):/+(.*)", source, re.IGNORECASE)
    if address is None:
        return f"{source}: no such file or folder"
    scheme, rest = address.groups()
    # A path has lost one of the slashes by now.
    return (
        f"{scheme}://{rest}: expected a folder or file of this machine; addresses ({scheme}://) are not read: "
        "download the data or mount them as a folder, and name that"
    )


def _within(inner: Path, outer: Path) -> bool:
    return inner.resolve().is_relative_to(outer.resolve())


def _check_out(out: Path, sources: list[Path]) -> None:
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out}: expected a folder, found a file")
    for source in sources:
        if source.is_dir() and _within(out, source):
            raise ConfigError(f"--out {out} lies inside the source {source}: name a folder outside of it")


def load_summary(run: str | os.PathLike[str]) -> dict[str, Any]:
    """The summary of a finished run's folder.

    Raises:
        ManifestError: The folder holds none.
    """
    file = Path(run) / SUMMARY_NAME
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, ValueError):
        raise ManifestError(f"{run}: expected a run's folder with {SUMMARY_NAME}, found none") from None
