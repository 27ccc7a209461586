"""Finished pre-trainings as one small file: the raw results of a report, which a later one adds to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from experiments.less_is_more.trained import Trained, stored_probabilities, whole_probabilities

from ctprune.comparison.result import Result
from ctprune.errors import EvaluationError
from ctprune.files.atomic import replace_file

#: Of a probe's result what belongs to the test images, the same for all pre-trainings.
_SHARED = ("classes", "split", "selection_split", "images", "patients")


def save_collected(trained: Sequence[Trained], file: Path) -> None:
    """Write pre-trainings with the predictions of their probes.

    The file is a `.npz` of `about` (JSON), `labels` and `probabilities`, float32 of shape (pre-trainings, seeds,
    images, classes - 1), without those of the first class. Weights of networks are not in it.

    Raises:
        EvaluationError: They were tested on different images.
    """
    first = trained[0].result
    for one in trained:
        if any(getattr(one.result, name) != getattr(first, name) for name in _SHARED):
            raise EvaluationError(f"{one.result.name}: expected the test images of {first.name}, found others")
    about = {
        "shared": {name: getattr(first, name) for name in _SHARED},
        "pretrainings": [_about(one) for one in trained],
    }
    with replace_file(file) as beside, beside.open("wb") as stream:
        np.savez_compressed(
            stream,
            about=np.array(json.dumps(about, sort_keys=True)),
            labels=first.labels,
            probabilities=np.stack([stored_probabilities(one.result.probabilities) for one in trained]),
        )


def load_collected(file: Path) -> list[Trained]:
    """The pre-trainings of a file that `save_collected` wrote, in its order."""
    with np.load(file, allow_pickle=False) as arrays:
        about: dict[str, Any] = json.loads(str(arrays["about"]))
        labels, probabilities = arrays["labels"], whole_probabilities(arrays["probabilities"])
    shared = {name: tuple(value) if isinstance(value, list) else value for name, value in about["shared"].items()}
    found = []
    for facts, predicted in zip(about["pretrainings"], probabilities, strict=True):
        of_result = facts.pop("result") | {"labels": labels, "probabilities": predicted} | shared
        seeds = tuple(of_result["seeds"])
        of_result |= {"backbones": tuple(of_result["backbones"]), "seeds": seeds}
        result = Result(**of_result, pretraining_seeds=(facts["seed"],) * len(seeds))
        found.append(Trained(**facts, result=result))
    return found


def _about(one: Trained) -> dict[str, Any]:
    facts = asdict(replace(one, result=None))  # type: ignore[arg-type]
    result = one.result
    # Where the folder lay is nobody's business.
    of_result = {
        "name": result.name,
        "path": result.name,
        "backbones": result.backbones,
        "seeds": result.seeds,
        "seconds": result.seconds,
    }
    # Options may hold paths; the report needs the positive class alone.
    config = {"positive": result.config.get("positive")}
    weights = None if result.weights is None else {"seconds": result.weights.get("seconds")}
    return facts | {"result": of_result | {"config": config, "weights": weights}}
