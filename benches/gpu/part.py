"""One part of the run in a process of its own; see `benches.gpu.__main__`."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from pathlib import Path

from benches.gpu.box import Box

#: Where each part's function is.
_FUNCTIONS = {
    "environment": ("benches.gpu.where", "run"),
    "tests": ("benches.gpu.tests", "run"),
    "swav": ("benches.gpu.rates", "swav"),
    "vit": ("benches.gpu.rates", "vit"),
    "deep": ("benches.gpu.embeddings", "run"),
    "kmeans": ("benches.gpu.clusters", "run"),
    "experiment": ("benches.gpu.experiment", "run"),
}


def main(file: Path) -> None:
    box = Box.load(file)
    if box.device == "cpu":
        # Before torch is imported: with a GPU at hand, ctprune would take it.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    module, function = _FUNCTIONS[box.part]
    try:
        if box.device == "cuda":
            _see_gpu()
        getattr(importlib.import_module(module), function)(box)
    except Exception as error:  # whatever it is, it shall be in the record
        box.write("error", error=f"{type(error).__name__}: {error}"[:2000])
        traceback.print_exc()
        sys.exit(1)


def _see_gpu() -> None:
    import torch

    if not torch.cuda.is_available():
        raise RuntimeError("torch finds no GPU here: --device cpu --tiny shows that everything else works")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
