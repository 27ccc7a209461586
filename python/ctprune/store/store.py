"""The packed store: slices of a manifest, decoded once, as squares of one size in one memory-mapped array.

Training then parses no DICOM file. A store is a folder of `pixels.npy` (n, side, side), `rows.npy` (the manifest's
row of each slice), `histogram.npy` (how many pixels have each value) and `store.json` with the checksums of all.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ctprune import _core
from ctprune.environment.progress import Operation, ProgressCallback
from ctprune.environment.words import counted
from ctprune.errors import ConfigError, Interrupted, SourceError, StoreError
from ctprune.files.atomic import check_free, replace_folder
from ctprune.files.checksums import fits, seal, unseal
from ctprune.files.rows_file import RowsFile
from ctprune.files.run_lock import sole_writer
from ctprune.files.space import check_space
from ctprune.manifest.local_run import folder_to_write
from ctprune.manifest.manifest import Manifest
from ctprune.manifest.slices import CHANGED, STAMP, WHERE, why_unusable
from ctprune.options.configure import configure
from ctprune.options.option import deciding
from ctprune.reading.resized import Outcome, read_resized
from ctprune.store.chosen_rows import chosen_rows, digest_of, rows_beside
from ctprune.store.config import StoreConfig, StoreOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: Version of the layout; other versions are refused.
STORE_VERSION = 4

#: Added to Hounsfield units in stores of 16 bits.
HU_OFFSET = _core.PNG_HU_OFFSET

_ABOUT, _PIXELS, _ROWS, _HISTOGRAM = "store.json", "pixels.npy", "rows.npy", "histogram.npy"

#: Bytes of pixels that are decoded at a time.
_BATCH_BYTES = 64 << 20

#: Slices whose values are counted at a time: numpy makes them 64 bits wide.
_COUNTED = 16


@dataclass(frozen=True, kw_only=True, eq=False)
class SliceStore:
    """An open store.

    Attributes:
        folder: Folder of the store.
        pixels: Memory map, read-only, uint8 or uint16 of shape (n + b, side, side): the slices, then b others that
            only their channels show.
        rows: Row of each slice in the manifest's table, int64 of shape (n,).
        beside: Row of each of the others, int64 of shape (b,); none with gray channels.
        histogram: Number of pixels of each value in the n slices, int64 of shape (256,) or (65536,).
        config: Options of the store.
        intensity: How Hounsfield units became gray, as in the manifest; meaningless for 16 bits.
        manifest_digest: `Manifest.digest()` of the manifest that the store was made from.
        file_times: Digest of the modification times of all files of the manifest; if it changes, the slices are
            packed again.
        mean: Mean of the n slices' pixels, as a fraction of the largest value of the type.
        std: Standard deviation of these pixels (of the population), as a fraction of the same value.
        left_out: Slices that could not be read, counted by reason.
    """

    folder: Path
    pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
    rows: npt.NDArray[np.int64]
    beside: npt.NDArray[np.int64]
    histogram: npt.NDArray[np.int64]
    config: StoreConfig
    intensity: str
    manifest_digest: str
    file_times: str
    mean: float
    std: float
    left_out: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of slices."""
        return len(self.rows)

    @property
    def side(self) -> int:
        """Rows and columns of each slice."""
        return self.config.side


def open_store(path: str | os.PathLike[str], *, verify: bool = True, threads: int = 0) -> SliceStore:
    """Open the store in this folder.

    Args:
        path: The folder.
        verify: Whether to read all pixels once and check their checksums, at the speed of the disk or at some 4
            GB/s per thread. The other files are always checked.
        threads: Number of threads that check, 0 for one per core.

    Raises:
        StoreError: The folder holds no store, or one that is damaged or of another version.
    """
    folder = Path(path)
    about = _read_about(folder)
    checksums = about.pop("checksums")
    again = "build the store again"
    try:
        for name in (_ROWS, _HISTOGRAM, _PIXELS) if verify else (_ROWS, _HISTOGRAM):
            if not fits(folder / name, checksums[name], threads=threads):
                raise StoreError(f"{folder / name}: the file is damaged (its checksum does not match): {again}")
        config = StoreConfig(**about.pop("config"))
        # Of a file that is too short it says so, and maps nothing: reading there would end the process.
        pixels = np.load(folder / _PIXELS, mmap_mode="r")
        packed = np.load(folder / _ROWS)
        histogram = np.load(folder / _HISTOGRAM)
        rows, beside = np.split(packed, [len(packed) - about.pop("beside")])
        store = SliceStore(
            folder=folder, pixels=pixels, rows=rows, beside=beside, histogram=histogram, config=config, **about
        )
    except (OSError, ValueError, TypeError, KeyError, EOFError) as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"{folder}: the store is damaged ({error}): {again}") from None
    if pixels.shape != (len(packed), config.side, config.side) or pixels.dtype != _dtype(config.depth):
        raise StoreError(f"{folder / _PIXELS}: the store is damaged: {again}")
    return store


