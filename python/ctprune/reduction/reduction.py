"""From sources to a manifest: find, read, select, write. Rust does the work in portions; this drives it."""

from __future__ import annotations

import importlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctprune import _core
from ctprune.environment.progress import Count, Operation, ProgressCallback
from ctprune.environment.words import counted
from ctprune.errors import ConfigError, Interrupted, NetworkError, OutputError
from ctprune.files.atomic import check_writable, replace_file
from ctprune.files.globs import glob_pattern
from ctprune.files.run_lock import sole_writer
from ctprune.manifest.derived import remove_report, remove_sweep, remove_tables
from ctprune.manifest.findings import Findings
from ctprune.manifest.manifest import (
    FILE_NAME,
    Manifest,
    batches,
    write_manifest,
)
from ctprune.manifest.parts import Parts
from ctprune.manifest.pseudonyms import named_sources
from ctprune.manifest.shards import Shard, check_claims, idle_shards
from ctprune.manifest.summary_file import SUMMARY_NAME
from ctprune.manifest.tally import Tally
from ctprune.options.file import save_options
from ctprune.reduction.changes import Changes, find_changes
from ctprune.reduction.config import ReduceConfig
from ctprune.reduction.finding import Finding, Runs
from ctprune.reduction.folder import (
    CONFIG_NAME,
    check_no_disk_is_missing,
    check_out,
    check_sources,
    check_stable,
    is_empty_folder,
    remote_run,
)
from ctprune.reduction.reading import Reading
from ctprune.reduction.selecting import Selecting
from ctprune.reduction.summary import compared_all, summarize
from ctprune.sources.plan import Plan, Sources, plan

if TYPE_CHECKING:
    from ctprune.reduction.deep_selection import DeepSelection
    from ctprune.reduction.elsewhere import Fetching
    from ctprune.reduction.pseudonymizing import Pseudonymizing
    from ctprune.sources.plan import Elsewhere

_ROWS_PER_BATCH = 1 << 16


