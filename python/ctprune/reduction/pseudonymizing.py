"""The key of a reduction with pseudonyms, and the table of pseudonyms and names."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ctprune import _core
from ctprune.environment.words import counted
from ctprune.errors import ConfigError, ManifestError
from ctprune.files.atomic import replace_file
from ctprune.files.key_file import read_key
from ctprune.manifest.pseudonyms import reveal
from ctprune.reduction.config import ReduceConfig

if TYPE_CHECKING:
    from ctprune.sources.plan import Elsewhere

COLUMNS = ("kind", "pseudonym", "original")

_LINES = 1 << 14

#: Up to this many addresses are passed to later stages one by one.
_NAMED = 256


class Pseudonymizing:
    """The key and the table of one run.

    Args:
        config: The run's configuration, with `pseudonymize`.
        out: The reduction's folder, if there is one.
        sources: Absolute paths of its sources on this machine.
        elsewhere: Its remote sources.

    Raises:
        ConfigError: The key or the table cannot be used, or lies in the reduction's folder or in a source.
    """

    def __init__(
        self, config: ReduceConfig, out: Path | None, sources: Sequence[Path], elsewhere: Sequence[Elsewhere]
    ) -> None:
        self._key_file = str(config.pseudonymize)
        self._key = read_key(self._key_file, field="pseudonymize")
        self._sources = [str(source) for source in sources]
        self._elsewhere = elsewhere
        self._found: _core.Names | None = None
        self._names = self._sources + list(dict.fromkeys(one.name for one in elsewhere))
        self._table = None if config.pseudonyms_to is None else Path(config.pseudonyms_to)
        for field, file in (("pseudonymize", Path(self._key_file)), ("pseudonyms_to", self._table)):
            if file is not None:
                _check_apart(field, file, out, sources)
        if self._table is not None and self._table.exists() and not _is_table(self._table):
            raise ConfigError(
                f"pseudonyms_to {self._table}: not a table of pseudonyms, and would be replaced: choose another "
                f"file",
                field="pseudonyms_to",
            )

    def begin(self, archive: _core.Archive) -> None:
        """Have the archive make pseudonyms, and later stages find the files behind them."""
        archive.pseudonymize(self._key, self._sources, self._table is not None)
        texts = [one.text for one in self._elsewhere]
        if len(texts) > _NAMED:
            # From a list; the environment has room only for some.
            texts = list(dict.fromkeys(one.address.server for one in self._elsewhere))
        reveal(self._key_file, [*self._sources, *texts])

    def name_remote(self, archive: _core.Archive) -> None:
        """Tell the archive the names of remote objects, so that it can take over rows of an earlier run.

        Raises:
            SourceError: An address means nothing, or may not be listed.
            NetworkError: A server no longer answers.
        """
        found = self._remote_names()
        if found:
            archive.name_remote(list(found.items()))

    def check_all_known(self, run: Path, rows: _core.Rows) -> None:
        """Check that each row's file is still there, since its name is needed.

        Raises:
            ManifestError: Some are gone.
        """
        if self._found is None:
            self._found = _core.Names(self._key, self._sources)
            for source, paths in self._remote_names().items():
                self._found.add(source, paths)
        sources, of = rows.labels("source")
        known = zip(of.tolist(), rows["path"], strict=True)
        gone = sum(self._found.find(sources[number], path) is None for number, path in known)
        if gone:
            raise ManifestError(
                f"{run}: the files of {counted(gone, 'row')} are not in the sources, and only their names tell "
                "the order of slices: reduce the sources together"
            )

    def _remote_names(self) -> dict[str, list[str]]:
        """Paths of remote objects, by source."""
        if not self._elsewhere:
            return {}
        from ctprune.sources.listing import listed, members_of

        found = listed(self._elsewhere)
        for source, paths in found.items():
            zips = [path for path in paths if path.lower().endswith(".zip")]
            # For the names of its members, a tar file would have to be read to its end: it is read again as a new
            # one instead.
            paths[:] = [path for path in paths if not _core.promises_container(path)] + zips
            paths += [member for path in zips for member in members_of(source, path)]
        return found

    def shown_sources(self) -> list[str]:
        """The pseudonyms of the sources."""
        return [_core.pseudonym(self._key, "source", source) for source in self._names]

    def write_table(self, archive: _core.Archive) -> None:
        """Write the table of pseudonyms and names, if requested, readable by its owner only.

        Lines of an existing table stay: only they name the files that were not read again.

        Raises:
            OutputError: It cannot be written.
        """
        if self._table is None:
            return
        with replace_file(self._table) as beside:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as opened:
                writer = csv.writer(opened)
                writer.writerow(COLUMNS)
                written: set[str] = set()
                for line in _lines(archive):
                    if line[1] not in written:
                        written.add(line[1])
                        writer.writerow(line)
                if self._table.exists():
                    writer.writerows(line for line in _read(self._table) if line[1] not in written)


def _lines(archive: _core.Archive) -> Iterator[tuple[str, str, str]]:
    start = 0
    while lines := archive.pseudonym_lines(start, start + _LINES):
        yield from lines
        start += len(lines)


def _read(table: Path) -> Iterator[list[str]]:
    with table.open(encoding="utf-8", newline="") as opened:
        lines = csv.reader(opened)
        next(lines)
        yield from lines


def _is_table(table: Path) -> bool:
    try:
        with table.open(encoding="utf-8", newline="") as opened:
            return tuple(next(csv.reader(opened), ())) == COLUMNS
    except (OSError, UnicodeDecodeError, csv.Error):
        return False


def _check_apart(field: str, file: Path, out: Path | None, sources: Sequence[Path]) -> None:
    """Refuse a file in the reduction's folder, which may be shared, or in a source, which is never written to."""
    resolved = file.resolve()
    for folder, what in ((out, "the reduction's folder"), *((source, "a source") for source in sources)):
        if folder is not None and not folder.is_file() and resolved.is_relative_to(folder.resolve()):
            raise ConfigError(f"{field} {file}: lies in {what}: keep it elsewhere", field=field)