def _read_about(folder: Path) -> dict[str, Any]:
    file = folder / _ABOUT
    try:
        text = file.read_bytes()
    except OSError:
        raise StoreError(f"{folder}: expected the folder of a packed store with {_ABOUT}, found none") from None
    try:
        about = unseal(text.decode())
        version = about.pop("store_version")
    except (ValueError, KeyError):
        raise StoreError(
            f"{file}: the file is damaged (its checksum does not match): build the store again"
        ) from None
    if version != STORE_VERSION:
        raise StoreError(
            f"{folder}: store version {version}, but this ctprune reads {STORE_VERSION}: build it again"
        )
    return about


def build_store(
    manifest: Manifest | str | os.PathLike[str],
    config: StoreConfig | None = None,
    /,
    *,
    without: npt.NDArray[np.int64] | None = None,
    out: str | os.PathLike[str] | None = None,
    progress: ProgressCallback | None = None,
    verify: bool = True,
    note: Callable[[str], None] | None = None,
    **options: Unpack[StoreOptions],
) -> SliceStore:
    """Decode slices of a manifest into a packed store, or open the store if it exists.

    A slice becomes gray as for its fingerprint (or HU + 32768), then a square: resampled with Pillow's Lanczos
    filter, to the sizes of torchvision's `Resize(side)` and `CenterCrop(side)`. The slices are in the order of the
    manifest. Slices whose files are gone, changed or broken are left out and counted in `left_out`.

    With `channels`, slices that are not in use but shown by a channel of one in use follow them, each once.

    Args:
        manifest: Folder of a reduction, its manifest file, or a `Manifest`.
        config: What the store holds; cannot be combined with single options that decide it.
        without: Rows of the manifest, int64 of shape (n,), that a `random` sample must not contain. The sample
            then has as many slices as were kept among the other rows. Stores of other kinds contain these rows,
            and a training leaves them out.
        out: Folder of the store; by default one in the reduction's folder. A store there with other options or
            slices is replaced.
        progress: Called a few times a second with a `ctprune.Progress`. Stage: `packing` (slices).
        verify: Whether to check all checksums of an existing store, see `open_store`.
        note: Called with a sentence when a store is damaged and built again.
        options: Those of `ctprune.store.config.StoreConfig`, such as `use="all"` and `side=512`.

    Raises:
        ConfigError: An option cannot be used, or a `Manifest` comes without `out`.
        ManifestError: There is no manifest, or it has no such slice.
        SourceError: No slice can be read.
        OutputError: The folder holds something else, or cannot be written.
        InUseError: Another process writes to the reduction's folder.
        Interrupted: Ctrl-C; nothing is left behind.

    >>> import ctprune, tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = ctprune.phantom.write_archive(folder / "dicoms", patients=1, size=64)
    >>> _ = ctprune.reduce(folder / "dicoms", out=folder / "run")
    >>> store = ctprune.build_store(folder / "run", side=32)
    >>> store.pixels.shape == (len(store), 32, 32), store.pixels.dtype.name
    (True, 'uint8')
    """
    barred = np.empty(0, np.int64) if without is None else np.unique(without).astype(np.int64)
    config = replace(configure(StoreConfig, config, options), without=digest_of(barred))
    if out is not None:
        folder = Path(out)
    elif isinstance(manifest, Manifest):
        raise ConfigError(
            "out is missing: name a folder for the store of a manifest that is in memory", field="out"
        )
    else:
        folder = folder_to_write(manifest, None, "packed/") / config.folder_name
    if not isinstance(manifest, Manifest):
        manifest = Manifest.load(manifest)
    digests = manifest.digest(), digest_of(manifest.rows["file_version"])
    there = _fitting_store(folder, config, digests, verify=verify, note=note)
    if there is not None:
        return there
    rows = chosen_rows(manifest, config, barred)
    beside = rows_beside(manifest, config, rows)
    # In the folder of a reduction, nobody else writes meanwhile.
    with sole_writer(folder.parent) if out is None else nullcontext():
        there = _fitting_store(folder, config, digests, verify=verify)
        if there is not None:
            return there
        packed = len(rows) + len(beside)
        check_space(folder, packed * (rows.itemsize + config.side**2 * config.depth // 8))
        with replace_folder(folder) as to:
            builder = _Builder(manifest, config, Operation(progress))
            builder.write(rows, beside, to, digests)
    return open_store(folder, verify=False)


def _fitting_store(
    folder: Path,
    config: StoreConfig,
    digests: tuple[str, str],
    *,
    verify: bool,
    note: Callable[[str], None] | None = None,
) -> SliceStore | None:
    """The existing store, if it is this one; refuses a folder that holds anything but a store."""
    if not (folder / _ABOUT).is_file():
        check_free(folder)
        return None
    try:
        store = open_store(folder, verify=False)
        if (deciding(store.config), store.manifest_digest, store.file_times) != (deciding(config), *digests):
            return None
        return open_store(folder, threads=config.threads) if verify else store
    except StoreError as error:
        if note is not None:
            note(f"{error}, which is done now")
        return None


class _Builder:
    """Builds one store."""

    def __init__(self, manifest: Manifest, config: StoreConfig, operation: Operation) -> None:
        self._manifest = manifest
        self._slices = manifest.slices()
        self._config = config
        self._operation = operation
        self._left_out: Counter[str] = Counter()
        self._sum = self._sum_of_squares = 0
        self._histogram = np.zeros(2**config.depth, np.int64)

    def write(
        self,
        rows: npt.NDArray[np.int64],
        beside: npt.NDArray[np.int64],
        folder: Path,
        digests: tuple[str, str],
    ) -> None:
        """Fill the folder with these rows of the manifest, and those beside them."""
        kept, others = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        done, total = 0, len(rows) + len(beside)
        side = self._config.side
        with RowsFile(folder / _PIXELS, _dtype(self._config.depth), (side, side)) as pixels:
            try:
                for batch, is_used in self._batches(rows, beside):
                    resized, outcomes = self._read(batch, done, total)
                    good = np.array([self._take(outcome, counted=is_used) for outcome in outcomes], np.bool_)
                    self._write(resized[good], pixels, counted=is_used)
                    (kept if is_used else others).append(batch[good])
                    done += len(batch)
            except KeyboardInterrupt:
                raise Interrupted(
                    f"interrupted after {done:,} of {counted(total, 'slice')}; nothing was written"
                ) from None
        slices = sum(map(len, kept))
        if not slices:
            reason = self._left_out.most_common(1)[0][0]
            raise SourceError(
                f"none of {counted(len(rows), 'slice')} could be read for the packed store: {reason}; if the "
                "archive has moved, run 'ctprune reduce' again"
            )
        with RowsFile(folder / _ROWS, np.dtype("<i8"), ()) as packed_rows:
            packed_rows.append(np.concatenate([*kept, *others]))
        with RowsFile(folder / _HISTOGRAM, np.dtype("<i8"), ()) as histogram:
            histogram.append(self._histogram)
        files = {_PIXELS: pixels, _ROWS: packed_rows, _HISTOGRAM: histogram}
        checksums = {name: file.checksums() for name, file in files.items()}
        about = self._about(slices, digests) | {"beside": sum(map(len, others)), "checksums": checksums}
        (folder / _ABOUT).write_text(seal(about))

    def _batches(
        self, rows: npt.NDArray[np.int64], beside: npt.NDArray[np.int64]
    ) -> Iterator[tuple[npt.NDArray[np.int64], bool]]:
        """Rows that are read together, and whether they are in use themselves."""
        size = max(1, _BATCH_BYTES // (self._config.side**2 * self._config.depth // 8))
        for part, is_used in ((rows, True), (beside, False)):
            for start in range(0, len(part), size):
                yield part[start : start + size], is_used

    def _read(self, batch: npt.NDArray[np.int64], done: int, total: int) -> tuple[npt.NDArray[Any], list[Outcome]]:
        """The resized slices of these rows, and the outcome of each."""
        side = self._config.side
        resized = np.empty((len(batch), side, side), _dtype(self._config.depth))
        lines = self._slices.take(batch, [*WHERE, *STAMP])
        outcomes = read_resized(
            lines,
            resized,
            self._manifest.config,
            threads=self._config.threads,
            progress=self._operation.counter("packing", total, "slices", before=done),
        )
        # What is gone by now has changed as well.
        changed = [CHANGED if reason else "" for reason in why_unusable(lines)]
        self._operation.report("packing", done + len(batch), total, "slices")
        return resized, [(*outcome[:2], outcome[2] or why) for outcome, why in zip(outcomes, changed, strict=True)]

    def _write(self, resized: npt.NDArray[Any], pixels: RowsFile, *, counted: bool) -> None:
        pixels.append(resized)
        if not counted:
            return
        for start in range(0, len(resized), _COUNTED):
            values = resized[start : start + _COUNTED].ravel()
            self._histogram += np.bincount(values, minlength=len(self._histogram))

    def _take(self, outcome: Outcome, *, counted: bool) -> bool:
        """Whether a slice could be read; if it counts, mean and deviation include it."""
        total, total_of_squares, reason = outcome
        if reason:
            self._left_out[reason] += 1
            return False
        if counted:
            self._sum += total
            self._sum_of_squares += total_of_squares
        return True

    def _about(self, slices: int, digests: tuple[str, str]) -> dict[str, Any]:
        count = slices * self._config.side**2
        largest = 2**self._config.depth - 1
        variance = count * self._sum_of_squares - self._sum**2
        return {
            "store_version": STORE_VERSION,
            "config": deciding(self._config),
            "intensity": self._manifest.config["intensity"],
            "manifest_digest": digests[0],
            "file_times": digests[1],
            "mean": self._sum / (count * largest),
            # From whole numbers, so no digit is lost to the difference.
            "std": math.sqrt(variance / (count * largest) ** 2),
            "left_out": dict(self._left_out.most_common()),
        }


def _dtype(depth: int) -> np.dtype[Any]:
    """Little-endian on every machine, so that stores can be moved."""
    return np.dtype("<u1" if depth == 8 else "<u2")
