"""Embeddings per second of `--method deep`: from DICOM files through ResNet-50, and the network by itself."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

import ctprune
from benches import deep
from benches.gpu.box import Box
from benches.gpu.pack import unpack_series
from benches.series import copies
from benches.settings import Settings
from ctprune.embedding.embedder import SIDE, Embedder
from ctprune.embedding.embeddings import embed_slices


def run(box: Box) -> None:
    work = Path(box.work)
    files = unpack_series(Path(box.data), work / "series")
    backbone = "test_resnet" if box.tiny else "resnet50"
    # Compares the embeddings with those of a plain loop before anything is timed; leaves the weights in `work`.
    table = deep.measure(files, backbone, 1, work)
    for line in table.raw:
        rate = line["items"] / line["seconds"][0]
        box.write("rate", name=f"{line['tool']}, {line['items']} slices", slices_per_second=round(rate, 2))
    box.write("checked", note=table.notes[0])
    embedder = Embedder(work / "backbone.safetensors")
    _network(box, embedder)
    _from_files(box, embedder, 2 if box.tiny else 2048 // len(files) + 1)


def _network(box: Box, embedder: Embedder) -> None:
    """Squares that are in memory already."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (embedder.batch * (1 if box.tiny else 16), SIDE, SIDE), np.uint8)
    for turn in range(1 if box.tiny else 3):
        began = time.perf_counter()
        embedder.embed(images)
        rate = len(images) / (time.perf_counter() - began)
        box.write("rate", name="network alone", round=turn, slices_per_second=round(rate, 2))


def _from_files(box: Box, embedder: Embedder, count: int) -> None:
    folders = copies(Settings(work=box.work, copies=count))
    manifest = ctprune.reduce(folders, method="all")
    lines = manifest.kept().to_dicts()
    for turn in range(1 if box.tiny else 3):
        began = time.perf_counter()
        embedder.seconds = 0.0
        embed_slices(
            lambda size: (lines[start : start + size] for start in range(0, len(lines), size)),
            embedder,
            manifest.config,
            out=None,
        )
        seconds = time.perf_counter() - began
        box.write(
            "rate",
            name="from DICOM files",
            round=turn,
            slices=len(lines),
            seconds=round(seconds, 4),
            seconds_in_network=round(embedder.seconds, 4),
            slices_per_second=round(len(lines) / seconds, 2),
        )
