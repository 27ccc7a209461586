"""The measures of one fine-tuning with all its seeds, as `ctprune finetune` reports them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ctprune.evaluation.measured import measure
from ctprune.evaluation.metrics import METRICS
from ctprune.evaluation.predictions import checked_labels, checked_probabilities


def pooled_metrics(
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    classes: Sequence[str],
    *,
    patients: Sequence[str | None] | None = None,
    positive: str | None = None,
    resamples: int = 500,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Each measure's mean and standard deviation over seeds, and its 95 % interval.

    The interval holds what the images and what the seeds of fine-tuning vary by (see `measure`): it is that of
    this one backbone. Seeds with identical predictions count once. The standard deviation is the sample's (n − 1),
    nan for one seed; `low` and `high` are nan where `no_interval_because` gives a reason.

    >>> model = [[[0.9, 0.1], [0.4, 0.6]] * 6, [[0.6, 0.4], [0.3, 0.7]] * 6]
    >>> found = pooled_metrics([0, 1] * 6, model, ["healthy", "ill"])["accuracy"]
    >>> found["mean"], found["std"], round(found["low"], 3), found["high"]
    (1.0, 0.0, 0.541, 1.0)
    """
    label = checked_labels(labels, classes)
    model = checked_probabilities(probabilities, len(label), classes)
    found = measure(
        label,
        [model],
        classes,
        pretrainings=[[0] * len(model)],
        patients=patients,
        positive=positive,
        resamples=resamples,
        seed=seed,
    )
    pooled = {}
    for name in METRICS:
        low, high = found.interval(0, name)
        pooled[name] = {
            "mean": found.mean(0, name).value,
            "std": float(np.std(found.trainings[0][name], ddof=1)) if len(model) > 1 else float("nan"),
            "low": low,
            "high": high,
        }
    return pooled
