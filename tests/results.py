"""Finished fine-tunings as `ctprune finetune` writes them, made up for the tests of what reads them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CLASSES = ("NonCOVID", "COVID")


def write_result(
    folder: Path,
    labels: np.ndarray,
    probabilities: np.ndarray,
    *,
    classes: Sequence[str] = CLASSES,
    target: str = "classes",
    patients: Sequence[str | None] | None = None,
    images: Sequence[str] | None = None,
    split: str = "test",
    selection_split: str = "val",
    weights: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
) -> Path:
    """Write predictions (seeds, images, columns) of one model as a finished result.

    Labels are indices of classes or levels, (images,), numbers, (images, 1), or 1 for each label that an image
    has, (images, labels).
    """
    seeds, count = probabilities.shape[:2]
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"image-{i:04}.png" for i in range(count)] if images is None else list(images)
    known = [None] * count if patients is None else list(patients)
    table = pa.table(
        {
            "seed": pa.array(np.repeat(np.arange(seeds), count)),
            "split": pa.array([split] * seeds * count),
            "image": pa.array(names * seeds),
            "patient": pa.array(known * seeds, pa.string()),
            **_labels_and_predictions(labels, probabilities, classes, target),
        }
    )
    options = config or {"mode": "finetune", "positive": None}
    if target != "classes":
        options = options | {"target": target}
    metadata = {"predictions_version": 2, "classes": list(classes), "config": config or {}}
    pq.write_table(
        table.replace_schema_metadata({"ctprune": json.dumps(metadata)}), folder / "predictions.parquet"
    )
    metrics = {
        "metrics_version": 2,
        "config": options,
        "classes": list(classes),
        "splits": {split: count},
        "weights": None if weights is None else described(weights),
        "evaluated_split": split,
        "selection_split": selection_split,
        "per_seed": [],
        "pooled": {},
        "seconds": 12.5,
        "data_digest": "0" * 64,
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


def _labels_and_predictions(
    labels: np.ndarray, predictions: np.ndarray, classes: Sequence[str], target: str
) -> dict[str, Any]:
    if target == "regression":
        return {"label": pa.array(labels[:, 0].tolist() * len(predictions)), "prediction": predictions.ravel()}
    if target == "multi-label":
        texts = [";".join(name for name, has in zip(classes, row, strict=True) if has) for row in labels]
    else:
        texts = [classes[label] for label in labels]
    kind = pa.list_(pa.float64(), len(classes))
    return {
        "label": pa.array(texts * len(predictions)),
        "probabilities": pa.array(predictions.reshape(-1, len(classes)).tolist(), kind),
    }


def described(weights: dict[str, Any]) -> dict[str, Any]:
    """Weights as a result names them; other metadata are other weights."""
    digest = hashlib.sha256(json.dumps(weights, sort_keys=True).encode()).hexdigest()
    return {"path": "pre", "sha256": digest, "metadata": weights}


def predictions(
    labels: np.ndarray, *, skill: float, seeds: int, seed: int, classes: int = 2, shared: np.ndarray | None = None
) -> np.ndarray:
    """Probabilities (seeds, images, classes) of a model of this skill; seeds differ a little."""
    random = np.random.default_rng(seed)
    shape = (len(labels), classes)
    base = random.normal(size=shape) if shared is None else shared
    logits = base + skill * np.eye(classes)[labels] + 0.25 * random.normal(size=(seeds, *shape))
    exp = np.exp(logits)
    return exp / exp.sum(axis=2, keepdims=True)
