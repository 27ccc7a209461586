"""The images of a task, read once: gray images for the network, fingerprints for the guard of the splits."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune.environment.progress import Operation, Progress, ProgressCallback
from ctprune.environment.words import counted
from ctprune.errors import Interrupted, SourceError, TaskError
from ctprune.files.contents import Contents
from ctprune.files.members import each_content, opens
from ctprune.finetuning.channels import ChannelReader, FoundSlice, no_volumes
from ctprune.finetuning.fitting import SHAPE, fit_gray
from ctprune.manifest.slices import WHERE
from ctprune.options.neighbors import GRAY
from ctprune.options.shared import CLASSES, MULTI_LABEL, REGRESSION
from ctprune.reduction.config import ReduceConfig
from ctprune.reduction.reduction import Reduction
from ctprune.selection.fingerprint import dhash
from ctprune.sources.addresses import as_address
from ctprune.tasks.listing import Entry, Listing
from ctprune.tasks.targets import targets_of

#: What identifies the study and the series of DICOM.
_UIDS = ("study_instance_uid", "series_instance_uid")

#: Squares beyond this many bytes lie in a file without a name instead of in memory.
_IN_MEMORY = 2 << 30


@dataclass(frozen=True, eq=False)
class LabeledImages:
    """Images that could be read, in the order of the task.

    Attributes:
        entries: An entry for each image; frames of one file have names with the frame's number.
        labels: Index of each image's class in `classes`, int64 of shape (n,).
        classes: Names of the classes; one for all images where labels are numbers, or an image can have several.
        pixels: Gray squares, uint8 of shape (n, side, side); with neighboring slices as channels of shape
            (n, 3, side, side).
        fingerprints: dHash of 64 bits of each image, uint8 of shape (n, 8).
        contents: Digest of what each image's file, or array, holds.
        intensity: How Hounsfield units became gray.
        modality: The DICOM Modality that was read.
        volume_pattern: What took a picture's volume from its name; None where its folder is its volume.
        target: What labels are, see `ctprune.tasks.targets`.
        names: Names of the labels of which an image can have several; empty for other targets.
        unreadable: Reason for each file that could not be read, by its name.
        skipped: Reason for each file that is not an image of the modality, by its name.
        channels: What the channels show, as in the pre-training.
        repeated: Images with a channel that repeats the slice itself; 0 for gray ones.
    """

    entries: list[Entry]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    pixels: npt.NDArray[np.uint8]
    fingerprints: npt.NDArray[np.uint8]
    contents: list[str]
    intensity: str
    modality: str
    volume_pattern: str | None = None
    target: str = CLASSES
    names: tuple[str, ...] = ()
    unreadable: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    channels: str = GRAY
    repeated: int = 0

    @property
    def squares(self) -> npt.NDArray[np.uint8]:
        """Each image without its neighbors, uint8 of shape (n, side, side)."""
        return self.pixels if self.pixels.ndim == 3 else self.pixels[:, 1]

    def notes(self) -> list[str]:
        """A sentence about channels that show one slice only."""
        if not self.repeated:
            return []
        return [
            f"{self.repeated:,} of {counted(len(self), 'image')} have no slice at one of the distances of "
            f"`channels` {self.channels}: that channel repeats the image"
        ]

    def __len__(self) -> int:
        """Number of images."""
        return len(self.entries)

    @property
    def unit(self) -> str:
        """What has a label: each image."""
        return "image"

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of classes, labels or levels; none where labels are numbers."""
        return () if self.target == REGRESSION else self.names or self.classes

    @property
    def strata(self) -> npt.NDArray[np.int64]:
        """What splits have an equal share of, see `sample_part`: classes, or all images and each label."""
        if not self.names:
            return self.labels
        labels = targets_of(self.entries, self.target, self.names).astype(np.int64)
        return np.concatenate([np.ones((len(self), 1), np.int64), labels], axis=1)

    def digest(self) -> str:
        """SHA-256 of names, labels, contents and what the data say of splits, patients and subgroups.

        Where the data lie and how their pixels become squares does not matter.
        """
        digest = hashlib.sha256(json.dumps(self.classes).encode())
        for entry, content in zip(self.entries, self.contents, strict=True):
            said = [entry.name, entry.label, entry.split, entry.patient, content, *entry.subgroups]
            digest.update(json.dumps(said).encode())
        return digest.hexdigest()


