"""Rust core of ctprune."""

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, TypeAlias, final

import numpy as np
import numpy.typing as npt

__all__ = [
    "DEFAULT_FINGERPRINT",
    "IS_CHECKED",
    "KERNELS_VERSION",
    "MANIFEST_VERSION",
    "PNG_HU_OFFSET",
    "Archive",
    "Feed",
    "ManifestReader",
    "ManifestWriter",
    "Names",
    "PixelSweep",
    "RowBatches",
    "Rows",
    "StoredContainer",
    "ZipDirectory",
    "__version__",
    "canonical_intensity",
    "check_pattern",
    "choose_points",
    "codes",
    "codes_documentation",
    "container_kind_by_head",
    "container_of",
    "cosine_exemplars",
    "describe",
    "dicomdir_files",
    "encode_frame",
    "export_png",
    "find_pairs",
    "fingerprint",
    "gate_codes",
    "hamming",
    "header_decides",
    "is_dicomdir",
    "is_packed",
    "key_fingerprint",
    "kind_of_container",
    "manifest_columns",
    "methods",
    "mutual_information",
    "nearest_kept",
    "nearest_within",
    "parquet_metadata",
    "promises_container",
    "pseudonym",
    "read_hu",
    "read_resized",
    "resize_decoded",
    "retrieve_points",
    "sealed_digest",
    "select_exemplars",
    "slice_spacing",
    "ssim",
    "turned",
    "visit_bytes",
]
__version__: str
IS_CHECKED: bool
MANIFEST_VERSION: int
KERNELS_VERSION: int
DEFAULT_FINGERPRINT: str
PNG_HU_OFFSET: int

_Path: TypeAlias = str | PathLike[str]

#: From a file and numbers of its frames to pixels, slope and intercept of each.
_Decode: TypeAlias = Callable[[str, list[int]], list[tuple[npt.NDArray[Any], float, float]]]

class _Fetch(Protocol):
    """Gives the bytes of what is on other machines, see `ctprune.sources.ahead.FetchAhead`."""

    def soon(self, addresses: list[str], /) -> None: ...
    def take(self, address: str, seconds: float, /) -> bytes | str | None: ...

