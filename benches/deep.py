"""Embeddings of slices: ctprune's pass from files to float16 beside a plain torchvision loop on the same device.

The loop is what one would write: pydicom, gray, Pillow, torchvision's transforms, batches through the network.
Weights are random, which costs the same time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.transforms import v2

import ctprune
from benches.measure import Contender, Table, compare
from benches.series import about, picture, series
from benches.settings import Settings
from ctprune.embedding.embedder import Embedder
from ctprune.embedding.embeddings import embed_slices
from ctprune.networks.backbone import create_backbone, save_backbone

_BATCH = 64

#: Between the two embeddings of a slice: less would mean that they are not of the same picture.
_SMALLEST_COSINE = 0.999


def run(settings: Settings, threads: int) -> dict[str, Any]:
    files = series(settings)
    return {
        "input": about(settings),
        "about": "From DICOM files to embeddings of unit length, with random weights. The loop: pydicom, Pillow, "
        "torchvision's transforms, batches through the network.",
        "tables": [measure(files, "resnet50", min(settings.rounds, 3), Path(settings.work))],
    }


def measure(files: list[Path], backbone: str, rounds: int, work: Path) -> Table:
    """Slices per second of both, after the embeddings are compared; all `files` lie in one folder."""
    torch.manual_seed(0)
    weights = work / "backbone.safetensors"
    save_backbone(create_backbone(backbone), weights, name=backbone, metadata={})
    embedder = Embedder(weights)
    manifest = ctprune.reduce(files[0].parent, method="all")
    lines = manifest.kept().to_dicts()
    paths = [Path(line["source"], line["path"]) for line in lines]
    module = ctprune.load_backbone(weights).eval().to(embedder.device)

    def ours() -> Any:
        return embed_slices(_batches(lines), embedder, manifest.config, out=None).embeddings

    def loop() -> Any:
        return _plain_loop(paths, module, embedder.device)

    cosines = (ours().astype(np.float64) * loop().astype(np.float64)).sum(axis=1)
    if cosines.min() < _SMALLEST_COSINE:
        raise AssertionError(f"the two embeddings of a slice differ: their cosine is {cosines.min():.6f}")
    return compare(
        f"Embeddings of {backbone} on {embedder.device}, {torch.get_num_threads()} threads",
        [
            Contender(name="ctprune", run=ours, items=len(lines), loops=1, note="float16, a batch at a time"),
            Contender(name="torchvision loop", run=loop, items=len(lines), loops=1, note=f"batches of {_BATCH}"),
        ],
        rounds=rounds,
        unit="slices",
        notes=[f"Smallest cosine between the two embeddings of a slice: {cosines.min():.6f}."],
    )


def _batches(lines: list[dict[str, Any]]) -> Any:
    return lambda size: (lines[start : start + size] for start in range(0, len(lines), size))


def _plain_loop(paths: list[Path], module: torch.nn.Module, device: torch.device) -> Any:
    transform = v2.Compose(
        [
            v2.Resize(224, interpolation=v2.InterpolationMode.LANCZOS),
            v2.CenterCrop(224),
            v2.Grayscale(3),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    found = []
    with torch.inference_mode():
        for start in range(0, len(paths), _BATCH):
            batch = torch.stack([transform(picture(path)) for path in paths[start : start + _BATCH]])
            found.append(torch.nn.functional.normalize(module(batch.to(device)), dim=1).cpu())
    return torch.cat(found).numpy()
