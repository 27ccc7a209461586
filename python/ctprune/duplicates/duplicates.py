"""From a finished run to a table of duplicates: pairs, evidence, groups."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ctprune import _core
from ctprune.duplicates.config import DuplicatesConfig, DuplicatesOptions
from ctprune.duplicates.evidence import correlation, read_small
from ctprune.duplicates.groups import Group, groups_of
from ctprune.duplicates.pairs import Pair, aligned, find_pairs
from ctprune.environment.progress import Operation, ProgressCallback
from ctprune.errors import Interrupted
from ctprune.files.atomic import check_writable, replace_file
from ctprune.manifest.derived import DUPLICATES_NAME
from ctprune.manifest.manifest import Manifest, manifest_path
from ctprune.manifest.outside import check_outside_run
from ctprune.manifest.slices import Slices
from ctprune.options.configure import configure

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: Aligned slices to read of each pair.
_SLICES = 5

#: Most pairs with a correlation: reading more would take longer than everything else.
MOST_READ = 2000

_TEXTS = ("relation", "turn", "unit", "same_study", "same_series")
_WHOLE = ("a", "b", "compared", "group", "representative")


@dataclass(frozen=True)
class Duplicates:
    """The result of `find_duplicates`: pairs and groups of volumes.

    Attributes:
        pairs: Pairs of volumes, by ascending numbers.
        groups: Groups of volumes that pairs connect.
        volumes: Number of volumes that were compared.
        too_short: Number of volumes with fewer than three slices, which have no sequence to compare.
    """

    pairs: list[Pair]
    groups: list[Group]
    volumes: int
    too_short: int

    def to_dict(self) -> dict[str, Any]:
        """The result for JSON."""
        return {
            "volumes": self.volumes,
            "too_short": self.too_short,
            "pairs": [pair.to_dict() for pair in self.pairs],
            "groups": [group.to_dict() for group in self.groups],
        }

    def write(self, file: Path) -> None:
        """Write the pairs as a Parquet table, one row each.

        Raises:
            OutputError: The file cannot be written.
        """
        group_of = {volume: number for number, group in enumerate(self.groups) for volume in group.volumes}
        rows = [
            pair.to_dict()
            | {"group": group_of[pair.a], "representative": self.groups[group_of[pair.a]].representative}
            for pair in self.pairs
        ]
        names = [*Pair.__dataclass_fields__, "group", "representative"]
        columns = {name: _column(name, [row[name] for row in rows]) for name in names}
        with replace_file(file) as beside:
            _core.Rows.from_columns(columns).write(str(beside), json.dumps({"volumes": self.volumes}))


def find_duplicates(
    reduction: str | os.PathLike[str],
    config: DuplicatesConfig | None = None,
    /,
    *,
    out: str | os.PathLike[str] | None = None,
    progress: ProgressCallback | None = None,
    **options: Unpack[DuplicatesOptions],
) -> Duplicates:
    """Find volumes of a reduction that show the same anatomy: copies, parts, other kernels, other thicknesses.

    Args:
        reduction: Folder of a reduction, or its manifest.
        config: What counts as the same; cannot be combined with single options.
        out: Folder for `duplicates.parquet`; None writes nothing.
        progress: Called a few times a second with a `ctprune.Progress`.
        options: Those of `ctprune.DuplicatesConfig`, such as `prefer="thin"`.

    Raises:
        ManifestError: There is no manifest.
        ConfigError: An option cannot be used, or `out` lies inside a source.
        OutputError: The table cannot be written.
        Interrupted: Ctrl-C; nothing is left behind.

    >>> import ctprune, tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = ctprune.phantom.write_archive(folder / "dicoms", patients=1, size=64)
    >>> _ = ctprune.reduce(folder / "dicoms", out=folder / "run")
    >>> [pair.relation for pair in ctprune.find_duplicates(folder / "run").pairs]
    ['same']
    """
    config = configure(DuplicatesConfig, config, options)
    try:
        slices = Manifest.load(manifest_path(reduction)).slices()
        if out is not None:
            check_outside_run(out, reduction)
            check_writable(Path(out))
        operation = Operation(progress)
        count = operation.counter("comparing", slices.volumes, "volumes")
        pairs = find_pairs(
            slices,
            threshold=config.threshold,
            min_overlap=config.min_overlap,
            turned=config.turned,
            threads=config.threads,
            progress=count,
        )
        if config.pixels:
            pairs = with_correlation(slices, pairs, threads=config.threads, operation=operation)
        sizes = np.diff(slices.starts)
        found = Duplicates(
            pairs=pairs,
            groups=groups_of(slices, pairs, prefer=config.prefer),
            volumes=slices.volumes,
            too_short=int((sizes < 3).sum()),
        )
        if out is not None:
            found.write(Path(out) / DUPLICATES_NAME)
    except KeyboardInterrupt:
        raise Interrupted("interrupted; no table was written") from None
    return found


def with_correlation(
    slices: Slices, pairs: Sequence[Pair], *, threads: int = 0, operation: Operation | None = None
) -> list[Pair]:
    """The pairs with the correlation of a few aligned slices, if these can still be read."""
    read = [aligned(slices, pair, _SLICES) for pair in pairs[:MOST_READ]]
    rows = (row for of_pair in read for both in of_pair for row in both)
    small = read_small(slices, rows, threads=threads, operation=operation)
    found = [
        replace(pair, correlation=correlation(small, both, pair.turn))
        for pair, both in zip(pairs[:MOST_READ], read, strict=True)
    ]
    return [*found, *pairs[MOST_READ:]]


def _column(name: str, values: list[Any]) -> Any:
    if name in _TEXTS:
        return [None if value is None or value == "" else str(value) for value in values]
    if name in _WHOLE:
        return np.array(values, np.int64)
    return np.array([np.nan if value is None else value for value in values], np.float64)