@final
class Archive:
    """An archive, from its files to a manifest; each step works for a portion of time without the GIL."""

    def __new__(
        cls,
        *,
        fingerprint: str,
        hash_size: int,
        intensity: str,
        modality: str,
        max_slice_mb: int,
        threads: int,
        reads: int = 0,
        headers_only: bool = False,
    ) -> Archive: ...
    def declare_source(self, /, root: _Path) -> None: ...
    def set_shard(self, /, number: int, of: int) -> None: ...
    def take_whole(self, /) -> None: ...
    def finish_without_discovery(self, /) -> None: ...
    def begin_earlier(self, /) -> None: ...
    def add_earlier(self, /, rows: Rows) -> None: ...
    def exclude(self, /, pattern: str, glob: str) -> None: ...
    def include(self, /, pattern: str) -> None: ...
    def gate(self, /, slices: npt.NDArray[np.uint32], code: str, reason: str) -> None: ...
    def pseudonymize(self, /, key: bytes, sources: list[str], keep_originals: bool) -> None: ...
    def name_remote(self, /, listed: list[tuple[str, list[str]]]) -> None: ...
    def pseudonym_lines(self, /, start: int, stop: int) -> list[tuple[str, str, str]]: ...
    def add_source(self, /, root: _Path) -> None: ...
    def add_file(self, /, path: _Path) -> None: ...
    def discover(self, /, seconds: float) -> bool: ...
    def read(self, /, seconds: float) -> bool: ...
    def add_found(self, /, source: str, found: list[tuple[str, int, int]]) -> None: ...
    def add_found_dicomdir(
        self, /, source: str, path: str, content: bytes, found: list[tuple[str, int, int]]
    ) -> None: ...
    def remote(self, /, start: int, stop: int) -> list[tuple[int, str, int, int]]: ...
    def read_remote(self, /, found: list[tuple[int, bytes | str]]) -> None: ...
    def take_remote_containers(self, /) -> list[tuple[int, str, int, int]]: ...
    def put_back_remote(self, /, file: int) -> None: ...
    def refuse_remote(self, /, file: int, reason: str | None, code: str) -> None: ...
    def open_remote_zip(self, /, file: int, directory: ZipDirectory) -> None: ...
    def open_remote_tar(self, /, file: int, feed: Feed, head: bytes) -> None: ...
    def unsupported(self, /) -> list[tuple[int, Path]]: ...
    def foreign(self, /) -> list[Path]: ...
    def add_foreign(
        self, /, file: int, info: dict[str, Any], pixels: npt.NDArray[Any], slope: float, intercept: float
    ) -> None: ...
    def end_foreign(self, /, file: int, refused: str | None, code: str | None = None) -> None: ...
    def failures(self, /) -> tuple[int, int, list[tuple[str, int]]]: ...
    def first_failure(self, /) -> tuple[Path, str, str] | None: ...
    def group(self, /, order: str, volume_pattern: str | None) -> None: ...
    def select(
        self,
        /,
        *,
        method: str,
        threshold: float | None,
        keep: float | None,
        budget: int | None,
        n: int | None,
        seed: int | None,
        window: str | None,
        max_gap_mm: float | None,
        whole_archive: bool,
        stable: bool,
        volumes: Sequence[int] | None,
        decode: _Decode,
        fetch: _Fetch | None,
        progress: Callable[[int], None],
    ) -> None: ...
    def adopt(self, /, reader: ManifestReader) -> None: ...
    def finish_adoption(self, /) -> list[int]: ...
    def volumes_of(self, /, number: int, of: int) -> list[int]: ...
    def volume_rows(self, /, volumes: Sequence[int], row: int, first_volume: int) -> tuple[int, Rows]: ...
    def gaps_mm(self, /) -> npt.NDArray[np.float32]: ...
    def kept_before(self, /) -> npt.NDArray[np.bool_]: ...
    def changes(
        self, /
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.bool_], npt.NDArray[np.uint8], list[str]]: ...
    def comparisons(self, /) -> dict[str, Any] | None: ...
    def set_selection(self, /, exemplar: npt.NDArray[np.uint32], similarity: npt.NDArray[np.float32]) -> None: ...
    def volume_starts(self, /) -> list[int]: ...
    def manifest_rows(self, /) -> int: ...
    def volumes(self, /) -> int: ...
    def geometry_flags(self, /) -> dict[str, int]: ...
    def threshold(self, /) -> float | None: ...
    def table_rows(self, /) -> int: ...
    def rows(self, /, start: int, stop: int) -> Rows: ...
    def part(self, /, start: int, stop: int) -> tuple[int, Rows]: ...
    def progress(self, /) -> dict[str, int]: ...

