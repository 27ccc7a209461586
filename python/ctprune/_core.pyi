"""Rust core of ctprune."""

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias, final

import numpy as np
import numpy.typing as npt

from ctprune.manifest.boundary import ColumnBytes

__all__ = [
    "PNG_HU_OFFSET",
    "Archive",
    "PixelSweep",
    "__version__",
    "canonical_intensity",
    "check_pattern",
    "cosine_exemplars",
    "describe",
    "dhash",
    "encode_frame",
    "export_png",
    "fingerprint_bytes",
    "hamming",
    "mutual_information",
    "pack",
    "pack_decoded",
    "read_hu",
    "select_exemplars",
    "ssim",
]
__version__: str
PNG_HU_OFFSET: int

_Path: TypeAlias = str | PathLike[str]

@final
class Archive:
    """An archive on its way to a manifest; each step works for a portion of time without the GIL."""

    def __new__(
        cls, *, hash_size: int, intensity: str, modality: str, max_slice_mb: int, threads: int
    ) -> Archive: ...
    def begin_earlier(self, /) -> None: ...
    def add_earlier(self, /, rows: int, columns: dict[str, ColumnBytes]) -> None: ...
    def exclude(self, /, pattern: str, glob: str) -> None: ...
    def add_source(self, /, root: _Path) -> None: ...
    def add_file(self, /, path: _Path) -> None: ...
    def discover(self, /, seconds: float) -> bool: ...
    def read(self, /, seconds: float) -> bool: ...
    def unsupported(self, /) -> list[tuple[int, Path]]: ...
    def add_foreign(
        self, /, file: int, info: dict[str, Any], pixels: npt.NDArray[Any], slope: float, intercept: float
    ) -> None: ...
    def end_foreign(self, /, file: int, refused: str | None) -> None: ...
    def first_failure(self, /) -> tuple[Path, str] | None: ...
    def group(self, /, order: str, volume_pattern: str | None) -> None: ...
    def select(
        self, /, *, method: str, threshold: int, keep: float | None, n: int, seed: int, whole_archive: bool
    ) -> None: ...
    def adopt(self, /, exemplar: npt.NDArray[np.uint32], similarity: npt.NDArray[np.float32]) -> None: ...
    def volume_starts(self, /) -> list[int]: ...
    def lines(self, /) -> int: ...
    def volumes(self, /) -> int: ...
    def oddities(self, /) -> dict[str, int]: ...
    def threshold(self, /) -> int | None: ...
    def table_rows(self, /) -> int: ...
    def columns(self, /, start: int, stop: int) -> tuple[int, dict[str, ColumnBytes]]: ...
    def part_columns(self, /, start: int, stop: int) -> tuple[int, int, dict[str, ColumnBytes]]: ...
    def progress(self, /) -> dict[str, int]: ...

@final
class PixelSweep:
    """The greedy exemplar rule by pixels at ascending thresholds, within volumes, from one pass over them.

    `add` takes whole volumes, each a list of (path, frame) in order, reads their slices, selects at every
    threshold and lets the pixels go; it returns "" for each slice, or why it could not be compared (then it is
    kept at every threshold). `decoded` holds pixels, slope and intercept of slices that another reader decoded, by
    number among the slices of the call. `progress` is called with the number of slices decided on in the call;
    KeyboardInterrupt stops it, and nothing of the call is added.

    `place` counts thresholds from 0, slices are numbered over all calls: `kept_counts` gives the number kept at
    each threshold, `kept` bool of shape (n,), `exemplars` the exemplar of each slice (itself where kept) and the
    similarity to it, `pairs` the number of pairs that the rule asked for, and of those for
    which a bound was enough.
    """

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
    ) -> PixelSweep: ...
    def add(
        self,
        /,
        volumes: list[list[tuple[str, int]]],
        decoded: dict[int, tuple[npt.NDArray[Any], float, float]],
        progress: Callable[[int], None],
    ) -> list[str]: ...
    def kept_counts(self, /) -> list[int]: ...
    def kept(self, /, place: int) -> npt.NDArray[np.bool_]: ...
    def exemplars(self, /, place: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]]: ...
    def pairs(self, /) -> tuple[int, int]: ...

def canonical_intensity(text: str) -> str: ...
def check_pattern(pattern: str) -> None: ...
def fingerprint_bytes(hash_size: int) -> int: ...
def dhash(
    images: npt.NDArray[Any], hash_size: int, intensity: str, horizontal_first: bool
) -> npt.NDArray[np.uint8]: ...
def hamming(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8], matrix: bool) -> npt.NDArray[np.uint16]: ...
def select_exemplars(
    fingerprints: npt.NDArray[np.uint8], threshold: int, starts: list[int]
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint16]]: ...
def describe(
    path: _Path, hash_size: int, intensity: str, modality: str, max_slice_mb: int
) -> list[dict[str, Any]]: ...
def read_hu(
    slices: list[tuple[str, int]], rows: int, columns: int, modality: str, max_slice_mb: int
) -> npt.NDArray[np.float32]: ...
def export_png(
    jobs: list[tuple[str, int, str]],
    depth: int,
    intensity: str,
    modality: str,
    max_slice_mb: int,
    threads: int,
) -> list[str]: ...
def cosine_exemplars(
    embeddings: npt.NDArray[np.uint16],
    starts: list[int],
    threshold: float | None,
    keep: float | None,
    threads: int,
) -> tuple[float, npt.NDArray[np.uint32], npt.NDArray[np.float32]]: ...
def ssim(
    a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8], window: str, matrix: bool
) -> npt.NDArray[np.float64]: ...
def mutual_information(
    a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8], matrix: bool
) -> npt.NDArray[np.float64]: ...
def pack(
    slices: list[tuple[str, int]],
    out: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
    intensity: str,
    modality: str,
    max_slice_mb: int,
    threads: int,
    progress: Callable[[int], None],
) -> list[tuple[int, int, str]]: ...
def pack_decoded(
    pixels: npt.NDArray[Any],
    slope: float,
    intercept: float,
    out: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
    intensity: str,
) -> tuple[int, int, str]: ...
def encode_frame(
    pixels: npt.NDArray[np.int16] | npt.NDArray[np.uint16] | npt.NDArray[np.uint8],
    transfer_syntax_uid: str,
    bits_stored: int,
) -> bytes: ...