def read_images(
    listing: Listing,
    *,
    side: int,
    fit: str = "pad",
    intensity: str = "minmax",
    modality: str = "CT",
    volume_pattern: str | None = None,
    channels: str = GRAY,
    threads: int = 0,
    operation: Operation | None = None,
) -> LabeledImages:
    """Read all images of a task.

    Args:
        listing: The task.
        side: Rows and columns of the squares.
        fit: How an image becomes a square, see `ctprune.finetuning.fitting.fit_gray`.
        intensity: How Hounsfield units become gray; 8-bit images are used as they are.
        modality: DICOM Modality to read.
        volume_pattern: Regular expression that takes a picture's volume from its name, as in a reduction.
        channels: What the three channels show, as the option `channels` of a pre-training says.
        threads: Number of threads, 0 for one per core.
        operation: Operation that is told how many images are read. Each image is read twice, for its fingerprint
            and for its square, and counts half each time.

    Raises:
        SourceError: No image can be read.
        TaskError: No image of a class can be read, a frame is not there, or channels show neighbors but no image
            lies in a volume.
        Interrupted: Ctrl-C.
    """
    operation = operation or Operation()
    try:
        if listing.arrays is not None:
            if channels != GRAY:
                raise no_volumes(channels, listing.source)
            found = _from_arrays(listing, side, fit, intensity, modality, operation)
        else:
            found = _from_files(
                listing, side, fit, intensity, modality, volume_pattern, channels, threads, operation
            )
    except KeyboardInterrupt:
        raise Interrupted("interrupted while images were read; nothing was trained yet") from None
    present = set(found.labels.tolist())
    for number, name in enumerate(found.classes):
        if number not in present:
            of_class = {entry.name for entry in listing.entries if entry.label == name}
            reasons = found.unreadable | found.skipped
            reason = next((why for file, why in reasons.items() if file in of_class), "see 'ctprune info FILE'")
            is_lists = all(name.lower().endswith(".txt") for name in of_class)
            hint = f": if {name} is the folder with lists of names, give it as `split`" if is_lists else ""
            raise TaskError(f"{listing.source}: no image of class {name} can be read: {reason}{hint}")
    return found


def squares_like(*shape: int) -> npt.NDArray[np.uint8]:
    """An array for squares, in memory or, where they are many, in a file that vanishes by itself."""
    if math.prod(shape) <= _IN_MEMORY:
        return np.empty(shape, np.uint8)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, np.uint8, "w+", shape=shape)


def find_slices(
    files: list[Path],
    *,
    intensity: str,
    modality: str,
    max_slice_mb: int = 512,
    volume_pattern: str | None = None,
    threads: int = 0,
    progress: ProgressCallback | None = None,
) -> tuple[dict[Path, list[FoundSlice]], dict[Path, str], dict[Path, str]]:
    """What ctprune's reader finds in files: slices by frame, reasons of failed files, of skipped ones."""
    if not files:
        return {}, {}, {}
    config = ReduceConfig(
        method="all",
        intensity=intensity,
        modality=modality,
        max_slice_mb=max_slice_mb,
        volume_pattern=volume_pattern,
        threads=threads,
    )
    reduction = Reduction(files, config, progress=progress)
    rows = reduction.carry_out().rows
    slices: dict[Path, list[FoundSlice]] = {}
    failed: dict[Path, str] = {}
    skipped: dict[Path, str] = {}
    columns = [*WHERE, *SHAPE, "status", "reason", "fingerprint", "volume", "position_mm", *_UIDS]
    for line in rows.select(columns).to_dicts():
        file = Path(line["source"], line["path"])
        if line["status"] in ("failed", "skipped"):
            (failed if line["status"] == "failed" else skipped).setdefault(file, line["reason"])
            continue
        where = {name: line[name] for name in (*WHERE, *SHAPE)}
        study, series = (line[name] or None for name in _UIDS)
        # A series that is split by plane, matrix or spacing still is one.
        scan = f"series {series}" if series else f"volume {line['volume']}"
        one = FoundSlice(where, line["fingerprint"], study or series, scan, line["volume"], line["position_mm"])
        slices.setdefault(file, []).append(one)
    for found in slices.values():
        found.sort(key=lambda item: item.line["frame"])
    return slices, failed, skipped


