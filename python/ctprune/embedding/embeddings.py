"""Embeddings of all slices of a run, kept beside its manifest and reused where files are unchanged."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ctprune.errors import StoreError
from ctprune.files.atomic import replace_folder
from ctprune.files.checksums import fits, seal, unseal
from ctprune.files.pace import Pace
from ctprune.files.rows_file import RowsFile
from ctprune.manifest.parts import FOLDER_NAME as PARTS_NAME
from ctprune.reading.squares import WHERE, read_squares

if TYPE_CHECKING:
    from ctprune.embedding.embedder import Embedder

FOLDER_NAME = "embeddings"

#: Version of the layout; other versions are made again.
EMBEDDINGS_VERSION = 2

#: The manifest's columns that are needed here.
COLUMNS = (*WHERE, "file_size", "file_mtime_ns")

_EMBEDDINGS, _KEYS, _ABOUT = "embeddings.npy", "keys.npy", "embeddings.json"

#: Earlier embeddings that are copied at a time.
_COPIED = 256

#: Stands for "not embedded".
_NO_KEY = 0

Lines = list[dict[str, Any]]

#: Keys and embeddings of some slices.
Batch = tuple[npt.NDArray[np.uint64], npt.NDArray[np.float16]]


@dataclass
class Embedded:
    """What was done.

    Attributes:
        embeddings: float16 of shape (n, features), unit length; zeros where a slice could not be read.
        made: Number of slices that went through the network.
        reused: Number of embeddings of an earlier run.
        left_out: Slices that could not be read, counted by reason.
    """

    embeddings: npt.NDArray[np.float16]
    made: int = 0
    reused: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


def embed_slices(
    batches: Callable[[int], Iterator[Lines]],
    embedder: Embedder,
    config: dict[str, Any],
    *,
    out: Path | None,
    threads: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> Embedded:
    """Embed slices in order, or take their embeddings from an earlier run.

    Args:
        batches: Gives the slices in batches of at most so many, rows with the columns `COLUMNS`.
        embedder: The network.
        config: The run's configuration: how pixels become grey.
        out: The run's folder; its folder `embeddings` is read and replaced. None keeps nothing.
        threads: Number of threads that decode, 0 for one per core.
        progress: Called with the number of slices done.

    Raises:
        KeyboardInterrupt: What was embedded until then is kept for the next run.
        OutputError: The folder cannot be written.
        StoreError: Embeddings of an earlier run are damaged.
    """
    pass_ = _Pass(embedder, config, out, threads, progress)
    if out is None:
        found = list(pass_.embeddings(batches(embedder.batch)))
        none = np.zeros((0, embedder.features), np.float16)
        return pass_.done(np.concatenate([none, *(embeddings for _, embeddings in found)]))
    about = _about(embedder, config)
    parts = _Parts(out, about)
    _write(out / FOLDER_NAME, parts.kept(pass_.embeddings(batches(embedder.batch))), about)
    parts.remove()
    return pass_.done(_open(out / FOLDER_NAME))


def kept_embeddings(
    batches: Callable[[int], Iterator[Lines]], config: dict[str, Any], *, out: Path
) -> tuple[Embedded, str] | None:
    """The embeddings of all slices that an earlier run left in `out`, and the SHA-256 of its network's weights.

    None unless each slice has one: then `embed_slices` must make them. No network is needed.

    Raises:
        StoreError: They are damaged.
    """
    about = _read_about(out / FOLDER_NAME)
    if about is None or any(about[name] != value for name, value in _layout(config).items()):
        return None
    weights = str(about["weights_sha256"])
    made_by = {name: value for name, value in about.items() if name != "checksums"}
    earlier = _Earlier.load([out / FOLDER_NAME], made_by)
    found = [earlier.places(np.array([_key(line) for line in lines], np.uint64)) for lines in batches(_COPIED)]
    places = np.concatenate([np.zeros(0, np.int64), *found])
    if (places < 0).any():
        return None
    in_order = len(places) == len(earlier.keys) and bool((places == np.arange(len(places))).all())
    embeddings = earlier.embeddings.arrays[0] if in_order else earlier.embeddings.take(places)
    return Embedded(embeddings, reused=len(places)), weights


def _open(folder: Path) -> npt.NDArray[np.float16]:
    keys = np.load(folder / _KEYS)
    # An array without rows cannot be mapped.
    embeddings: npt.NDArray[np.float16] = np.load(folder / _EMBEDDINGS, mmap_mode="r" if len(keys) else None)
    return embeddings


def _about(embedder: Embedder, config: dict[str, Any]) -> dict[str, Any]:
    """What an embedding depends on besides its slice."""
    return _layout(config) | {
        "weights_sha256": embedder.digest,
        "features": embedder.features,
        # A network's answers differ in their last digits from one kind of arithmetic to another.
        "device": embedder.device.type,
        "precision": embedder.precision,
    }


def _layout(config: dict[str, Any]) -> dict[str, Any]:
    return {"embeddings_version": EMBEDDINGS_VERSION, "intensity": config["intensity"]}


def _read_about(folder: Path) -> dict[str, Any] | None:
    """What embeddings that are there depend on, with the checksums of their files; None for another version's."""
    file = folder / _ABOUT
    try:
        text = file.read_bytes()
    except OSError:
        return None
    try:
        about = unseal(text.decode())
    except ValueError:
        raise _damaged(file) from None
    return about if about["embeddings_version"] == EMBEDDINGS_VERSION else None


