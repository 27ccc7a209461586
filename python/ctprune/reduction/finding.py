"""The stage `finding`: take over an earlier run's rows, then list every file of the sources; reads no pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ctprune import _core
from ctprune.environment.log import Log
from ctprune.manifest.manifest import manifest_path
from ctprune.manifest.parts import Parts
from ctprune.manifest.shards import Shard
from ctprune.reduction.reading import PORTION

if TYPE_CHECKING:
    from ctprune.reduction.elsewhere import Fetching
    from ctprune.reduction.pseudonymizing import Pseudonymizing

_log = Log("ctprune.reduction")


class Runs(NamedTuple):
    """Finished runs to merge.

    Attributes:
        folders: Their folders.
        sources: The sources of all runs, as rows name them, in order.
        shown: The same as users named them: a file, where rows name its folder.
    """

    folders: Sequence[Path]
    sources: Sequence[str]
    shown: Sequence[str]


class Finding:
    """Finds the files of an archive.

    Args:
        archive: The archive, still empty.
        sources: Folders and files on this machine.
        parts: Parts of an earlier run; None if nothing is saved.
        pseudonyms: Makes pseudonyms; None if names stay.
        fetching: Lists servers; None if all sources are local.
        runs: The runs to merge; then no source is walked.
        shard: The share of the files to read here; None for all.
        report: Called when there may be something new to show.
    """

    def __init__(
        self,
        archive: _core.Archive,
        sources: Sequence[Path],
        *,
        parts: Parts | None,
        pseudonyms: Pseudonymizing | None,
        fetching: Fetching | None,
        runs: Runs | None,
        shard: Shard | None,
        report: Callable[[], None],
    ) -> None:
        self._archive = archive
        self._sources = sources
        self._parts = parts
        self._pseudonyms = pseudonyms
        self._fetching = fetching
        self._runs = runs
        self._shard = shard
        self._report = report

    def find(self, *, read_here: bool = True) -> dict[str, int]:
        """Take over known rows and list all files. Returns counts by name.

        Args:
            read_here: Whether to look only at the files of the shard, if there is one.
        """
        self._report()
        if self._runs is not None:
            self._take_runs(self._runs)
        else:
            self._declare(self._shard if read_here else None)
            if self._parts is not None:
                if self._pseudonyms is not None and self._parts.has_earlier():
                    self._pseudonyms.name_remote(self._archive)
                self._parts.take_over(all_shards=self._shard is None or not read_here)
            self._walk()
        self._report()
        found = self._archive.progress()
        _log.info(
            "%d files: %d to read (%.1f MB), %d taken over from an earlier reduction, %d vanished",
            found["files_found"],
            found["files_to_read"],
            found["bytes_to_read"] / 1e6,
            found["files_reused"],
            found["files_vanished"],
        )
        return found

    def _declare(self, shard: Shard | None) -> None:
        for source in self._sources:
            # Sources keep this order, whatever earlier runs hold.
            self._archive.declare_source(str(source if source.is_dir() else source.parent))
        if shard is not None:
            self._archive.set_shard(shard.number, shard.of)

    def _walk(self) -> None:
        for source in self._sources:
            if source.is_dir():
                self._archive.add_source(str(source))
            else:
                self._archive.add_file(str(source))
        # The walk comes last: when it ends, everything is found.
        if self._fetching is not None:
            for _ in self._fetching.find():
                self._report()
        while self._archive.discover(PORTION):
            self._report()

    def _take_runs(self, runs: Runs) -> None:
        """Take over all rows of other runs; of two equally good rows of a file, the last one counts."""
        for source in runs.sources:
            self._archive.declare_source(source)
        self._archive.take_whole()
        if self._pseudonyms is not None:
            self._pseudonyms.name_remote(self._archive)
        for run in reversed(runs.folders):
            self._archive.begin_earlier()
            for rows in _core.ManifestReader(str(manifest_path(run))).batches():
                if self._pseudonyms is not None:
                    self._pseudonyms.check_all_known(run, rows)
                self._archive.add_earlier(rows)
                self._report()
        self._archive.finish_without_discovery()