class Reduction:
    """One reduction, step by step. `ctprune.reduce` is the short form."""

    def __init__(
        self,
        sources: Sources,
        config: ReduceConfig,
        *,
        from_list: str | os.PathLike[str] | None = None,
        out: str | os.PathLike[str] | None = None,
        progress: ProgressCallback | None = None,
        note: Callable[[str], None] | None = None,
        shard: Shard | None = None,
        runs: Runs | None = None,
        headers_only: bool = False,
    ) -> None:
        self.config = config
        self.runs: Sequence[Path] = () if runs is None else runs.folders
        #: Removes copies of remote runs at the end of this reduction.
        self.at_end = ExitStack()
        # The sources of merged runs need not exist, unless their names are needed.
        is_read = runs is None or config.pseudonymize is not None
        found = plan(sources if runs is None else named_sources(), from_list) if is_read else Plan((), ())
        self.sources = list(found.paths)
        check_sources(self.sources)
        self._names = found.names() if runs is None else list(runs.shown)
        #: The run, if it is in an object store; `out` is then its copy on this machine.
        self.remote = None if out is None else remote_run(out, found, self.note)
        self.out = None if out is None else Path(out) if self.remote is None else self.remote.folder
        if self.remote is not None:
            self.at_end.callback(self.remote.remove_copy)
        self.summary: dict[str, Any] = {}
        self.findings = Findings()
        self.removed: list[Path] = []
        self.notes: list[str] = []
        self.shard = shard
        self._say = note
        self._operation = Operation(progress)
        try:
            how = {**config.reading(), "headers_only": headers_only}
            self._archive = _core.Archive(**how, threads=config.threads, reads=config.io)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        for glob in config.exclude:
            self._archive.exclude(glob_pattern(glob), glob)
        for glob in config.include:
            self._archive.include(glob_pattern(glob))
        self._pseudonyms: Pseudonymizing | None = None
        if config.pseudonymize is not None:
            from ctprune.reduction.pseudonymizing import Pseudonymizing

            self._pseudonyms = Pseudonymizing(config, self.out, self.sources, found.elsewhere)
            self._pseudonyms.begin(self._archive)
        self._threads = config.threads or os.cpu_count() or 1
        self._fetching: Fetching | None = None
        if found.elsewhere:
            self._fetching = self._fetching_from(found.elsewhere)
        self._started = time.perf_counter()
        self._parts: Parts | None = None
        self._changes: Changes | None = None
        if self.out is not None:
            check_out(self.out, self.sources if is_read else [Path(name) for name in self._names])
            self._parts = Parts(
                self.out,
                self._archive,
                config.to_dict(),
                config.reading(),
                shard=shard,
                note=self.note,
                saved=(lambda: None) if self.remote is None else self.remote.parts.save,
            )
        self._finding = Finding(
            self._archive,
            self.sources,
            parts=self._parts,
            pseudonyms=self._pseudonyms,
            fetching=self._fetching,
            runs=runs,
            shard=shard,
            report=partial(self._report, "finding"),
        )
        report = partial(self._report, "reading")
        self._reading = Reading(self._archive, config, self._parts, self._fetching, report)
        self._selecting = Selecting(
            self._archive,
            config,
            parts=self._parts,
            out=self.out,
            runs=self.runs,
            threads=self._threads,
            counter=self.counter,
        )

    @property
    def where(self) -> str | Path | None:
        """Folder or address of the run, as the user named it."""
        return self.out if self.remote is None else self.remote.name

    @property
    def archive(self) -> _core.Archive:
        """The archive of this reduction, in its present state."""
        return self._archive

    @property
    def parts(self) -> Parts | None:
        """The saved parts, if there is a folder for them."""
        return self._parts

    def note(self, sentence: str) -> None:
        """Pass a sentence to the user, each only once."""
        if self.remote is not None:
            sentence = self.remote.said(sentence)
        if sentence not in self.notes:
            self.notes.append(sentence)
            if self._say is not None:
                self._say(sentence)

    def find(self, *, read_here: bool = True) -> dict[str, int]:
        """Take over an earlier run's rows and list all files; reads no pixels. Returns counts by name.

        Args:
            read_here: Whether to look only at the files of the shard, if this is one.
        """
        if self.remote is not None and not self.remote.is_fetched:
            self._report("finding")
            with self.speaking_of_out():
                self.remote.fetch()
        return self._finding.find(read_here=read_here)

    def carry_out(self) -> Manifest:
        """Do all steps and return the manifest; writes it if there is a folder to write to.

        A manifest in memory takes some 500 bytes per slice; `write` avoids that.
        """
        if self.out is not None:
            self.write()
            return Manifest.load(self.out)
        reading_seconds = self._find_read_and_select()
        tally = Tally()
        rows = _core.Rows.concat(list(self._counted(tally)))
        self.summary = self._summarize(tally, reading_seconds)
        return Manifest(rows=rows, config=self.config.to_dict(), ctprune_version=_core.__version__)

    def write(self) -> None:
        """Do all steps and write the manifest and its summary, a few rows at a time."""
        if self.out is None or self._parts is None:
            raise ConfigError("out is missing: name a folder for the manifest", field="out")
        with self.speaking_of_out():
            check_writable(self.out)
            if self.remote is not None:
                self.remote.fetch()
            self._write(self.out, self._parts)

    def _write(self, out: Path, parts: Parts) -> None:
        with sole_writer(out), idle_shards(out) as shards, self.keeping_parts():
            check_claims(out, self.claim(), names=("kernels_version", "reading", "sources"))
            reading_seconds = self._find_read_and_select()
            tally = Tally()
            outdated = [remove_report(out), *remove_tables(out)]

            def write_beside() -> None:
                # The manifest comes last: if it is there, all else is.
                self.summary = self._summarize(tally, reading_seconds)
                self._write_summary()
                if self._pseudonyms is not None:
                    self._pseudonyms.write_table(self._archive)

            write_manifest(out / FILE_NAME, self._counted(tally), self.config.to_dict(), write_beside)
            outdated.append(remove_sweep(out, out / FILE_NAME))
            self.removed = [file for file in outdated if file is not None]
            if self.remote is not None:
                # What is published after it would stay there.
                parts.end_writing()
                self.remote.publish()
            parts.remove(shards)

    def claim(self) -> dict[str, Any]:
        """The facts on which all shards of a run must agree."""
        return {
            "kernels_version": _core.KERNELS_VERSION,
            "reading": self.config.reading(),
            "config": self.config.to_dict(),
            "sources": self._shown_sources(),
        }

    def _shown_sources(self) -> list[str]:
        """The sources, as outputs name them."""
        if self._pseudonyms is not None:
            return self._pseudonyms.shown_sources()
        return self._names

    def read_files(self) -> None:
        """Read the found files that no earlier run has read."""
        self._reading.read()

    def speaking_of_out(self) -> AbstractContextManager[None]:
        """Errors of the block name the run as the user named it."""
        return nullcontext() if self.remote is None else self.remote.speaking_of_it()

    @contextmanager
    def keeping_parts(self) -> Iterator[None]:
        """Save progress, whatever ends the block."""
        try:
            yield
        except KeyboardInterrupt:
            self._save_parts()
            raise Interrupted(self._how_far()) from None
        except BaseException:
            # The user must know what ended the block, not that a part cannot be saved either.
            with suppress(OutputError, NetworkError):
                self._save_parts()
            raise
        finally:
            if self._parts is not None:
                self._parts.close()

    def _write_summary(self) -> None:
        assert self.out is not None
        with replace_file(self.out / SUMMARY_NAME) as beside:
            beside.write_text(json.dumps(self.summary, indent=2) + "\n")
        save_options(self.config, self.out / CONFIG_NAME)
        if self._changes is not None:
            self._changes.write(self.out)

    def load_network(self) -> DeepSelection | None:
        """The network of the method, if it has one; see `Selecting.load`."""
        found = self._selecting.load()
        # Loading a network does not count as reading.
        self._started = time.perf_counter()
        return found

    def progress(self) -> dict[str, int]:
        """Progress counts, by name."""
        return self._archive.progress()

    def _find_read_and_select(self) -> float:
        """Do all steps before writing; returns the seconds until the last file was read."""
        # Loaded before hours of reading, since it may fail.
        self.load_network()
        try:
            if not all(map(is_empty_folder, self.sources)) or self.runs or self._fetching is not None:
                # `_core` makes arrays with numpy: load it here, before threads take the memory that it needs.
                importlib.import_module("numpy")
            self.find()
            if self._parts is not None and self.out is not None:
                # The names of remote sources follow.
                check_no_disk_is_missing(self.out, dict(zip(self.sources, self._shown_sources(), strict=False)))
                check_stable(self.out, self.config, self._parts.earlier)
                self._parts.selected = self._selected_before()
                self._parts.remove_unusable()
            if not self.runs:
                self._reading.read()
                self._reading.stop_if_too_many_failed()
            reading_seconds = time.perf_counter() - self._started
            self.group()
            self._selecting.select()
            if self._parts is not None and self._parts.earlier is not None:
                self._changes = find_changes(self._archive, self._parts.earlier["config"], self.config.to_dict())
        except KeyboardInterrupt:
            self._save_parts()
            raise Interrupted(self._how_far()) from None
        self._report("writing")
        return reading_seconds

    def _selected_before(self) -> list[Path]:
        """Manifests with the same configuration, whose selections of whole volumes are still valid."""
        before = [*self.runs, *([self.out] if self.out is not None and not self.runs else [])]
        return [run / FILE_NAME for run in before if compared_all(run)]

    def group(self) -> None:
        """Group all slices into volumes, in order."""
        self._report("selecting")
        self._selecting.group()

    def _fetching_from(self, elsewhere: Sequence[Elsewhere]) -> Fetching:
        # Imported only for an address, since it needs an extra.
        from ctprune.reduction.elsewhere import Fetching

        return Fetching(self._archive, elsewhere, self.config, self._threads)

    def server_notes(self) -> list[str]:
        """Sentences for the user about how servers were read."""
        return [] if self._fetching is None else self._fetching.notes()

    def select_in(self, volumes: list[int] | None, progress: Count) -> None:
        """Select by fingerprints or pixels in these volumes, or in all."""
        self._selecting.select_in(volumes, progress)

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
        read, to_read = progress["files_read"], progress["files_to_read"]
        is_reading = self._operation.stage in ("", "finding", "reading")
        done = f"after {read:,} of {counted(to_read, 'file')}" if is_reading else f"while {self._operation.stage}"
        then = "nothing was written" if self.out is None or (is_reading and not read) else "rerun to resume"
        return f"interrupted {done}; {then}"

    def counter(self, stage: str, volumes: list[int] | None = None) -> Count:
        """Begin a stage that counts slices: of these volumes, or of all."""
        starts = self._archive.volume_starts() or [0]
        slices = starts[-1] if volumes is None else sum(starts[at + 1] - starts[at] for at in volumes)
        count = self._operation.counter(stage, slices, "slices", **self._archive.progress())
        return count if self.remote is None else self.remote.saving(count)

    def _report(self, stage: str) -> None:
        now: dict[str, Any] = self._archive.progress()
        done, total, unit = {
            "finding": (now["files_found"], 0, "files"),
            "reading": (now["bytes_read"], now["bytes_to_read"], "bytes"),
        }.get(stage, (0, 0, ""))
        self._operation.report(stage, done, total, unit, **now)

    def _summarize(self, tally: Tally, reading_seconds: float) -> dict[str, Any]:
        return {
            "config": self.config.to_dict(),
            "sources": self._shown_sources(),
            "threshold": self._selecting.threshold(),
            **summarize(self._archive, tally, self.findings, reading_seconds=reading_seconds),
            "changes": {} if self._changes is None else self._changes.counts(),
            "seconds": round(time.perf_counter() - self._started, 3),
            "stage_seconds": self._operation.seconds(),
            "threads": self._threads,
            **self._selecting.facts(),
            **({} if self._fetching is None else {"network": self._fetching.facts()}),
        }