def _from_files(
    listing: Listing,
    side: int,
    fit: str,
    intensity: str,
    modality: str,
    volume_pattern: str | None,
    channels: str,
    threads: int,
    operation: Operation,
) -> LabeledImages:
    paths = {entry: _absolute(entry.file or Path()) for entry in listing.entries}
    files = list(dict.fromkeys(paths.values()))
    # What no label belongs to, but a channel may show.
    beside = [] if channels == GRAY else sorted(set(map(_absolute, listing.volumes)) - set(files))
    reading: dict[str, Any] = {"intensity": intensity, "modality": modality, "max_slice_mb": 512}
    if listing.reading is not None:
        reading["max_slice_mb"] = listing.reading["max_slice_mb"]

    def half_read(now: Progress) -> None:
        operation.report("reading", min(now.facts["files_read"] // 2, len(files)), len(files), "images")

    slices, failed, skipped = find_slices(
        [*files, *beside], volume_pattern=volume_pattern, threads=threads, progress=half_read, **reading
    )
    chosen: list[tuple[Entry, FoundSlice]] = []
    for entry, file in paths.items():
        chosen += _frames(entry, slices.get(file, []), listing.source)
    if not chosen:
        reason = next(iter([*failed.values(), *skipped.values()]), "see 'ctprune info FILE'")
        raise SourceError(f"{listing.source}: none of {counted(len(files), 'file')} can be read: {reason}")
    everything = [one for of_file in slices.values() for one in of_file]
    place = {id(one): index for index, one in enumerate(everything)}
    wanted = np.array([place[id(one)] for _, one in chosen], np.int64)
    reader = ChannelReader(everything, channels, wanted, listing.source)
    pixels = squares_like(*reader.shape(len(chosen), side))
    reasons = reader.read(
        pixels,
        reading,
        fit=fit,
        threads=threads,
        progress=lambda done: operation.report("reading", (len(chosen) + done) // 2, len(chosen), "images"),
    )
    good = [index for index, reason in enumerate(reasons) if not reason]
    unreadable = {entry.name: failed[file] for entry, file in paths.items() if file in failed}
    unreadable |= {chosen[index][0].name: reason for index, reason in enumerate(reasons) if reason}
    kept = [chosen[index] for index in good]
    contents = dict(zip(files, _contents(files), strict=True))
    return LabeledImages(
        entries=[entry for entry, _ in kept],
        labels=_numbers([entry for entry, _ in kept], listing),
        classes=_strata(listing),
        target=listing.target,
        names=listing.classes if listing.target == MULTI_LABEL else (),
        pixels=pixels if len(good) == len(pixels) else pixels[good],
        fingerprints=np.array([list(found.fingerprint) for _, found in kept], np.uint8).reshape(len(kept), -1),
        contents=[contents[_absolute(entry.file or Path())] for entry, _ in kept],
        intensity=intensity,
        modality=modality,
        volume_pattern=volume_pattern,
        unreadable=unreadable,
        skipped={
            entry.name: skipped[file] for entry, file in paths.items() if file in skipped and file not in slices
        },
        channels=channels,
        repeated=reader.repeated,
    )


def _absolute(file: Path) -> Path:
    return file if as_address(file) else Path(os.path.abspath(file))


def _contents(files: list[Path]) -> list[str]:
    """Digests of what files, members of containers and objects hold; empty where one cannot be read."""
    here = iter(Contents().digests([file for file in files if opens(file)], unreadable=""))
    found = [""] * len(files)

    def take(index: int, content: bytes | None) -> None:
        elsewhere = hashlib.sha256(content).hexdigest()[:32] if content else ""
        found[index] = next(here) if content is None else elsewhere

    each_content([as_address(file) or str(file) for file in files], take)
    return found


def _frames(entry: Entry, found: list[FoundSlice], source: Path) -> list[tuple[Entry, FoundSlice]]:
    """The frames of a file that an entry means."""
    if entry.frame is not None:
        wanted = [item for item in found if item.line["frame"] == entry.frame]
        if found and not wanted:
            raise TaskError(f"{source}: {entry.name} has no frame {entry.frame}")
    else:
        wanted = found
    several = len(found) > 1
    return [(_named(entry, item, several), item) for item in wanted]


def _named(entry: Entry, found: FoundSlice, several: bool) -> Entry:
    """The entry of one frame. Where nothing names the patient, study, series or a file of frames stand for it."""
    frame = found.line["frame"]
    name = f"{entry.name}#{frame}" if several else entry.name
    patient = entry.patient or found.study or (f"file {entry.name}" if several else None)
    return replace(entry, name=name, patient=patient, frame=frame, volume=found.scan)


def _from_arrays(
    listing: Listing, side: int, fit: str, intensity: str, modality: str, operation: Operation
) -> LabeledImages:
    arrays = listing.arrays or []
    pixels = squares_like(len(arrays), side, side)
    fingerprints = np.empty((len(arrays), 8), np.uint8)
    contents = []
    for index, array in enumerate(arrays):
        gray = gray_of(array)
        fingerprints[index] = dhash(gray)
        contents.append(hashlib.blake2b(array.tobytes(), digest_size=8).hexdigest())
        fit_gray(gray, pixels[index], fit)
        if index % 256 == 0:
            operation.report("reading", index, len(arrays), "images")
    return LabeledImages(
        entries=listing.entries,
        labels=_numbers(listing.entries, listing),
        classes=_strata(listing),
        target=listing.target,
        names=listing.classes if listing.target == MULTI_LABEL else (),
        pixels=pixels,
        fingerprints=fingerprints,
        contents=contents,
        intensity=intensity,
        modality=modality,
    )


def gray_of(array: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Gray as Pillow's mode L makes it of RGB, shape (rows, cols, 3); gray arrays are returned as they are.

    >>> gray_of(np.full((1, 1, 3), (255, 0, 0), np.uint8)).tolist()
    [[76]]
    """
    if array.ndim == 2:
        return np.ascontiguousarray(array)
    red, green, blue = (array[..., channel].astype(np.uint32) for channel in range(3))
    return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).astype(np.uint8)


def _strata(listing: Listing) -> tuple[str, ...]:
    """The classes that split the images, each into one: a single one where labels are none."""
    return ("images",) if listing.target in (REGRESSION, MULTI_LABEL) else listing.classes


def _numbers(entries: list[Entry], listing: Listing) -> npt.NDArray[np.int64]:
    if listing.target in (REGRESSION, MULTI_LABEL):
        return np.zeros(len(entries), np.int64)
    indices = {name: number for number, name in enumerate(listing.classes)}
    return np.array([indices[entry.label] for entry in entries], np.int64)
