"""The manifest: one row per slice or refused file, as Parquet. It is the seam between reducing and training."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from ctprune import _core
from ctprune.errors import ManifestError
from ctprune.files import parquet_file
from ctprune.files.atomic import replace_file
from ctprune.files.parquet_seal import is_intact, is_sealed, seal
from ctprune.manifest.boundary import ColumnBytes

if TYPE_CHECKING:
    import pandas as pd

#: Version of the table's layout; other versions are refused.
MANIFEST_VERSION = 2

FILE_NAME = "manifest.parquet"

STATUSES = ("kept", "dropped", "skipped", "failed")

_METADATA_KEY = b"ctprune"

_DIGESTED = ["path", "frame", "status", "file_size", "fingerprint", "min_hu", "max_hu"]

_ROWS_DIGESTED = 1 << 16


def schema(hash_size: int) -> pa.Schema:
    """The manifest's columns for fingerprints of `hash_size²` bits."""
    float64 = pa.float64()
    return pa.schema(
        [
            pa.field("path", pa.string()),
            pa.field("source", pa.string()),
            pa.field("frame", pa.int32()),
            pa.field("study_instance_uid", pa.string()),
            pa.field("series_instance_uid", pa.string()),
            pa.field("sop_instance_uid", pa.string()),
            pa.field("volume", pa.int32()),
            pa.field("slice_index", pa.int32()),
            pa.field("position_mm", float64),
            pa.field("rows", pa.int32()),
            pa.field("columns", pa.int32()),
            pa.field("pixel_spacing_mm", pa.list_(float64, 2)),
            pa.field("transfer_syntax_uid", pa.string()),
            pa.field("min_hu", pa.float32()),
            pa.field("max_hu", pa.float32()),
            pa.field("status", pa.string()),
            pa.field("reason", pa.string()),
            pa.field("fingerprint", pa.binary(_core.fingerprint_bytes(hash_size))),
            pa.field("exemplar", pa.int64()),
            pa.field("similarity", pa.float32()),
            pa.field("reader", pa.string()),
            pa.field("modality", pa.string()),
            pa.field("manufacturer", pa.string()),
            pa.field("manufacturer_model_name", pa.string()),
            pa.field("convolution_kernel", pa.string()),
            pa.field("slice_thickness_mm", float64),
            pa.field("image_position_patient", pa.list_(float64, 3)),
            pa.field("image_orientation_patient", pa.list_(float64, 6)),
            pa.field("acquisition_number", pa.int32()),
            pa.field("instance_number", pa.int32()),
            pa.field("file_size", pa.int64()),
            pa.field("file_mtime_ns", pa.int64()),
        ]
    )


@dataclass(frozen=True)
class Manifest:
    """The result of a reduction.

    Attributes:
        table: One row per slice (`kept` or `dropped`), in order, then one per refused file or frame (`skipped`
            or `failed`); columns as in `ctprune.manifest.manifest.schema`.
        config: The full configuration that made it.
        ctprune_version: The version that made it.
    """

    table: pa.Table
    config: dict[str, Any]
    ctprune_version: str

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Manifest:
        """Read a manifest from a run's folder or from the Parquet file itself.

        Raises:
            ManifestError: There is none, it is not a manifest, or its version is not this one's.

        >>> import ctprune, tempfile
        >>> from pathlib import Path
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = ctprune.phantom.write_archive(folder / "dicoms", patients=1, size=64)
        >>> _ = ctprune.reduce(folder / "dicoms", out=folder / "run")
        >>> ctprune.Manifest.load(folder / "run").config["method"]
        'hash'
        """
        file = manifest_path(path)
        metadata = read_metadata(file)
        return cls(
            table=parquet_file.read_table(file),
            config=metadata["config"],
            ctprune_version=metadata["ctprune_version"],
        )

    def kept(self) -> pa.Table:
        """The rows of the kept slices, in order."""
        return self.with_status("kept")

    def with_status(self, status: str) -> pa.Table:
        """The rows with this status: `kept`, `dropped`, `skipped` or `failed`."""
        return self.table.filter(pc.equal(self.table["status"], status))

    def to_pandas(self) -> pd.DataFrame:
        """The whole table as a pandas frame; pandas must be installed.

        Raises:
            ManifestError: pandas is not installed.
        """
        try:
            return self.table.to_pandas()
        except ModuleNotFoundError:
            raise ManifestError("pandas is not installed: run 'pip install pandas'") from None

    def digest(self) -> str:
        """SHA-256, in hexadecimal, of what was selected from which files with which options.

        Two manifests of one digest have the same rows in the same order, and slices of the same names, sizes of
        files, fingerprints and ranges of Hounsfield units. Where the sources lie and when they were written does
        not matter, so that a copy of an archive has the same digest.
        """
        options = {name: value for name, value in self.config.items() if name != "weights"}
        digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode())
        for start in range(0, self.table.num_rows, _ROWS_DIGESTED):
            for column in self.table.select(_DIGESTED).slice(start, _ROWS_DIGESTED).columns:
                digest.update(json.dumps(column.to_pylist(), default=bytes.hex).encode())
        return digest.hexdigest()

    def counts(self) -> dict[str, int]:
        """Number of rows by status; every status is there."""
        found = {item["values"]: item["counts"] for item in pc.value_counts(self.table["status"]).to_pylist()}
        return {status: found.get(status, 0) for status in STATUSES}