def _damaged(file: Path) -> StoreError:
    return StoreError(
        f"{file}: the file is damaged (its checksum does not fit): delete the folder {file.parent} and run the "
        "command again"
    )


class _Pass:
    """One pass over the slices."""

    def __init__(
        self,
        embedder: Embedder,
        config: dict[str, Any],
        out: Path | None,
        threads: int,
        progress: Callable[[int], None],
    ) -> None:
        self._embedder = embedder
        self._config = config
        self._threads = threads
        self._progress = progress
        folders = [] if out is None else [out / FOLDER_NAME, *part_folders(out)]
        self._earlier = _Earlier.load(folders, _about(embedder, config))
        self._made = self._reused = self._count = 0
        self._left_out: Counter[str] = Counter()

    def done(self, embeddings: npt.NDArray[np.float16]) -> Embedded:
        """The result, once all batches are done."""
        return Embedded(embeddings, self._made, self._reused, self._left_out)

    def embeddings(self, batches: Iterator[Lines]) -> Iterator[Batch]:
        """Keys and embeddings, batch by batch; a thread decodes the next batch while the network works."""
        with ThreadPoolExecutor(1) as decoder:
            ahead: Future[_Decoded] | None = None
            for lines in batches:
                following = decoder.submit(self._decode, lines)
                if ahead is not None:
                    yield self._embed(ahead.result())
                ahead = following
            if ahead is not None:
                yield self._embed(ahead.result())

    def _decode(self, lines: Lines) -> _Decoded:
        from ctprune.embedding.embedder import SIDE

        keys = np.array([_key(line) for line in lines], np.uint64)
        places = self._earlier.places(keys)
        missing = np.flatnonzero(places < 0)
        squares = np.empty((len(missing), SIDE, SIDE), np.uint8)
        wanted = [lines[row] for row in missing]
        outcomes = read_squares(wanted, squares, self._config, threads=self._threads) if wanted else []
        return _Decoded(keys, places, missing, squares, [reason for *_, reason in outcomes])

    def _embed(self, batch: _Decoded) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.float16]]:
        embeddings = np.zeros((len(batch.keys), self._embedder.features), np.float16)
        known = batch.places >= 0
        if known.any():
            embeddings[known] = self._earlier.embeddings.take(batch.places[known])
        good = np.array([not reason for reason in batch.reasons], np.bool_)
        if good.any():
            embeddings[batch.missing[good]] = self._embedder.embed(batch.squares[good])
        batch.keys[batch.missing[~good]] = _NO_KEY
        self._left_out.update(reason for reason in batch.reasons if reason)
        self._made += int(good.sum())
        self._reused += int(known.sum())
        self._count += len(batch.keys)
        self._progress(self._count)
        return batch.keys, embeddings


@dataclass
class _Decoded:
    """A batch on its way to the network: keys, rows of earlier embeddings or -1, and what is missing."""

    keys: npt.NDArray[np.uint64]
    places: npt.NDArray[np.int64]
    missing: npt.NDArray[np.int64]
    squares: npt.NDArray[np.uint8]
    reasons: list[str]