@final
class Rows:
    """Rows of a table, immutable; the columns of a manifest are described in docs/manifest.md.

    `rows[name]` is one column. Texts are a list of str, "" for null. Integers are int32 or int64 of shape (n,), -1
    for null. Floats are float32 or float64 of shape (n,), NaN for null; vectors are float64 of shape (n, 2),
    (n, 3) or (n, 6). `fingerprint` is uint8 of shape (n, bytes), 0 for null. KeyError: there is no such column.

    Rows have Arrow's PyCapsule interface: polars, pyarrow, pandas and DuckDB take them without copying.
    """

    @staticmethod
    def concat(parts: Sequence[Rows]) -> Rows:
        """The rows of several, one after the other; all have the same columns."""

    @staticmethod
    def from_arrow(table: object, hash_size: int) -> Rows:
        """The rows of any table with the manifest's columns that has Arrow's PyCapsule interface."""

    @staticmethod
    def from_columns(columns: Mapping[str, npt.NDArray[Any] | Sequence[str | None]]) -> Rows:
        """A table of columns by name: list of str or None, int64 or float64 (n,), or float64 (n, k).

        ValueError: a column is of another kind, or their lengths differ.
        """

    @staticmethod
    def read(file: _Path, columns: Sequence[str] | None = None) -> tuple[Rows, str | None]:
        """The table of any Parquet file, or some of its columns, and what its metadata say under ctprune's key.

        Integers come as int64, floats as float64, truth values as the texts `True` and `False`. OSError: the file
        cannot be read. ValueError: it is no Parquet file, it is damaged, or a column holds something else.
        """

    def write(self, /, file: _Path, about: str | None = None) -> None:
        """Write the rows as a Parquet file, `about` under ctprune's key into its metadata; OSError on failure."""

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""

    def __len__(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __getitem__(self, name: str, /) -> Any: ...
    def labels(self, /, name: str) -> tuple[list[str], npt.NDArray[np.int64]]:
        """A column of texts as its different values ("" for null) and, for each row, the index of its own."""

    def select(self, /, columns: Sequence[str]) -> Rows:
        """Some of the columns."""

    def slice(self, /, start: int, stop: int) -> Rows:
        """Rows from `start` to before `stop`, without copying them."""

    def filter(self, /, mask: npt.NDArray[np.bool_]) -> Rows:
        """The rows where a mask of shape (n,) is true."""

    def take(self, /, indices: npt.NDArray[np.int64]) -> Rows:
        """The rows with these indices, in their order; IndexError when there is no such row."""

    def to_dicts(self, /) -> list[dict[str, Any]]:
        """Each row as a dict of its columns; None for null."""

    def __arrow_c_stream__(self, /, requested_schema: object | None = None) -> object: ...
    def __arrow_c_schema__(self, /) -> object: ...

@final
class ManifestReader:
    """A manifest's file that is of this version and as it was written; ManifestError when it is not."""

    def __new__(cls, file: _Path) -> ManifestReader: ...
    @property
    def about(self) -> str:
        """Version and configuration, as JSON."""

    def __len__(self) -> int: ...
    def rows(self, /, columns: Sequence[str] | None = None) -> Rows:
        """All rows, or some of their columns, in memory."""

    def batches(self, /, columns: Sequence[str] | None = None, size: int = 65536) -> RowBatches:
        """All rows, or some of their columns, at most `size` rows at a time."""

@final
class RowBatches:
    """Rows of a manifest's file, some at a time; ManifestError where no run of ctprune wrote them."""

    def __iter__(self) -> RowBatches: ...
    def __next__(self) -> Rows: ...

@final
class Names:
    """The files behind pseudonyms of a key (32 bytes or more): lists the sources."""

    def __new__(cls, key: bytes, sources: list[str]) -> Names: ...
    def add(self, /, source: str, paths: list[str]) -> None: ...
    def find(self, /, source: str, path: str) -> tuple[str, str] | None: ...
    def unlisted_container(self, /, source: str, path: str) -> tuple[str, str] | None: ...
    def has_source(self, /, source: str) -> bool: ...

@final
class ZipDirectory:
    """The directory of a zip file that lies elsewhere."""

    @staticmethod
    def of(size: int, parts: list[tuple[int, bytes]]) -> ZipDirectory | int | str:
        """It, from parts of the file by their offsets; the offset of what is missing; or why there is none."""

    def __len__(self) -> int: ...
    def names(self, /) -> list[str]: ...
    def size(self, /, name: str) -> int | None: ...
    def outer(self, /, name: str) -> tuple[str, str] | None: ...
    def span(self, /, name: str) -> tuple[int, int] | str: ...
    def unpack(self, /, name: str, bytes: bytes, max_slice_mb: int) -> bytes | int | str: ...

@final
class Feed:
    """Bytes that come one portion after the other, with room for some."""

    def __new__(cls) -> Feed: ...
    def push(self, /, portion: bytes) -> bool: ...
    def end(self, /) -> None: ...
    def fail(self, /, reason: str) -> None: ...
    def close(self, /) -> None: ...
    def is_closed(self, /) -> bool: ...

@final
class StoredContainer:
    """A container in memory, or in a file of its own that nobody else sees."""

    @staticmethod
    def of_bytes(bytes: bytes, name: str) -> StoredContainer: ...
    @staticmethod
    def of_feed(path: _Path, feed: Feed, size: int, kind: str, name: str, most: int) -> StoredContainer:
        """What a feed gives of a container, in a new file of at most `most` bytes, a tar file unpacked.

        Raises:
            ValueError: It is no such container.
            OSError: The file cannot be written, or the feed has failed.
        """

    def read(self, /, name: str, max_slice_mb: int) -> bytes | str: ...
    def size(self, /, name: str) -> int | None: ...
    def names(self, /) -> list[str]: ...

def container_kind_by_head(name: str, head: bytes) -> str | None:
    """`zip`, `tar`, `tar.gz` or `tar.zst` by a file's name and first bytes; None where it is no container."""

def dicomdir_files(content: bytes) -> list[list[str]]:
    """The names of each file that a DICOMDIR refers to, from its folder downwards.

    Raises:
        ValueError: It is no DICOMDIR.
    """

def is_dicomdir(name: str) -> bool:
    """Whether a file is a DICOMDIR by its name."""

def promises_container(name: str) -> bool:
    """Whether a file's name promises a container."""

def key_fingerprint(key: bytes) -> str:
    """What tells a key from others, in hexadecimal; it says nothing of the key."""

def pseudonym(key: bytes, kind: str, name: str) -> str:
    """The pseudonym of a name of this kind: `source`, `path`, or a UID's column."""

@final
class ManifestWriter:
    """A manifest's file while it is written, for rows of fingerprints of `hash_size²` bits; OSError on failure."""

    def __new__(cls, file: _Path, hash_size: int, about: str) -> ManifestWriter: ...
    def write(self, /, rows: Rows) -> None: ...
    def finish(self, /) -> None: ...

def codes() -> list[tuple[str, str, str]]:
    """Name, meaning and action of every stable code of a refusal, failures first."""

def gate_codes() -> list[str]:
    """Names of the codes with which a gate leaves out a slice that was read."""

def codes_documentation() -> str:
    """The same as the tables in Markdown that the documentation shows."""

def manifest_columns() -> str:
    """The manifest's columns as the table in Markdown that the documentation shows."""

def parquet_metadata(file: _Path) -> str | None:
    """What stands under ctprune's key in the metadata of a Parquet file; None when it is no such file."""

@final
class PixelSweep:
    """The greedy exemplar rule by pixels at ascending thresholds, within volumes, from one pass over them."""

    def __new__(
        cls,
        *,
        method: str,
        window: str,
        thresholds: list[float],
        intensity: str,
        modality: str,
        max_slice_mb: int,
        threads: int,
    ) -> PixelSweep:
        """A pass that has seen no slice.

        Args:
            method: `ssim` or `mi`.
            window: With `ssim`, `uniform` or `gaussian`.
            thresholds: Ascending, 1 to 65535 of them.
            intensity: Way from Hounsfield units to gray.
            modality: DICOM Modality to read.
            max_slice_mb: Limit for one decoded slice in MiB.
            threads: Number of threads, 0 for one per core.

        Raises:
            ValueError: An option that cannot be used.
        """

    def add(
        self,
        /,
        volumes: list[list[tuple[str, int, int, bool]]],
        decode: _Decode,
        progress: Callable[[int], None],
        fetch: _Fetch | None = None,
    ) -> None:
        """Read whole volumes, select at every threshold, and let the pixels go.

        Args:
            volumes: For each volume its slices in order, as (path, frame, number of pixels, whether only another
                reader can decode it).
            decode: That other reader: it gives pixels, slope and intercept of frames of a file.
            progress: Called with the number of slices of the call that are decided on.
            fetch: What gives the bytes of what is on other machines.

        Raises:
            KeyboardInterrupt: The user stopped it; then the sweep is not to be used.
        """

    def left_out(self, /) -> dict[str, int]:
        """Number of slices that could not be compared, by reason; they are kept at every threshold."""

    def kept_counts(self, /) -> list[int]:
        """Number of slices kept at each threshold."""

    def kept(self, /, index: int) -> npt.NDArray[np.bool_]:
        """Whether each slice is kept at the threshold of this index, bool of shape (n,).

        Slices are numbered over all calls of `add`.

        Raises:
            ValueError: There is no such threshold.
        """

    def exemplars(self, /, index: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
        """Exemplar of each slice and similarity to it at the threshold of this index, both of shape (n,).

        A slice that is kept is its own exemplar.

        Raises:
            ValueError: There is no such threshold.
        """

    def pairs(self, /) -> tuple[int, int]:
        """Number of pairs that the rule asked for, and of those for which a bound was enough."""

def sealed_digest(file: _Path) -> str | None:
    """The SHA-256 in the seal of a manifest's file, in hexadecimal, not compared; None where there is none."""

def canonical_intensity(text: str) -> str:
    """The form of an intensity that stands in the manifest: `lung` becomes `hu:-1350,150`.

    Raises:
        ValueError: The intensity is not known; the text says what was expected.
    """

def check_pattern(pattern: str) -> None:
    """Check that a volume pattern is a regular expression of one group.

    Raises:
        ValueError: It is not; the text says why.
    """

def methods() -> list[dict[str, Any]]:
    """Facts of each reduction method, by name: those of `ctprune.selection.methods.Method`."""

def nearest_kept(kept: list[int], wanted: float) -> int | None:
    """Index of the number kept that comes nearest to `wanted`, ties to the first; None where there is none."""

def fingerprint(
    images: npt.NDArray[Any],
    kind: str,
    hash_size: int,
    intensity: str,
    horizontal_first: bool,
    threads: int = 0,
) -> npt.NDArray[np.uint8]:
    """Fingerprint of each image, shape (n, rows, cols), C-contiguous, as uint8 of shape (n, bytes).

    `kind` is `dhash`, `ahash` or `phash`.

    uint8 is gray and used as it is; other dtypes are Hounsfield units.

    Raises:
        TypeError: Another dtype than those that slices come in.
        ValueError: A shape or option that cannot be used.
    """

def hamming(
    a: npt.NDArray[np.uint8] | npt.NDArray[np.uint64],
    b: npt.NDArray[np.uint8] | npt.NDArray[np.uint64],
    matrix: bool,
    threads: int = 0,
) -> npt.NDArray[np.uint16]:
    """Hamming distances of fingerprints, uint8 of shape (n, bytes) or uint64 of shape (n, words), C-contiguous.

    Returns:
        uint16 of shape (n, 1), the distances row by row; or (n, m), all to all, with `matrix`.

    Raises:
        TypeError: Another dtype.
        ValueError: Fingerprints that do not fit together.
    """

def select_exemplars(
    fingerprints: npt.NDArray[np.uint8] | npt.NDArray[np.uint64],
    threshold: int,
    starts: list[int],
    threads: int = 0,
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint16]]:
    """Greedy exemplars of fingerprints, uint8 of shape (n, bytes) or uint64 of shape (n, words), C-contiguous.

    Args:
        fingerprints: In order; uint64 arrays are not copied.
        threshold: Two are similar when at most this many bits differ.
        starts: First fingerprint of each volume, ascending from 0, and last n.
        threads: Number of threads, 0 for one per core.

    Returns:
        Exemplar of each fingerprint, itself when kept, and the distance to it in bits, both of shape (n,).

    Raises:
        TypeError: Another dtype.
        ValueError: Arrays or options that do not fit together.
        KeyboardInterrupt: The user stopped it.
    """

def describe(
    path: _Path,
    fingerprint: str,
    hash_size: int,
    intensity: str,
    modality: str,
    max_slice_mb: int,
    fetch: _Fetch | None = None,
) -> list[dict[str, Any]]: ...
def header_decides(head: bytes, modality: str) -> bool:
    """Whether the first bytes of a file are enough to refuse it, and to say all that its row says."""

def container_of(address: _Path) -> str | None:
    """The file of the container that an address leads into; None for an address of a file."""

def is_packed(address: _Path) -> bool:
    """Whether an address leads into a container that is read from its start: many are better read together."""

def kind_of_container(path: _Path) -> str | None:
    """What kind of container a file is, in words; None when it is none, or broken."""

def visit_bytes(addresses: list[str], max_slice_mb: int, take: Callable[[int, bytes | str], object]) -> None:
    """Call `take(index, bytes)` for the file at each address, `take(index, reason)` where it cannot be read.

    A container that can only be read from its start is read once, so files do not come in their order.

    Raises:
        KeyboardInterrupt: The user stopped it.
    """

def read_hu(
    slices: list[tuple[str, int]],
    rows: int,
    columns: int,
    modality: str,
    max_slice_mb: int,
    threads: int = 0,
    fetch: _Fetch | None = None,
) -> npt.NDArray[np.float32]:
    """Hounsfield units of slices given as (path, frame), float32 of shape (n, rows, columns).

    8-bit pictures give gray values.

    Raises:
        ValueError: A slice cannot be read or has another size; the text begins with its file.
        KeyboardInterrupt: The user stopped it.
    """

def export_png(
    jobs: list[tuple[str, int, str]],
    depth: int,
    intensity: str,
    modality: str,
    max_slice_mb: int,
    threads: int,
    fetch: _Fetch | None = None,
) -> list[str]:
    """Write slices given as (path, frame, target) as gray PNG.

    Args:
        jobs: The slices, and the new file for each.
        depth: 8 for gray as it is fingerprinted, 16 for HU + `PNG_HU_OFFSET`.
        intensity: Way from Hounsfield units to gray.
        modality: DICOM Modality to read.
        max_slice_mb: Limit for one decoded slice in MiB.
        threads: Number of threads, 0 for one per core.
        fetch: What gives the bytes of what is on other machines.

    Returns:
        For each slice "", or what is wrong with it.

    Raises:
        OSError: A picture cannot be written.
        ValueError: An option that cannot be used.
        KeyboardInterrupt: The user stopped it.
    """

def find_pairs(
    fingerprints: npt.NDArray[np.uint8] | npt.NDArray[np.uint64],
    starts: list[int],
    position_mm: npt.NDArray[np.float64],
    *,
    threshold: int,
    min_overlap: float,
    hash_size: int,
    turned: bool,
    between: int | None = None,
    threads: int = 0,
    progress: Callable[[int], object] | None = None,
) -> list[dict[str, Any]]:
    """Pairs of volumes that show the same anatomy.

    Args:
        fingerprints: Of all slices, uint8 of shape (n, bytes) or uint64 of shape (n, words), C-contiguous.
        starts: First slice of each volume, ascending from 0, and last n.
        position_mm: Where each slice lies along the body, float64 of shape (n,), NaN where no one knows.
        threshold: Largest median distance of aligned slices in bits.
        min_overlap: Share of the shorter volume that must lie within the other, above 0 and up to 1.
        hash_size: Rows of the fingerprints.
        turned: Whether one picture may be the other mirrored or turned by half a turn; for dHashes.
        between: Pairs of a volume below this number and one from it on only; None finds all.
        threads: Number of threads, 0 for one per core.
        progress: Called with the number of volumes done.

    Returns:
        A dict for each pair: volumes `a` < `b`; `turn`; `scale` and `shift` (position in b = scale × position in a
        + shift); `is_in_mm`; `overlap`, its shares `of_a`, `of_b`; `compared` slices; `median_bits`, `mean_bits`.

    Raises:
        TypeError: Another dtype.
        ValueError: Arrays or options that do not fit together.
        KeyboardInterrupt: The user stopped it.
    """

def nearest_within(
    fingerprints: npt.NDArray[np.uint8] | npt.NDArray[np.uint64],
    queries: npt.NDArray[np.uint8] | npt.NDArray[np.uint64],
    radius: int,
    threads: int = 0,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint16]]:
    """For each of m queries the nearest of n fingerprints within `radius` bits, the first of equals. Exact.

    Returns:
        Its row, -1 where there is none, and the distance in bits, both of shape (m,).

    Raises:
        TypeError: Another dtype.
        ValueError: Fingerprints of different lengths.
        KeyboardInterrupt: The user stopped it.
    """

