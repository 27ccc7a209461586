"""Slices per second of `--method balanced`, which is k-means above all, on a GPU and on all cores."""

from __future__ import annotations

import math
import time

import numpy as np
import numpy.typing as npt
import torch

from benches.gpu.box import Box
from ctprune import _core
from ctprune.selection.centroids import NearestCentroids, on_gpu

#: Directions that embeddings are around, some far more common.
_KINDS = 2000


def run(box: Box) -> None:
    rows, features, turns = (3000, 16, 1) if box.tiny else (1_000_000, 384, 3)
    device = torch.device(box.device)
    embeddings = _embeddings(rows, features, device)
    box.write("facts", slices=rows, features=features)
    for turn in range(turns):
        # A new one each time: it holds rows.
        nearest = on_gpu(embeddings) or NearestCentroids(embeddings, device, memory=1 << 30)
        found = _measured(box, f"torch on {box.device}", turn, embeddings, nearest)
    expected = _measured(box, "all cores", 0, embeddings, None)
    assert found.tobytes() == expected.tobytes(), "k-means on the GPU is not that of the CPU"
    box.write("checked", note="The two keep the same slices.")


def _measured(
    box: Box, name: str, turn: int, embeddings: npt.NDArray[np.float16], nearest: NearestCentroids | None
) -> npt.NDArray[np.uint32]:
    began = time.perf_counter()
    _, exemplars, _ = _core.choose_points(
        embeddings,
        [0, len(embeddings)],
        method="balanced",
        threshold=None,
        keep=0.1,
        budget=None,
        seed=0,
        clusters=math.isqrt(len(embeddings)),
        nearest=nearest,
        threads=0,
    )
    seconds = time.perf_counter() - began
    rate = round(len(embeddings) / seconds, 2)
    box.write("rate", name=name, round=turn, seconds=round(seconds, 4), slices_per_second=rate)
    return exemplars


def _embeddings(rows: int, features: int, device: torch.device) -> npt.NDArray[np.float16]:
    random = torch.Generator(device).manual_seed(0)
    centers = torch.randn(_KINDS, features, generator=random, device=device)
    kinds = (_KINDS * torch.rand(rows, generator=random, device=device) ** 3).long()
    parts = [
        centers[some] + 0.4 * torch.randn(len(some), features, generator=random, device=device)
        for some in kinds.split(1 << 16)
    ]
    return torch.cat([part.half().cpu() for part in parts]).numpy()