@dataclass
class _Several:
    """Rows of several arrays, (n, features) each, as if they stood in one."""

    arrays: list[npt.NDArray[np.float16]]

    def take(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float16]:
        """These rows, shape (n, features)."""
        taken = np.empty((len(rows), self.arrays[0].shape[1]), np.float16)
        start = 0
        for array in self.arrays:
            here = (rows >= start) & (rows < start + len(array))
            taken[here] = array[rows[here] - start]
            start += len(array)
        return taken


@dataclass
class _Earlier:
    """Embeddings of earlier runs, by key in ascending order."""

    keys: npt.NDArray[np.uint64]
    order: npt.NDArray[np.int64]
    embeddings: _Several

    @classmethod
    def load(cls, folders: list[Path], about: dict[str, Any]) -> _Earlier:
        """Those of these folders that were made in the same way; the first is the whole, the others are parts.

        Raises:
            StoreError: The whole is damaged. A damaged part is made again.
        """
        keys: list[npt.NDArray[np.uint64]] = [np.zeros(0, np.uint64)]
        embeddings = [np.zeros((0, about["features"]), np.float16)]
        for number, folder in enumerate(folders):
            try:
                found = _load_folder(folder, about)
            except StoreError:
                if number == 0:
                    raise
                continue
            if found is not None:
                keys.append(found[0])
                embeddings.append(found[1])
        every = np.concatenate(keys)
        order = np.argsort(every, kind="stable")
        # Without the empty one, so that a whole folder alone is the first.
        return cls(every[order], order, _Several(embeddings[1:] or embeddings))

    def places(self, keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """For each key its row in the embeddings, or -1."""
        if not len(self.keys):
            return np.full(len(keys), -1)
        found = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[found] == keys, self.order[found], -1)


def _load_folder(
    folder: Path, about: dict[str, Any]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.float16]] | None:
    """Keys and embeddings of a folder; None where there are none, or they were made in another way."""
    found = _read_about(folder)
    if found is None or found != about | {"checksums": found["checksums"]}:
        return None
    try:
        for name in (_KEYS, _EMBEDDINGS):
            if not fits(folder / name, found["checksums"][name]):
                raise _damaged(folder / name)
        return np.load(folder / _KEYS), _open(folder)
    except FileNotFoundError:
        return None


def _write(folder: Path, batches: Iterator[Batch], about: dict[str, Any]) -> None:
    """Write keys and embeddings, batch by batch, as a folder that is there whole or not at all."""
    with replace_folder(folder) as beside:
        with (
            RowsFile(beside / _EMBEDDINGS, np.dtype("<f2"), (about["features"],)) as embeddings,
            RowsFile(beside / _KEYS, np.dtype("<u8"), ()) as keys,
        ):
            for batch_keys, batch in batches:
                embeddings.append(batch)
                keys.append(batch_keys)
        checksums = {_EMBEDDINGS: embeddings.checksums(), _KEYS: keys.checksums()}
        (beside / _ABOUT).write_text(seal(about | {"checksums": checksums}))


def part_folders(out: Path) -> list[Path]:
    """Folders of embeddings that a run which did not end has left, in the order of their making."""
    return sorted((out / PARTS_NAME).glob("embeddings-*"))


class _Parts:
    """What has been embedded so far, saved every few seconds: a kill costs these."""

    def __init__(self, out: Path, about: dict[str, Any]) -> None:
        self._out = out
        self._about = about
        self._since: list[Batch] = []
        self._pace = Pace()

    def kept(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches; what was embedded before an error of any kind is saved."""
        try:
            for batch in batches:
                self._since.append(batch)
                if self._pace.is_due():
                    self._save()
                yield batch
        except BaseException:
            self._save()
            raise

    def remove(self) -> None:
        """Remove all parts: the whole is there."""
        for folder in part_folders(self._out):
            shutil.rmtree(folder, ignore_errors=True)

    def _save(self) -> None:
        since, self._since = self._since, []
        self._pace.saved()
        if since:
            last = max((int(folder.name[-6:]) for folder in part_folders(self._out)), default=0)
            _write(self._out / PARTS_NAME / f"embeddings-{last + 1:06d}", iter(since), self._about)


def _key(line: dict[str, Any]) -> int:
    """64 bits that tell a slice: its file, that file's size and time of change, its frame."""
    identity = [line[name] for name in ("source", "path", "frame", "file_size", "file_mtime_ns")]
    digest = hashlib.blake2b(json.dumps(identity).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") or 1
