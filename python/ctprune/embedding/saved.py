"""Saved embeddings: a folder beside the manifest, and parts of a reduction that has not ended."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ctprune.errors import StoreError
from ctprune.files.atomic import replace_folder
from ctprune.files.checksums import fits, seal, unseal
from ctprune.files.pace import Pace
from ctprune.files.rows_file import RowsFile
from ctprune.manifest.shards import PARTS_NAME, shard_folders

if TYPE_CHECKING:
    from ctprune.embedding.embedder import Embedder

FOLDER_NAME = "embeddings"

#: Version of the layout; other versions are made again.
EMBEDDINGS_VERSION = 2

_EMBEDDINGS, _KEYS, _ABOUT = "embeddings.npy", "keys.npy", "embeddings.json"

#: Keys and embeddings of some slices.
Batch = tuple[npt.NDArray[np.uint64], npt.NDArray[np.float16]]


def open_embeddings(folder: Path) -> npt.NDArray[np.float16]:
    """The embeddings of a folder, float16 of shape (n, features), mapped from their file."""
    keys = np.load(folder / _KEYS)
    # An array without rows cannot be mapped.
    embeddings: npt.NDArray[np.float16] = np.load(folder / _EMBEDDINGS, mmap_mode="r" if len(keys) else None)
    return embeddings


def about_embeddings(embedder: Embedder, config: dict[str, Any]) -> dict[str, Any]:
    """The inputs of an embedding besides its slice: network, precision, and conversion to gray."""
    return layout_of(config) | {
        "weights_sha256": embedder.digest,
        "features": embedder.features,
        # A network's outputs differ in the last digits between devices and precisions.
        "device": embedder.device.type,
        "precision": embedder.precision,
    }


def layout_of(config: dict[str, Any]) -> dict[str, Any]:
    """The inputs of embeddings besides the slices and the network.

    Args:
        config: Configuration of the run.
    """
    return {"embeddings_version": EMBEDDINGS_VERSION, "intensity": config["intensity"]}


def read_about(folder: Path) -> dict[str, Any] | None:
    """The inputs of the embeddings in a folder, with the checksums of their files.

    Returns:
        None if the folder holds no embeddings, or some of another version.

    Raises:
        StoreError: The file is damaged.
    """
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
        f"{file}: the file is damaged (its checksum does not match): delete the folder {file.parent} and rerun "
        "the command"
    )


@dataclass
class _Several:
    """Rows of several arrays, (n, features) each, as if they were one array."""

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
class EarlierEmbeddings:
    """Embeddings of earlier runs, by key in ascending order."""

    keys: npt.NDArray[np.uint64]
    order: npt.NDArray[np.int64]
    embeddings: _Several

    @classmethod
    def load(cls, folders: list[Path], about: dict[str, Any]) -> EarlierEmbeddings:
        """Embeddings from folders, if made as `about` says; the first folder is the whole, the others are parts.

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

    def indices(self, keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """Index of each key in the embeddings, or -1, int64 of shape (n,)."""
        if not len(self.keys):
            return np.full(len(keys), -1)
        found = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[found] == keys, self.order[found], -1)


def _load_folder(
    folder: Path, about: dict[str, Any]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.float16]] | None:
    """Keys and embeddings of a folder; None if it holds none, or if they were made differently."""
    found = read_about(folder)
    if found is None or found != about | {"checksums": found["checksums"]}:
        return None
    try:
        for name in (_KEYS, _EMBEDDINGS):
            if not fits(folder / name, found["checksums"][name]):
                raise _damaged(folder / name)
        return np.load(folder / _KEYS), open_embeddings(folder)
    except FileNotFoundError:
        return None


def write_embeddings(folder: Path, batches: Iterator[Batch], about: dict[str, Any]) -> None:
    """Write keys and embeddings, batch by batch, as a folder that is whole or not there at all."""
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
    """Folders of embeddings that an unfinished run and its shards have left, in order."""
    shards = shard_folders(out).values()
    whole = [folder / FOLDER_NAME for folder in shards if (folder / FOLDER_NAME).is_dir()]
    parts = [part for folder in (out, *shards) for part in sorted((folder / PARTS_NAME).glob("embeddings-*"))]
    return [*whole, *parts]


def take_embeddings(runs: Sequence[Path], out: Path) -> None:
    """Copy the embeddings of runs to the place of an interrupted run's, so that they are used.

    Raises:
        OutputError: They cannot be copied.
    """
    for number, run in enumerate(runs, 1):
        if (run / FOLDER_NAME).is_dir():
            with replace_folder(out / PARTS_NAME / f"embeddings-{number:06d}") as beside:
                shutil.copytree(run / FOLDER_NAME, beside, dirs_exist_ok=True)


class EmbeddingParts:
    """The embeddings so far, saved every few seconds: a kill costs only these seconds."""

    def __init__(self, out: Path, about: dict[str, Any]) -> None:
        self._out = out
        self._about = about
        self._since: list[Batch] = []
        self._pace = Pace()

    def kept(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches; if any error occurs, the embeddings before it are saved."""
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
        """Remove all parts once the whole is saved. Those of shards are removed with their shard."""
        for folder in self._own():
            shutil.rmtree(folder, ignore_errors=True)

    def _save(self) -> None:
        since, self._since = self._since, []
        self._pace.saved()
        if since:
            last = max((int(folder.name[-6:]) for folder in self._own()), default=0)
            write_embeddings(self._out / PARTS_NAME / f"embeddings-{last + 1:06d}", iter(since), self._about)

    def _own(self) -> list[Path]:
        return sorted((self._out / PARTS_NAME).glob("embeddings-*"))
