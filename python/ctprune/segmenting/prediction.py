"""Predicted masks at the resolution of the volume, and the voxels that they share with the reference."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import interpolate

from ctprune.environment.progress import Operation
from ctprune.errors import OutputError
from ctprune.exporting.nifti import save_nifti
from ctprune.files.atomic import make_folder
from ctprune.networks.device import autocast
from ctprune.networks.gray_backbone import Pixels, on_device
from ctprune.segmenting.dice import Counts, count_voxels
from ctprune.segmenting.network import Segmenter
from ctprune.segmenting.squares import margins
from ctprune.segmenting.volumes import Volume, Volumes

#: Probabilities in memory at a time.
_AT_A_TIME = 1 << 25

MASKS_FOLDER = "masks"


def predict_volume(
    networks: Mapping[int, Segmenter],
    pixels: Pixels,
    rows: int,
    columns: int,
    *,
    batch: int,
    device: torch.device,
    precision: str,
) -> npt.NDArray[np.uint8]:
    """The most probable class of each voxel, by each network and by the mean of their probabilities.

    Args:
        networks: The networks, which are on `device`, in evaluation mode.
        pixels: Squares of the volume's slices, uint8 of shape (slices, side, side).
        rows: Rows of the slices.
        columns: Columns of the slices.
        batch: Squares that go through a network together, at most.
        device: Where the networks run.
        precision: A precision from `ctprune.networks.device.choose_precision`.

    Returns:
        Index of the class, uint8 of shape (networks + 1, slices, rows, columns); the mean comes last.
    """
    found = np.empty((len(networks) + 1, len(pixels), rows, columns), np.uint8)
    classes = next(iter(networks.values())).decoder.last.out_channels
    step = max(1, min(batch, _AT_A_TIME // (classes * max(rows, columns) ** 2)))
    # Not in `quick_gpu`: volumes have any number of slices, and a mask should be the same when it is made again.
    with torch.inference_mode():
        for start in range(0, len(pixels), step):
            images = on_device(pixels[start : start + step], device)
            mean = torch.zeros((), device=device)
            for index, network in enumerate(networks.values()):
                with autocast(device, precision):
                    logits = network(images)
                probabilities = logits.float().softmax(1)
                mean = mean + probabilities / len(networks)
                found[index, start : start + step] = _classes(probabilities, rows, columns)
            found[-1, start : start + step] = _classes(mean, rows, columns)
    return found


def onto_slices(probabilities: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Probabilities of squares on the pixels of the slices that they were made of, interpolated linearly.

    Args:
        probabilities: Shape (slices, classes, side, side).
        rows: Rows of the slices.
        columns: Columns of the slices.

    Returns:
        Shape (slices, classes, rows, columns).

    >>> onto_slices(torch.eye(4)[None, None], 2, 4)[0, 0].tolist()
    [[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]
    """
    longer = max(rows, columns)
    if longer != probabilities.shape[-1]:
        probabilities = interpolate(probabilities, size=(longer, longer), mode="bilinear", align_corners=False)
    top, left = margins(rows, columns)
    return probabilities[..., top : top + rows, left : left + columns]


def evaluate(
    networks: Mapping[int, Segmenter],
    volumes: Volumes,
    chosen: npt.NDArray[np.int64],
    *,
    batch: int,
    device: torch.device,
    precision: str,
    threads: int,
    operation: Operation,
    masks: Path | None,
) -> Counts:
    """Predict volumes and count voxels, at the masks' own resolution.

    Args:
        networks: The networks by seed.
        volumes: The volumes of the task.
        chosen: Which of them.
        batch: Squares that go through a network together, at most.
        device: Where the networks run.
        precision: Their precision.
        threads: Threads that read masks.
        operation: Told how many volumes are done.
        masks: Folder for the masks that the mean of the networks predicts; None writes none.

    Returns:
        int64 of shape (networks + 1, volumes, classes, 3), as from `ctprune.segmenting.dice.count_voxels`; the
        mean of the networks comes last.

    Raises:
        OutputError: A mask cannot be written.
    """
    counts = np.zeros((len(networks) + 1, len(chosen), len(volumes.classes), 3), np.int64)
    for done, row in enumerate(chosen):
        operation.report("predicting", done, len(chosen), "volumes")
        volume = volumes.volumes[row]
        _, rows, columns = volume.grid.shape
        predicted = predict_volume(
            networks, volumes.pixels[volume.rows], rows, columns, batch=batch, device=device, precision=precision
        )
        reference = volumes.classes_of(volume, threads)
        counts[:, done] = [count_voxels(one, reference, len(volumes.classes)) for one in predicted]
        if masks is not None:
            save_mask(masks, volume, predicted[-1], volumes.values)
    operation.report("predicting", len(chosen), len(chosen), "volumes")
    return counts


def save_mask(folder: Path, volume: Volume, classes: npt.NDArray[np.uint8], values: tuple[int, ...]) -> None:
    """Write a predicted mask with the data's own labels and the geometry of its volume; replaces an earlier one.

    Raises:
        OutputError: It cannot be written.
    """
    kind = np.uint8 if max(values) < 2**8 else np.int16 if max(values) < 2**15 else np.float32
    labels = np.array([0, *values], kind)[classes]
    file = folder / f"volume-{volume.number:04d}.nii.gz"
    try:
        make_folder(folder)
        file.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{file}: cannot be written: {error.strerror}") from None
    save_nifti(file, labels, volume.grid.affine)


def _classes(probabilities: torch.Tensor, rows: int, columns: int) -> npt.NDArray[np.uint8]:
    found: npt.NDArray[np.uint8] = (
        onto_slices(probabilities, rows, columns).argmax(1).to(torch.uint8).cpu().numpy()
    )
    return found