def turned(
    fingerprints: npt.NDArray[np.uint8] | npt.NDArray[np.uint64], turn: str, hash_size: int
) -> npt.NDArray[np.uint64]:
    """The dHashes of n pictures as those of the turned pictures, shape (n, words).

    Args:
        fingerprints: dHashes of `hash_size`² bits.
        turn: Empty, `left-right`, `up-down` or `half turn`.
        hash_size: Rows of a fingerprint.

    Raises:
        TypeError: Another dtype.
        ValueError: Another turn, or too few bits.
    """

def choose_points(
    points: npt.NDArray[np.float16] | npt.NDArray[np.uint8],
    starts: list[int],
    *,
    method: str,
    threshold: float | None,
    keep: float | None,
    budget: int | None,
    seed: int | None,
    clusters: int | None,
    nearest: Callable[
        [npt.NDArray[np.uint32], npt.NDArray[np.float32]],
        tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]] | None,
    ]
    | None,
    threads: int,
) -> tuple[float | None, npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
    """Choose among points as a method does that compares them.

    Args:
        points: Embeddings, float16 of shape (n, features), or fingerprints, uint8 of shape (n, bytes).
        starts: First point of each volume, ascending from 0, and last n.
        method: Its name.
        threshold: Largest distance in bits or smallest cosine, where the method takes one.
        keep: Fraction to keep.
        budget: Number to keep.
        seed: Of what is drawn at random.
        clusters: Number of clusters; None for the square root of n.
        nearest: What compares rows with centroids in place of the processor, within the rounding of float32 sums.
            It gets the numbers of m rows and centroids of shape (k, features), and returns for each row the number
            of the centroid with the largest product, which must be below k, and by how much that product is larger
            than all others; or None once it can no more. Products are of the embeddings as they are. The result is
            the same as without it.
        threads: Number of threads, 0 for one per core.

    Returns:
        The threshold; and of shape (n,) the exemplar of each point, itself when kept, 2**32 - 1 for none, and the
        distance or cosine of both.

    Raises:
        ValueError: An option or an array that cannot be used.
        KeyboardInterrupt: The user stopped it.
    """

def retrieve_points(
    points: npt.NDArray[np.float16] | npt.NDArray[np.uint8],
    targets: npt.NDArray[np.float16] | npt.NDArray[np.uint8],
    *,
    keep: float | None,
    budget: int | None,
    threads: int,
) -> tuple[float | None, npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
    """Choose the points that are closest to a target set.

    Args:
        points: Embeddings, float16 of shape (n, features), or fingerprints, uint8 of shape (n, bytes).
        targets: The target set, as many features or bytes each.
        keep: Fraction to keep.
        budget: Number to keep, in place of a fraction.
        threads: Number of threads, 0 for one per core.

    Returns:
        How close the last kept one is; and of shape (n,) each kept point itself, 2**32 - 1 for others, and 0 or 1
        where kept, else NaN.

    Raises:
        ValueError: Arrays that do not fit together, numbers that are not finite, or neither fraction nor number.
        KeyboardInterrupt: The user stopped it.
    """

def slice_spacing(
    position_mm: npt.NDArray[np.float64],
    image_position_patient: npt.NDArray[np.float64],
    slice_thickness_mm: npt.NDArray[np.float64],
    normal: Sequence[float],
) -> tuple[float, npt.NDArray[np.uint8], tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]] | None]:
    """How the n slices of a volume follow each other.

    Args:
        position_mm: Along the normal, shape (n,), in order, in mm.
        image_position_patient: In mm, shape (n, 3), C-contiguous; NaN where there is none.
        slice_thickness_mm: Shape (n,); 0 where it is not known.
        normal: The volume's unit normal.

    Returns:
        The median distance of slices at different positions, in mm, NaN where there is none. The kind of the step
        to each slice but the first, shape (n - 1,): 0 usual, 1 the same position, 2 a gap, 3 uneven. If the gantry
        was tilted, the angle of each step in degrees, NaN at the same position, and whether it differs from that
        of most steps; else None.

    Raises:
        ValueError: The shapes differ.
    """

