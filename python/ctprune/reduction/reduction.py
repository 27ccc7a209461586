"""From sources to a manifest: find, read, select, write. Rust does the work in portions; this drives it."""

from __future__ import annotations

import itertools
import json
import os
import platform
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctprune import _core
from ctprune.environment.extras import extra
from ctprune.environment.progress import Count, Operation, ProgressCallback
from ctprune.errors import ConfigError, Interrupted, ManifestError, OutputError, SourceError, UnreadableError
from ctprune.files.atomic import check_writable, replace_file
from ctprune.files.globs import glob_pattern
from ctprune.files.run_lock import sole_writer
from ctprune.manifest.derived import remove_report, remove_sweep
from ctprune.manifest.findings import Findings
from ctprune.manifest.manifest import FILE_NAME, MANIFEST_VERSION, Manifest, batches, write_manifest
from ctprune.manifest.parts import Parts
from ctprune.manifest.tally import Tally
from ctprune.options.configure import configure
from ctprune.options.file import save_options
from ctprune.reading.decoding import decode_foreign
from ctprune.reading.reasons import shown_reason, shown_reasons
from ctprune.reduction.config import ReduceConfig, ReduceOptions
from ctprune.selection.methods import METHODS

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ctprune.reduction.deep_selection import DeepSelection

SUMMARY_NAME, CONFIG_NAME = "summary.json", "config.yaml"

#: Seconds per portion: progress is drawn and Ctrl-C answered between portions.
_PORTION = 0.2

_ROWS_PER_BATCH = 1 << 16