@dataclass
class Tally:
    """Rows counted as they go by, so that they need not be in memory together.

    Attributes:
        rows: Number of rows by status.
        reasons: Number of rows by reason, for each status that has one.
    """

    rows: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, batch: pa.RecordBatch) -> None:
        """Count the rows of a batch."""
        pairs = pa.table({"status": batch["status"], "reason": batch["reason"]})
        for found in pairs.group_by(["status", "reason"]).aggregate([([], "count_all")]).to_pylist():
            self.rows[found["status"]] += found["count_all"]
            if found["reason"] is not None:
                self.reasons[found["status"]][found["reason"]] += found["count_all"]

    def by_reason(self, status: str) -> dict[str, int]:
        """The reasons of a status, the most frequent first."""
        return dict(sorted(self.reasons[status].items(), key=lambda item: (-item[1], item[0])))


def manifest_path(path: str | os.PathLike[str]) -> Path:
    """The manifest's file for a run's folder or for the file itself."""
    path = Path(path)
    file = path / FILE_NAME if path.is_dir() else path
    if not file.is_file():
        raise ManifestError(f"{path}: expected a run's folder with {FILE_NAME} or that file, found none")
    return file


def read_metadata(file: Path) -> dict[str, Any]:
    """Check that a file is a manifest of this version, as it was written, and return what its metadata says.

    Raises:
        ManifestError: It is none, it is damaged, or its version is not this one's.
    """
    damaged = f"{file}: damaged or edited (its checksum does not match): delete it and run 'ctprune reduce' again"
    try:
        intact = is_intact(file)
        if not intact and is_sealed(file):
            raise ManifestError(damaged)
        found = parquet_file.read_schema(file)
    except (pa.ArrowException, OSError) as error:
        raise ManifestError(f"{file}: expected a Parquet manifest: {_first_line(error)}") from None
    try:
        metadata = json.loads((found.metadata or {})[_METADATA_KEY])
        version, hash_size = metadata["manifest_version"], metadata["config"]["hash_size"]
    except (KeyError, ValueError, TypeError):
        raise ManifestError(f"{file}: a Parquet file, but not a manifest of ctprune") from None
    if version != MANIFEST_VERSION:
        raise ManifestError(
            f"{file}: manifest version {version}, but ctprune {_core.__version__} reads version "
            f"{MANIFEST_VERSION}: run 'ctprune reduce' again or use the ctprune that wrote it"
        )
    if not intact:
        raise ManifestError(damaged)
    if not found.remove_metadata().equals(schema(hash_size)):
        raise ManifestError(f"{file}: the columns are not those of manifest version {version}")
    return dict(metadata)


def write_manifest(file: Path, batches: Iterable[pa.RecordBatch], config: dict[str, Any]) -> None:
    """Write batches of rows beside `file` and rename them into place."""
    metadata = {
        "manifest_version": MANIFEST_VERSION,
        "ctprune_version": _core.__version__,
        "config": config,
    }
    described = schema(config["hash_size"]).with_metadata({_METADATA_KEY: json.dumps(metadata, sort_keys=True)})
    with replace_file(file) as beside:
        with parquet_file.writer(beside, described) as writer:
            for batch in batches:
                writer.write_batch(batch)
        seal(beside)


def batches(archive: _core.Archive, stop: int, hash_size: int, *, size: int) -> Iterator[pa.RecordBatch]:
    """The first `stop` manifest rows of an archive, `size` or fewer at a time."""
    start = 0
    while start < stop:
        rows, columns = archive.columns(start, min(start + size, stop))
        yield record_batch(columns, rows, hash_size)
        start += rows


def record_batch(columns: dict[str, ColumnBytes], rows: int, hash_size: int) -> pa.RecordBatch:
    """Arrow's bytes from the Rust core as a batch of manifest rows."""
    fields = schema(hash_size)
    batch = pa.RecordBatch.from_arrays(
        [_array(field.type, columns[field.name], rows) for field in fields], schema=fields
    )
    # Buffers are taken as they come: what does not fit together would be read beyond its end.
    batch.validate(full=True)
    return batch


def column_bytes(batch: pa.RecordBatch) -> dict[str, ColumnBytes]:
    """The reverse of `record_batch`."""
    return {name: _bytes(batch.column(name)) for name in batch.schema.names}


def _array(kind: pa.DataType, column: ColumnBytes, rows: int) -> pa.Array:
    valid, offsets, data = (None if part is None else pa.py_buffer(part) for part in column)
    if pa.types.is_fixed_size_list(kind):
        values = pa.Array.from_buffers(pa.float64(), rows * kind.list_size, [None, data])
        return pa.Array.from_buffers(kind, rows, [valid], children=[values])
    buffers = [valid, data] if offsets is None else [valid, offsets, data]
    return pa.Array.from_buffers(kind, rows, buffers)


def _bytes(array: pa.Array) -> ColumnBytes:
    if array.offset:
        # A slice of a larger array: buffers start elsewhere; taking copies it into arrays of its own.
        array = array.take(pa.array(range(len(array))))
    buffers = [None if part is None else part.to_pybytes() for part in array.buffers()]
    if pa.types.is_string(array.type):
        return buffers[0], buffers[1], buffers[2] or b""
    return buffers[0], None, buffers[-1] or b""


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
