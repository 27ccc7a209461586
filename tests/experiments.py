"""Experiments of tests: a file on the phantom archive, and stages that write results without training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tests.results import predictions, write_result

LABELS = np.r_[np.zeros(20, int), np.ones(20, int)]


def experiment_writer(archive: Path, folder: Path) -> Callable[..., Path]:
    """A function that writes an experiment's file on an archive, with changes to it."""

    def to_file(**changes: Any) -> Path:
        content: dict[str, Any] = {
            "name": "Tried",
            "sources": {"phantom": str(archive)},
            "reductions": {"hash6": {"method": "hash", "threshold": 6}},
            "pretrainings": {
                "all": {"preset": "smoke", "use": "all"},
                "hash": {"preset": "smoke", "epochs": 3},
                "all-same-steps": {"preset": "smoke", "use": "all", "steps_of": "hash"},
            },
            "baselines": {"none": {"weights": "none", "backbone": "resnet18"}},
            "tasks": {"lesions": {"data": str(archive / "labels.csv"), "mode": "linear", "side": 32}},
            "seeds": {"finetuning": 2},
            "comparison": {"resamples": 200},
        }
        content |= changes
        file = folder / "tried.yaml"
        file.write_text(
            yaml.safe_dump({key: value for key, value in content.items() if value is not None}, sort_keys=False)
        )
        return file

    return to_file


class Stages:
    """In place of training: writes what the stages would, and notes what it was asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, dict[str, Any]]] = []
        self.fail_at = 0
        self.error: BaseException | None = None

    def _note(self, kind: str, out: Path, options: dict[str, Any]) -> None:
        self.calls.append((kind, out.name.rpartition("-")[0], options))
        if self.error is not None and len(self.calls) == self.fail_at:
            raise self.error

    def pretrain(self, run: Path, *, out: Path, progress: Any, **options: Any) -> None:
        self._note("pretrain", out, options)
        assert (run / "manifest.parquet").is_file()
        slices = {"all": 100}.get(options.get("use", "kept"), 25)
        steps = options.get("steps") or slices * options.get("epochs", 2) // 5
        out.mkdir(parents=True)
        (out / "backbone.safetensors").write_bytes(b"")
        summary = {"slices": slices, "epochs": options.get("epochs", 2), "steps": steps, "seconds": 2.0}
        # As `steps` above counts them.
        summary["slices_per_step"] = 5
        summary["seed"] = options["seed"]
        (out / "summary.json").write_text(json.dumps(summary))

    def finetune(self, data: str, *, out: Path, progress: Any, seeds: list[int], **options: Any) -> None:
        self._note("finetune", out, {"data": data, "seeds": seeds, **options})
        weights = options.get("weights")
        of_weights = None
        if weights not in (None, "none"):
            of_weights = json.loads((Path(weights).parent / "summary.json").read_text())
        model = predictions(LABELS, skill=1.5, seeds=len(seeds), seed=len(self.calls))
        write_result(out, LABELS, model, weights=of_weights)
        metrics = json.loads((out / "metrics.json").read_text()) | {"pooled": {"auc": {"mean": 0.9}}}
        (out / "metrics.json").write_text(json.dumps(metrics))
