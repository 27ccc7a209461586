"""The guard against leakage: slices that are also in a downstream test set do not train its backbone."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ctprune import _core
from ctprune.errors import ConfigError, ManifestError, SourceError
from ctprune.manifest.manifest import FILE_NAME, Manifest
from ctprune.reduction.reduce import reduce
from ctprune.selection.methods import METHODS

#: What an option is of a fingerprint.
_WORDS = {"fingerprint": "kind"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Excluded:
    """Slices of a reduction that are close to those of other sets.

    Attributes:
        rows: Rows of the slices in the reduction's manifest, ascending, int64 of shape (n,).
        distance: To the nearest slice of the other sets, in bits; uint16 of shape (n,).
        threshold: The largest distance that counts as close.
        compared: Number of slices in the other sets.
    """

    rows: npt.NDArray[np.int64]
    distance: npt.NDArray[np.uint16]
    threshold: int
    compared: int


def excluded_rows(
    manifest: Manifest, others: Sequence[str | os.PathLike[str]], *, threshold: int | None = None
) -> Excluded:
    """Find the slices of a reduction that are close to a slice of other sets, exactly.

    Args:
        manifest: Manifest of the run.
        others: For each set its folder, zip or tar file of images, its MedMNIST file (.npz), a
            reduction's folder, or its manifest file.
        threshold: Largest Hamming distance that counts as close; None takes the run's, or 6 of 64 bits.

    Raises:
        ConfigError: The threshold is out of range.
        ManifestError: Another manifest's fingerprints were made differently.
        SourceError: A set is not there, or has no slice.

    >>> import ctprune, tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = ctprune.phantom.write_archive(folder / "dicoms", patients=1, size=64)
    >>> manifest = ctprune.reduce(folder / "dicoms", out=folder / "run")
    >>> found = excluded_rows(manifest, [folder / "run"], threshold=0)
    >>> len(found.rows) == manifest.counts()["kept"] + manifest.counts()["dropped"]
    True
    """
    bits = int(manifest.config["hash_size"]) ** 2
    if threshold is None:
        method = METHODS[manifest.config["method"]]
        own = manifest.config["threshold"] if method.decides and method.compares == "fingerprints" else None
        threshold = int(METHODS["hash"].default_threshold(bits) or 0) if own is None else int(own)
    if not 0 <= threshold <= bits:
        raise ConfigError(f"exclude_threshold {threshold}: expected 0 to {bits} bits", field="exclude_threshold")
    own = manifest.slices().fingerprints
    theirs = np.concatenate([_manifest_of(Path(other), manifest).slices().fingerprints for other in others])
    theirs = np.unique(theirs, axis=0)
    nearest, distance = _core.nearest_within(theirs, np.ascontiguousarray(own), threshold)
    close = nearest >= 0
    return Excluded(
        rows=np.flatnonzero(close).astype(np.int64),
        distance=distance[close],
        threshold=threshold,
        compared=len(theirs),
    )


def _manifest_of(other: Path, like: Manifest) -> Manifest:
    names = ("fingerprint", "hash_size", "intensity")
    if other.suffix == ".npz" and other.is_file():
        with tempfile.TemporaryDirectory(prefix="ctprune-exclude-") as folder:
            _write_pictures(other, Path(folder))
            return _manifest_of(Path(folder), like)
    is_container = other.is_file() and _core.kind_of_container(str(other)) is not None
    if not is_container and (other.is_file() or (other / FILE_NAME).is_file()):
        manifest = Manifest.load(other)
        for name in names:
            if manifest.config[name] != like.config[name]:
                raise ManifestError(
                    f"`exclude` {other}: fingerprints of {_WORDS.get(name, name)} {manifest.config[name]}, "
                    f"expected {like.config[name]} as in the reduction: name the folder of images instead"
                )
        found = manifest
    elif is_container or other.is_dir():
        options = {name: like.config[name] for name in names}
        found = reduce(other, method="all", modality="any", **options)
    else:
        raise SourceError(f"`exclude` {other}: expected images, a MedMNIST file or a manifest, found none of them")
    if not found.counts()["kept"]:
        raise SourceError(f"`exclude` {other}: expected slices to compare with, found none")
    return found


def _write_pictures(file: Path, folder: Path) -> None:
    """Every image of a MedMNIST file as PNG, so that fingerprints come about as those of any picture."""
    from PIL import Image

    try:
        with np.load(file, allow_pickle=False) as opened:
            arrays = {name: opened[name] for name in opened.files if name.endswith("_images")}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        arrays = {}
    if not arrays or any(images.dtype != np.uint8 or images.ndim not in (3, 4) for images in arrays.values()):
        raise SourceError(f"`exclude` {file}: expected a MedMNIST file with images of uint8, found another")
    for name, images in arrays.items():
        for number, image in enumerate(images):
            Image.fromarray(image).save(folder / f"{name}-{number}.png")
