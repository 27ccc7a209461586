"""Slices per second of a pre-training on one GPU: `python -m benches.gpu.throughput`, from the project's root."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from benches import environment, record
from benches.series import about, series
from benches.settings import Settings
from benches.throughput import ABOUT, Scale, measure
from ctprune.pretraining.config import PretrainConfig

_GOALS = "Goals: with ctprune's input 95 % of the model alone, and 5 × the usual way."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="", help="folder with a CT series; a phantom is generated without it")
    parser.add_argument("--describe", default="a real CT", help="what the series is, for the record")
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--record", type=Path, default=record.FOLDER, help="folder for the results")
    parser.add_argument("--work-dir", help="folder for generated input; needs 1 GB")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("torch finds no GPU here: 'python -m benches throughput' measures on the CPU")
    where = environment.describe() | {
        "gpu": f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    }
    with tempfile.TemporaryDirectory(prefix="ctprune-bench-", dir=args.work_dir) as work:
        settings = Settings(work=work, data=args.data, describe=args.describe, rounds=args.rounds)
        result = run(settings, args.backbone, args.batch_size)
    record.write(where["date"][:10], "throughput-gpu", {"name": "throughput-gpu", "environment": where, **result})
    print(f"results: {args.record}", file=sys.stderr)


def run(settings: Settings, backbone: str, batch_size: int) -> dict[str, Any]:
    """What is recorded, but for the name and the environment."""
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    scale = Scale(
        config=PretrainConfig.resolve({"backbone": backbone, "batch_size": batch_size}, preset_name="paper"),
        device=torch.device("cuda"),
        workers=workers,
        steps=50,
        # The first batch takes as long as a worker needs for one; after 8 each this weighs little.
        loader_steps=8 * workers,
        rounds=settings.rounds,
    )
    tables = [table.to_dict() for table in measure(series(settings), Path(settings.work), scale)]
    return {"input": about(settings), "about": ABOUT + _GOALS, "tables": tables}


if __name__ == "__main__":
    main()
