"""The manifest: one row per slice or refused file, as Parquet. It connects reducing and training."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctprune import _core
from ctprune.environment.lazy import numpy as np
from ctprune.environment.words import counted
from ctprune.errors import ManifestError
from ctprune.files.atomic import replace_file
from ctprune.manifest.run_address import MANIFEST_NAME
from ctprune.manifest.slices import Slices, with_status
from ctprune.sources.addresses import as_address

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

#: Version of the manifest's layout; other versions are refused.
MANIFEST_VERSION = _core.MANIFEST_VERSION

FILE_NAME = MANIFEST_NAME

STATUSES = ("kept", "dropped", "skipped", "failed")

_DIGESTED = ["path", "frame", "status", "file_size", "fingerprint", "min_hu", "max_hu"]

#: Options that name a location; only the content there decides the rows.
PLACES = ("weights", "target")

_ROWS_DIGESTED = 1 << 16

#: Rows and columns that a notebook shows.
_SHOWN_ROWS = 5
_SHOWN = ["path", "frame", "volume", "slice_index", "status", "reason", "exemplar", "similarity"]


@dataclass(frozen=True, eq=False, repr=False)
class Manifest:
    """The result of a reduction.

    A manifest has Arrow's PyCapsule interface: `polars.DataFrame(manifest)`, `pyarrow.table(manifest)` and DuckDB
    take it directly.

    Attributes:
        rows: One row per slice (`kept` or `dropped`), in order, then one per file or frame that was not used
            (`skipped` or `failed`).
        config: The full configuration that made the manifest.
        ctprune_version: The version of ctprune that made the manifest.
    """

    rows: _core.Rows
    config: dict[str, Any]
    ctprune_version: str

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Manifest:
        """Read a manifest from the folder of a reduction or from the Parquet file itself.

        Raises:
            ManifestError: There is no manifest, it is damaged, or this version of ctprune cannot read it.

        >>> import ctprune, tempfile
        >>> from pathlib import Path
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = ctprune.phantom.write_archive(folder / "dicoms", patients=1, size=64)
        >>> _ = ctprune.reduce(folder / "dicoms", out=folder / "run")
        >>> ctprune.Manifest.load(folder / "run").config["method"]
        'hash'
        """
        reader = _core.ManifestReader(str(manifest_path(path)))
        about = json.loads(reader.about)
        return cls(rows=reader.rows(), config=about["config"], ctprune_version=about["ctprune_version"])

    def __len__(self) -> int:
        """Number of rows, of slices and refused files."""
        return len(self.rows)

    def __eq__(self, other: object) -> bool:
        """Whether another manifest has the same rows, configuration and version."""
        if not isinstance(other, Manifest):
            return NotImplemented
        mine, others = (self.config, self.ctprune_version), (other.config, other.ctprune_version)
        return mine == others and self.rows == other.rows

    __hash__ = None  # type: ignore[assignment]

    def kept(self) -> _core.Rows:
        """The rows of the kept slices, in order."""
        return self.with_status("kept")

    def with_status(self, status: str) -> _core.Rows:
        """The rows with this status: `kept`, `dropped`, `skipped` or `failed`."""
        return with_status(self.rows, status)

    def slices(self) -> Slices:
        """The slices, kept and dropped, with their selection as arrays; their indices are rows of the manifest."""
        counts = self.counts()
        return Slices(self.rows.slice(0, counts["kept"] + counts["dropped"]), self.config)

    def counts(self) -> dict[str, int]:
        """Number of rows by status; every status is included."""
        names, of = self.rows.labels("status")
        found = dict(zip(names, np.bincount(of, minlength=len(names)).tolist(), strict=True))
        return {status: found.get(status, 0) for status in STATUSES}

    def to_pandas(self) -> pd.DataFrame:
        """The whole table as a pandas frame; pandas and pyarrow must be installed.

        Raises:
            ManifestError: pandas or pyarrow is not installed.
        """
        try:
            import pandas  # noqa: F401
            import pyarrow
        except ModuleNotFoundError as error:
            raise ManifestError(f"{error.name} is not installed: run 'pip install pandas pyarrow'") from None
        return pyarrow.table(self.rows).to_pandas()

    def to_polars(self) -> pl.DataFrame:
        """The whole table as a polars frame; polars must be installed.

        Raises:
            ManifestError: polars is not installed.
        """
        try:
            import polars
        except ModuleNotFoundError:
            raise ManifestError("polars is not installed: run 'pip install polars'") from None
        return polars.DataFrame(self.rows)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Arrow's PyCapsule interface: the rows as a stream of batches."""
        return self.rows.__arrow_c_stream__(requested_schema)

    def __arrow_c_schema__(self) -> object:
        """Arrow's PyCapsule interface: the columns."""
        return self.rows.__arrow_c_schema__()

    def digest(self) -> str:
        """SHA-256, in hexadecimal, of the selection, the files and the options.

        Two manifests with the same digest have the same rows in the same order, and slices with the same names,
        file sizes, fingerprints and ranges of Hounsfield units. Location and times of the sources, and of files
        that options name, do not matter, so a copy of an archive has the same digest.
        """
        import hashlib

        options = {name: value for name, value in self.config.items() if name not in PLACES}
        digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode())
        rows = self.rows.select(_DIGESTED)
        for start in range(0, len(rows), _ROWS_DIGESTED):
            some = rows.slice(start, start + _ROWS_DIGESTED)
            for name in _DIGESTED:
                values = some[name]
                text = isinstance(values, list)
                digest.update(json.dumps(values).encode() if text else _little_endian(values))
        return digest.hexdigest()

    def __repr__(self) -> str:
        """Counts and method in one line."""
        return f"<Manifest: {self._summary()}>"

    def _repr_html_(self) -> str:
        """Counts, method and the first rows, for notebooks."""
        from html import escape

        head = "".join(f"<th>{name}</th>" for name in _SHOWN)
        first = self.rows.slice(0, _SHOWN_ROWS).select(_SHOWN).to_dicts()
        body = "".join(f"<tr>{''.join(_cell(value) for value in row.values())}</tr>" for row in first)
        return (
            f"<p><b>Manifest</b>: {escape(self._summary())}</p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )

    def _summary(self) -> str:
        counts = self.counts()
        slices = counts["kept"] + counts["dropped"]
        refused = ", ".join(f"{counts[status]:,} {status}" for status in ("skipped", "failed") if counts[status])
        options = [f"method {self.config['method']}"]
        options += [
            f"{name} {self.config[name]:g}"
            for name in ("threshold", "keep", "budget")
            if self.config.get(name) is not None
        ]
        parts = [
            f"{counted(slices, 'slice')}, {counts['kept']:,} kept",
            *([refused] if refused else []),
            ", ".join(options),
        ]
        return "; ".join(parts)


def manifest_path(path: str | os.PathLike[str]) -> Path:
    """The manifest's file for the folder of a reduction, for its address, or for the file itself."""
    if as_address(path) is not None:
        # Imported here, since it needs an extra.
        from ctprune.manifest.local_run import local_run

        return local_run(path) / FILE_NAME
    path = Path(path)
    file = path / FILE_NAME if path.is_dir() else path
    if not file.is_file():
        found = f"found no {FILE_NAME} in it: 'ctprune reduce' writes one" if path.is_dir() else "found none"
        raise ManifestError(f"{path}: expected the folder of a reduction, {found}")
    return file


def batches(archive: _core.Archive, stop: int, *, size: int) -> Iterator[_core.Rows]:
    """The first `stop` manifest rows of an archive, `size` or fewer at a time; at least one batch."""
    start = 0
    while True:
        rows = archive.rows(start, min(start + size, stop))
        yield rows
        start += len(rows)
        if start >= stop:
            return


def write_manifest(
    file: Path,
    batches: Iterable[_core.Rows],
    config: dict[str, Any],
    before: Callable[[], None] = lambda: None,
) -> None:
    """Write batches of rows beside `file`, call `before`, and rename them into place."""
    about = {
        "manifest_version": MANIFEST_VERSION,
        "ctprune_version": _core.__version__,
        "kernels_version": _core.KERNELS_VERSION,
        "config": config,
    }
    with replace_file(file) as beside:
        writer = _core.ManifestWriter(str(beside), config["hash_size"], json.dumps(about, sort_keys=True))
        for batch in batches:
            writer.write(batch)
        writer.finish()
        before()


def _little_endian(values: np.ndarray[Any, Any]) -> bytes:
    return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()


def _cell(value: object) -> str:
    from html import escape

    return f"<td>{'' if value is None else escape(str(value))}</td>"
