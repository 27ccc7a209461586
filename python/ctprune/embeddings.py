"""Embeddings of all slices of a run, kept beside its manifest and reused where files are unchanged."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ctprune.atomic import replace_folder
from ctprune.rows_file import RowsFile
from ctprune.squares import WHERE, read_squares

if TYPE_CHECKING:
    from ctprune.deep import Embedder

FOLDER_NAME = "embeddings"

#: Version of the layout; other versions are made again.
EMBEDDINGS_VERSION = 1

#: The manifest's columns that are needed here.
COLUMNS = (*WHERE, "file_size", "file_mtime_ns")

_EMBEDDINGS, _KEYS, _ABOUT = "embeddings.npy", "keys.npy", "embeddings.json"

#: Earlier embeddings that are copied at a time.
_COPIED = 256

#: Stands for "not embedded".
_NO_KEY = 0

Lines = list[dict[str, Any]]


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
        KeyboardInterrupt: What was embedded until then is in the folder.
        OutputError: The folder cannot be written.
    """
    pass_ = _Pass(embedder, config, out, threads, progress)
    if out is None:
        found = list(pass_.embeddings(batches(embedder.batch)))
        none = np.zeros((0, embedder.features), np.float16)
        return pass_.done(np.concatenate([none, *(embeddings for _, embeddings in found)]))
    interrupted = False
    written: list[npt.NDArray[np.uint64]] = []
    folder = out / FOLDER_NAME
    with replace_folder(folder) as beside:
        with (
            RowsFile(beside / _EMBEDDINGS, np.dtype("<f2"), (embedder.features,)) as embeddings,
            RowsFile(beside / _KEYS, np.dtype("<u8"), ()) as keys,
        ):
            try:
                for batch_keys, batch in pass_.embeddings(batches(embedder.batch)):
                    embeddings.append(batch)
                    keys.append(batch_keys)
                    written.append(batch_keys)
            except KeyboardInterrupt:
                # What is done is worth keeping, and what was there before: the next run goes on from there.
                interrupted = True
                for batch_keys, batch in pass_.earlier_but(written):
                    embeddings.append(batch)
                    keys.append(batch_keys)
        (beside / _ABOUT).write_text(json.dumps(_about(embedder, config), indent=2) + "\n")
    if interrupted:
        raise KeyboardInterrupt
    return pass_.done(_open(folder))


def kept_embeddings(
    batches: Callable[[int], Iterator[Lines]], config: dict[str, Any], *, out: Path
) -> tuple[Embedded, str] | None:
    """The embeddings of all slices that an earlier run left in `out`, and the SHA-256 of its network's weights.

    None unless each slice has one: then `embed_slices` must make them. No network is needed.
    """
    try:
        about = json.loads((out / FOLDER_NAME / _ABOUT).read_text())
        weights = about["weights_sha256"]
        expected = _layout(config) | {"weights_sha256": weights, "features": int(about["features"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    earlier = _Earlier.load(out, expected)
    found = [earlier.places(np.array([_key(line) for line in lines], np.uint64)) for lines in batches(_COPIED)]
    places = np.concatenate([np.zeros(0, np.int64), *found])
    if (places < 0).any():
        return None
    in_order = len(places) == len(earlier.keys) and bool((places == np.arange(len(places))).all())
    embeddings = earlier.embeddings if in_order else earlier.embeddings[places]
    return Embedded(embeddings, reused=len(places)), weights


def _open(folder: Path) -> npt.NDArray[np.float16]:
    keys = np.load(folder / _KEYS)
    # An array without rows cannot be mapped.
    embeddings: npt.NDArray[np.float16] = np.load(folder / _EMBEDDINGS, mmap_mode="r" if len(keys) else None)
    return embeddings


def _about(embedder: Embedder, config: dict[str, Any]) -> dict[str, Any]:
    """What an embedding depends on besides its slice."""
    return _layout(config) | {"weights_sha256": embedder.digest, "features": embedder.features}


def _layout(config: dict[str, Any]) -> dict[str, Any]:
    return {"embeddings_version": EMBEDDINGS_VERSION, "intensity": config["intensity"]}


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
        self._earlier = _Earlier.load(out, _about(embedder, config))
        self._made = self._reused = self._count = 0
        self._left_out: Counter[str] = Counter()

    def done(self, embeddings: npt.NDArray[np.float16]) -> Embedded:
        """The result, once all batches are done."""
        return Embedded(embeddings, self._made, self._reused, self._left_out)

    def embeddings(
        self, batches: Iterator[Lines]
    ) -> Iterator[tuple[npt.NDArray[np.uint64], npt.NDArray[np.float16]]]:
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

    def earlier_but(
        self, written: list[npt.NDArray[np.uint64]]
    ) -> Iterator[tuple[npt.NDArray[np.uint64], npt.NDArray[np.float16]]]:
        """Keys and earlier embeddings, less those whose keys are among `written`."""
        keys = np.empty_like(self._earlier.keys)
        keys[self._earlier.order] = self._earlier.keys
        rows = np.flatnonzero(~np.isin(keys, np.concatenate([keys[:0], *written])))
        for start in range(0, len(rows), _COPIED):
            batch = rows[start : start + _COPIED]
            yield keys[batch], self._earlier.embeddings[batch]

    def _decode(self, lines: Lines) -> _Decoded:
        from ctprune.deep import SIDE

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
            embeddings[known] = self._earlier.embeddings[batch.places[known]]
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
class _Earlier:
    """Embeddings of an earlier run, by key in ascending order."""

    keys: npt.NDArray[np.uint64]
    order: npt.NDArray[np.int64]
    embeddings: npt.NDArray[np.float16]

    @classmethod
    def load(cls, out: Path | None, about: dict[str, Any]) -> _Earlier:
        """Those of this folder, if they were made in the same way; else none."""
        nothing = cls(np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros((0, about["features"]), np.float16))
        if out is None:
            return nothing
        folder = out / FOLDER_NAME
        try:
            if json.loads((folder / _ABOUT).read_text()) != about:
                return nothing
            keys = np.load(folder / _KEYS)
            embeddings = _open(folder)
        except (OSError, ValueError, EOFError):
            return nothing
        if embeddings.shape != (len(keys), about["features"]) or embeddings.dtype != np.float16:
            return nothing
        order = np.argsort(keys, kind="stable")
        return cls(keys[order], order, embeddings)

    def places(self, keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """For each key its row in the embeddings, or -1."""
        if not len(self.keys):
            return np.full(len(keys), -1)
        found = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[found] == keys, self.order[found], -1)


def _key(line: dict[str, Any]) -> int:
    """64 bits that tell a slice: its file, that file's size and time of change, its frame."""
    identity = [line[name] for name in ("source", "path", "frame", "file_size", "file_mtime_ns")]
    digest = hashlib.blake2b(json.dumps(identity).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") or 1
