"""Embeddings of all slices of a reduction, kept beside its manifest and reused for unchanged files."""

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

from ctprune import _core
from ctprune.embedding.saved import (
    FOLDER_NAME,
    Batch,
    EarlierEmbeddings,
    EmbeddingParts,
    about_embeddings,
    layout_of,
    open_embeddings,
    part_folders,
    read_about,
    write_embeddings,
)
from ctprune.environment.progress import Count
from ctprune.manifest.local_run import add_embeddings
from ctprune.manifest.slices import STAMP, WHERE, path_of
from ctprune.reading.resized import read_resized

if TYPE_CHECKING:
    from ctprune.embedding.embedder import Embedder

#: The manifest's columns that are needed here.
COLUMNS = (*WHERE, *STAMP)

#: Earlier embeddings that are copied at a time.
_COPIED = 256

#: Batches that are read at a time from a compressed tar file: each time costs a pass over the file.
_TOGETHER = 128

#: Stands for "not embedded".
_NO_KEY = 0

Lines = list[dict[str, Any]]


@dataclass
class Embedded:
    """Embeddings of slices, and where they come from.

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
    progress: Count = lambda done: None,
) -> Embedded:
    """Embed slices in order, or take their embeddings from an earlier run.

    Args:
        batches: Called with the size of a batch; yields the slices in batches, rows with the columns `COLUMNS`.
        embedder: The network.
        config: The reduction's configuration: how pixels become gray.
        out: The reduction's folder; its folder `embeddings` is read and replaced. None keeps nothing.
        threads: Number of threads that decode, 0 for one per core.
        progress: Function called with the number of slices done.

    Raises:
        KeyboardInterrupt: The user interrupted; finished embeddings are kept for the next run.
        OutputError: The folder cannot be written.
        StoreError: Embeddings of an earlier run are damaged.
        ManifestError: As for `kept_embeddings`.
        NetworkError: As for `kept_embeddings`.
    """
    pass_ = _Pass(embedder, config, out, threads, progress)
    size = embedder.batch * (_TOGETHER if _is_packed(batches) else 1)
    if out is None:
        found = list(pass_.embeddings(batches(size)))
        none = np.zeros((0, embedder.features), np.float16)
        return pass_.done(np.concatenate([none, *(embeddings for _, embeddings in found)]))
    about = about_embeddings(embedder, config)
    parts = EmbeddingParts(out, about)
    write_embeddings(out / FOLDER_NAME, parts.kept(pass_.embeddings(batches(size))), about)
    parts.remove()
    return pass_.done(open_embeddings(out / FOLDER_NAME))


def kept_embeddings(
    batches: Callable[[int], Iterator[Lines]], config: dict[str, Any], *, out: Path
) -> tuple[Embedded, str] | None:
    """The embeddings of all slices that an earlier run left in `out`, and the SHA-256 of its network's weights.

    None unless each slice has one: then `embed_slices` must make them. No network is needed.

    Raises:
        StoreError: They are damaged.
        ManifestError: `out` is the copy of a run elsewhere, whose embeddings are missing or damaged.
        NetworkError: The store of that run no longer answers.
        OutputError: They cannot be copied.
    """
    found = known_embeddings(batches, config, out=out)
    if found is None or not found.known.all():
        return None
    return Embedded(found.embeddings, reused=len(found.known)), found.weights_sha256


@dataclass(frozen=True)
class KnownEmbeddings:
    """Embeddings of slices from an earlier run.

    Attributes:
        embeddings: float16 of shape (n, features), unit length; zeros where a slice has none.
        known: Whether each slice has one, bool of shape (n,).
        weights_sha256: SHA-256 of the network's weights, in hexadecimal.
    """

    embeddings: npt.NDArray[np.float16]
    known: npt.NDArray[np.bool_]
    weights_sha256: str


def known_embeddings(
    batches: Callable[[int], Iterator[Lines]], config: dict[str, Any], *, out: Path
) -> KnownEmbeddings | None:
    """The embeddings that an earlier run left in `out`; None if it left none, or of other gray values.

    Raises:
        StoreError: They are damaged.
        ManifestError: As for `kept_embeddings`.
        NetworkError: As for `kept_embeddings`.
        OutputError: As for `kept_embeddings`.
    """
    add_embeddings(out)
    about = read_about(out / FOLDER_NAME)
    if about is None or any(about[name] != value for name, value in layout_of(config).items()):
        return None
    made_by = {name: value for name, value in about.items() if name != "checksums"}
    earlier = EarlierEmbeddings.load([out / FOLDER_NAME], made_by)
    found = [earlier.indices(np.array([_key(line) for line in lines], np.uint64)) for lines in batches(_COPIED)]
    indices = np.concatenate([np.zeros(0, np.int64), *found])
    known = indices >= 0
    if known.all() and np.array_equal(indices, np.arange(len(earlier.keys))):
        embeddings = earlier.embeddings.arrays[0]
    else:
        embeddings = np.zeros((len(indices), about["features"]), np.float16)
        embeddings[known] = earlier.embeddings.take(indices[known])
    return KnownEmbeddings(embeddings, known, str(about["weights_sha256"]))


def _is_packed(batches: Callable[[int], Iterator[Lines]]) -> bool:
    first = next(batches(1), [])
    return bool(first) and _core.is_packed(path_of(first[0]))


class _Pass:
    """One pass over the slices."""

    def __init__(
        self,
        embedder: Embedder,
        config: dict[str, Any],
        out: Path | None,
        threads: int,
        progress: Count,
    ) -> None:
        self._embedder = embedder
        self._config = config
        self._threads = threads
        self._progress = progress
        if out is not None:
            add_embeddings(out)
        folders = [] if out is None else [out / FOLDER_NAME, *part_folders(out)]
        self._earlier = EarlierEmbeddings.load(folders, about_embeddings(embedder, config))
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
        indices = self._earlier.indices(keys)
        missing = np.flatnonzero(indices < 0)
        resized = np.empty((len(missing), SIDE, SIDE), np.uint8)
        wanted = [lines[row] for row in missing]
        outcomes = read_resized(wanted, resized, self._config, threads=self._threads) if wanted else []
        return _Decoded(keys, indices, missing, resized, [reason for *_, reason in outcomes])

    def _embed(self, batch: _Decoded) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.float16]]:
        embeddings = np.zeros((len(batch.keys), self._embedder.features), np.float16)
        known = batch.indices >= 0
        if known.any():
            embeddings[known] = self._earlier.embeddings.take(batch.indices[known])
        good = np.array([not reason for reason in batch.reasons], np.bool_)
        if good.any():
            embeddings[batch.missing[good]] = self._embedder.embed(batch.resized[good])
        batch.keys[batch.missing[~good]] = _NO_KEY
        self._left_out.update(reason for reason in batch.reasons if reason)
        self._made += int(good.sum())
        self._reused += int(known.sum())
        self._count += len(batch.keys)
        self._progress(self._count)
        return batch.keys, embeddings


@dataclass
class _Decoded:
    """A decoded batch: keys, indices of earlier embeddings or -1, and the slices that have none yet."""

    keys: npt.NDArray[np.uint64]
    indices: npt.NDArray[np.int64]
    missing: npt.NDArray[np.int64]
    resized: npt.NDArray[np.uint8]
    reasons: list[str]


def _key(line: dict[str, Any]) -> int:
    """64 bits that identify a slice: its file, that file's size and time of change, and its frame."""
    identity = [line[name] for name in ("source", "path", "frame", "file_size", "file_version")]
    digest = hashlib.blake2b(json.dumps(identity).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") or 1