def cosine_exemplars(
    embeddings: npt.NDArray[np.float16],
    starts: list[int],
    threshold: float | None,
    keep: float | None,
    threads: int,
    position_mm: npt.NDArray[np.float64] | None = None,
    max_gap_mm: float | None = None,
) -> tuple[float, npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
    """Greedy exemplars of embeddings, float16 of shape (n, features), C-contiguous.

    Args:
        embeddings: In order.
        starts: First embedding of each volume, ascending from 0, and last n.
        threshold: Two are similar when their cosine is at least this; None with `keep`.
        keep: Fraction to keep, from which the threshold follows; None with `threshold`.
        threads: Number of threads, 0 for one per core.
        position_mm: Where each lies along the body, float64 of shape (n,), NaN for unknown; with `max_gap_mm`.
        max_gap_mm: Largest distance between a row and its exemplar along the body in mm; None for any.

    Returns:
        The threshold; and of shape (n,) the exemplar of each embedding, itself when kept, and the cosine of both.

    Raises:
        ValueError: Arrays or options that do not fit together, or numbers that are not finite.
        KeyboardInterrupt: The user stopped it.
    """

def ssim(
    a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8], window: str, matrix: bool, threads: int = 0
) -> npt.NDArray[np.float64]:
    """Mean structural similarity of gray slices, shape (n, rows, cols), C-contiguous.

    Returns:
        float64 of shape (n, 1), the similarities row by row; or (n, m), all to all, with `matrix`.

    Raises:
        ValueError: Slices without pixels or smaller than the window, or a window that is not known.
    """