Sources = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def reduce(
    sources: Sources,
    config: ReduceConfig | None = None,
    /,
    *,
    out: str | os.PathLike[str] | None = None,
    progress: ProgressCallback | None = None,
    **options: Unpack[ReduceOptions],
) -> Manifest:
    """Select the slices worth pre-training on from folders or files of CT.

    Args:
        sources: Folders or files: DICOM, NIfTI, PNG, JPEG, TIFF, mixed as they are.
        config: How slices are selected; excludes single options that decide that.
        out: Folder for `manifest.parquet`, `summary.json` and `config.yaml`, the options; a manifest that is there
            already is reused where files are unchanged. None writes nothing.
        progress: Called a few times a second with a `ctprune.Progress`. Stages: `finding` (files), `reading`
            (bytes), `selecting`, with some methods `embedding` or `comparing` (slices), `writing`. Facts:
            `files_found`, `files_to_read`, `files_read`, `files_reused`, `files_vanished`, `bytes_to_read`,
            `bytes_read`, `slices_read`.
        options: Those of `ctprune.ReduceConfig`, such as `method="hash"` and `threshold=6`.

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
    config = configure(ReduceConfig, config, options)
    return Reduction(sources, config, out=out, progress=progress).carry_out()


class Reduction:
    """One reduction on its way. `reduce` is the short form."""

    def __init__(
        self,
        sources: Sources,
        config: ReduceConfig,
        *,
        out: str | os.PathLike[str] | None = None,
        progress: ProgressCallback | None = None,
    ) -> None:
        self.config = config
        self.sources = _resolve(sources)
        self.out = None if out is None else Path(out)
        self._deep: DeepSelection | None = None
        self.summary: dict[str, Any] = {}
        self.findings = Findings()
        self.removed: list[Path] = []
        self._operation = Operation(progress)
        try:
            self._archive = _core.Archive(**config.reading(), threads=config.threads)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        for glob in config.exclude:
            self._archive.exclude(glob_pattern(glob), glob)
        self._threads = config.threads or os.cpu_count() or 1
        self._started = time.perf_counter()
        self._parts: Parts | None = None
        if self.out is not None:
            _check_out(self.out, self.sources)
            self._parts = Parts(self.out, self._archive, config.to_dict(), config.reading())

    def find(self) -> dict[str, int]:
        """Take over what an earlier run knew and list all files; reads no pixel. Returns counts by name."""
        self._report("finding")
        if self._parts is not None:
            self._parts.take_over()
        for source in self.sources:
            if source.is_dir():
                self._archive.add_source(str(source))
            else:
                self._archive.add_file(str(source))
        while self._archive.discover(_PORTION):
            self._report("finding")
        self._report("finding")
        return self._archive.progress()

    def carry_out(self) -> Manifest:
        """Do all steps and return the manifest; writes it when there is a folder to write to.

        A manifest in memory takes some 500 bytes per slice: `write` does without.
        """
        if self.out is not None:
            self.write()
            return Manifest.load(self.out)
        reading_seconds = self._find_read_and_select()
        tally = Tally()
        rows = _core.Rows.concat(list(self._counted(tally)))
        self.summary = self._summarise(tally, reading_seconds)
        return Manifest(rows=rows, config=self.config.to_dict(), ctprune_version=_core.__version__)

    def write(self) -> None:
        """Do all steps and write the manifest and its summary, a few rows at a time."""
        if self.out is None or self._parts is None:
            raise ConfigError("out is missing: name a folder for the manifest", field="out")
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
                save_options(self.config, self.out / CONFIG_NAME)
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
        if METHODS[self.config.method].compares == "embeddings":
            # Before hours of reading, since it may fail.
            with extra("train", "the method deep"):
                from ctprune.reduction.deep_selection import DeepSelection
            self._deep = DeepSelection(self.config, download=self.config.download, threads=self._threads)
            # Loading a network is not reading.
            self._started = time.perf_counter()
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
        if self._archive.progress()["files_to_read"]:
            self._report("reading")
        more = True
        while more:
            more = self._archive.read(_PORTION)
            if self._parts is not None:
                self._parts.save_now_and_then()
            if self._archive.progress()["files_to_read"]:
                self._report("reading")
            if self.config.fail_first and self._archive.first_failure() is not None:
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
            self._deep.select(self._archive, self.out, self._counter("embedding"))
            return
        reads_pixels = METHODS[config.method].compares == "pixels"
        self._archive.select(
            method=config.method,
            threshold=config.threshold,
            keep=config.keep,
            n=config.n,
            seed=config.seed,
            window=config.window,
            whole_archive=config.scope == "dataset",
            decode=partial(decode_foreign, modality=config.modality, max_slice_mb=config.max_slice_mb),
            progress=self._counter("comparing") if reads_pixels else _no_count,
        )

    def _counted(self, tally: Tally) -> Iterator[_core.Rows]:
        for batch in batches(self._archive, self._archive.manifest_rows(), size=_ROWS_PER_BATCH):
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
        return f"{done}; rerun to resume"

    def _counter(self, stage: str) -> Count:
        slices = self._archive.volume_starts()[-1] if self._archive.volumes() else 0
        return self._operation.counter(stage, slices, "slices", **self._archive.progress())

    def _report(self, stage: str) -> None:
        now: dict[str, Any] = self._archive.progress()
        done, total, unit = {
            "finding": (now["files_found"], 0, "files"),
            "reading": (now["bytes_read"], now["bytes_to_read"], "bytes"),
        }.get(stage, (0, 0, ""))
        self._operation.report(stage, done, total, unit, **now)

    def _threshold(self) -> float | None:
        if self._deep is not None:
            return self._deep.threshold
        measure, found = METHODS[self.config.method].measure, self._archive.threshold()
        return None if measure is None or found is None else measure.plain(found)

    def _label_volumes(self) -> dict[str, Any]:
        """NIfTI volumes that look like masks: how many, and the first file."""
        found = self.findings.label_volumes()
        return {"count": len(found), "first": found[0].path if found else None}

    def _summarise(self, tally: Tally, reading_seconds: float) -> dict[str, Any]:
        progress = self._archive.progress()
        seconds = time.perf_counter() - self._started
        comparisons = self._archive.comparisons()
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
            "volumes_with": self._archive.geometry_flags(),
            "label_volumes": self._label_volumes(),
            "bytes_read": progress["bytes_read"],
            "seconds": round(seconds, 3),
            "reading_seconds": round(reading_seconds, 3),
            "stage_seconds": self._operation.seconds(),
            "slices_per_second": round(progress["slices_read"] / reading_seconds, 1),
            "megabytes_per_second": round(progress["bytes_read"] / reading_seconds / 1e6, 1),
            "threads": self._threads,
            "machine": f"{platform.system()} {platform.machine()}",
            **({} if self._deep is None else {"embeddings": self._deep.summary()}),
            **({} if comparisons is None else {"comparisons": comparisons}),
        }


def _no_count(done: int) -> None:
    """Count nothing: the stage is short."""


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
        raise ConfigError(f"out {out}: expected a folder, found a file", field="out")
    if (out / CONFIG_NAME).exists() and not any((out / name).exists() for name in (FILE_NAME, SUMMARY_NAME)):
        raise OutputError(
            f"{out / CONFIG_NAME} is not of a reduction, and would be replaced: choose another folder"
        )
    for source in sources:
        if source.is_dir() and _within(out, source):
            raise ConfigError(
                f"out {out} lies inside the source {source}: name a folder outside of it", field="out"
            )


def load_summary(reduction: str | os.PathLike[str]) -> dict[str, Any]:
    """The summary in the folder of a reduction.

    Raises:
        ManifestError: The folder holds none.
    """
    file = Path(reduction) / SUMMARY_NAME
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, ValueError):
        raise ManifestError(
            f"{reduction}: expected the folder of a reduction with {SUMMARY_NAME}, found none"
        ) from None
