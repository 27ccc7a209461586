"""Fingerprints of slices in memory: ctprune beside the tools that give the same bits."""

from __future__ import annotations

from typing import Any

import imagehash
import imha
import numpy as np
import numpy.typing as npt
from PIL import Image

import ctprune
from benches import series
from benches.matrix_dhash import MatrixDhash
from benches.measure import Contender, compare
from benches.settings import Settings

Hashes = npt.NDArray[np.uint8]
Images = npt.NDArray[np.uint8]

#: The series is shifted this often, so that hashes are compared on more pictures than are timed.
_SHIFTS = 20


def run(settings: Settings, threads: int) -> dict[str, Any]:
    images = series.gray_slices(series.series(settings))
    stored = np.stack(list(series.stored_values(series.series(settings))))
    count, *shape = images.shape
    matrix = MatrixDhash(*shape)
    tools = {
        "ctprune.dhash": ctprune.dhash,
        "ImageHash": _imagehash,
        "imha": _imha,
        "Pillow and numpy": _pillow,
        "numpy matrix products": matrix.dhash,
    }
    notes = _share_of_equal(tools, images)
    contenders = [
        Contender(name=name, run=lambda tool=tool: tool(images), items=count, note=notes[name])
        for name, tool in tools.items()
    ]
    contenders.append(
        Contender(
            name="ctprune.dhash of stored 16-bit values",
            run=lambda: ctprune.dhash(stored),
            items=count,
            note="with the step to 8 bits by minimum and maximum",
        )
    )
    title = f"dHash of {shape[0]} × {shape[1]} slices in memory, {threads} thread"
    return {
        "input": series.about(settings),
        "about": "Goal: 12,000 slices/s, each bit as ImageHash has it.",
        "tables": [compare(title, contenders, rounds=settings.rounds, unit="slices")],
    }


def _share_of_equal(tools: dict[str, Any], images: Images) -> dict[str, str]:
    """How many hashes are ImageHash's; ctprune's must all be."""
    equal = dict.fromkeys(tools, 0)
    for shift in range(_SHIFTS):
        shifted = np.roll(images, (13 * shift, -7 * shift), axis=(1, 2))
        expected = _imagehash(shifted)
        for name, tool in tools.items():
            equal[name] += int((tool(shifted) == expected).all(axis=1).sum())
    total = _SHIFTS * len(images)
    if equal["ctprune.dhash"] != total:
        raise AssertionError(f"ctprune.dhash: {total - equal['ctprune.dhash']} of {total} hashes differ")
    return {
        name: "exact" if count == total else f"{100 * count / total:.2f} % of {total:,} hashes equal"
        for name, count in equal.items()
    }


def _imagehash(images: Images) -> Hashes:
    bits = [imagehash.dhash(Image.fromarray(image)).hash.ravel() for image in images]
    return np.packbits(bits, axis=1)


def _imha(images: Images) -> Hashes:
    codes = b"".join(bytes.fromhex(str(imha.dhash(Image.fromarray(image)))) for image in images)
    return np.frombuffer(codes, np.uint8).reshape(len(images), -1)


def _pillow(images: Images) -> Hashes:
    """What ImageHash does with nothing around it."""
    lanczos = Image.Resampling.LANCZOS
    small = np.stack([np.asarray(Image.fromarray(image).resize((9, 8), lanczos)) for image in images])
    return np.packbits((small[:, :, 1:] > small[:, :, :-1]).reshape(len(images), -1), axis=1)