def mutual_information(
    a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8], matrix: bool, threads: int = 0
) -> npt.NDArray[np.float64]:
    """Normalized mutual information of gray slices, shape (n, rows, cols), C-contiguous.

    Returns:
        float64 of shape (n, 1), the similarities row by row; or (n, m), all to all, with `matrix`.

    Raises:
        ValueError: Slices without pixels.
    """

def read_resized(
    slices: list[tuple[str, int]],
    out: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
    intensity: str,
    modality: str,
    max_slice_mb: int,
    threads: int,
    progress: Callable[[int], None],
    fetch: _Fetch | None = None,
) -> list[tuple[int, int, str]]:
    """Read slices given as (path, frame) into `out`, resized to (side, side).

    Args:
        slices: The slices, in the order of `out`.
        out: Shape (n, side, side), C-contiguous: uint8 for gray, uint16 for HU + `PNG_HU_OFFSET`.
        intensity: Way from Hounsfield units to gray.
        modality: DICOM Modality to read.
        max_slice_mb: Limit for one decoded slice in MiB.
        threads: Number of threads, 0 for one per core.
        progress: Called with the number of slices done.
        fetch: What gives the bytes of what is on other machines.

    Returns:
        For each slice sum and sum of squares of its values and "", or 0, 0 and what is wrong with it.

    Raises:
        TypeError: `out` has another dtype.
        ValueError: A shape or option that cannot be used.
        KeyboardInterrupt: The user stopped it.
    """

def resize_decoded(
    pixels: npt.NDArray[Any],
    slope: float,
    intercept: float,
    out: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
    intensity: str,
) -> tuple[int, int, str]:
    """Resize one slice that another reader decoded into `out`, shape (1, side, side).

    Args:
        pixels: Stored values of shape (rows, cols), C-contiguous.
        slope: Rescale Slope.
        intercept: Rescale Intercept.
        out: uint8 for gray, uint16 for HU + `PNG_HU_OFFSET`.
        intensity: Way from Hounsfield units to gray.

    Returns:
        Sum and sum of squares of the values and "", or 0, 0 and what is wrong with the slice.

    Raises:
        TypeError: An array of another dtype.
        ValueError: A shape or option that cannot be used.
    """

def encode_frame(
    pixels: npt.NDArray[np.int16] | npt.NDArray[np.uint16] | npt.NDArray[np.uint8],
    transfer_syntax_uid: str,
    bits_stored: int,
) -> bytes: ...
