"""The rule that says when there is too little for an interval."""

from __future__ import annotations

import numpy as np

from ctprune.evaluation.pooled import pooled_metrics
from ctprune.evaluation.units import no_interval_because


def test_an_interval_needs_six_patients_of_each_class() -> None:
    """One rule for all intervals, by what is drawn as a whole."""
    classes = ["0", "1"]
    labels = [0] * 6 + [1] * 6
    assert no_interval_because(labels, classes) is None
    assert no_interval_because(labels[:-1], classes) == (
        "5 images of class 1: no interval can be estimated from fewer than 6"
    )
    one = ["a"] * 12
    assert no_interval_because(labels, classes, patients=one) == "1 patient: no interval can be estimated"
    few = [f"p{index % 5}" for index in range(12)]
    assert no_interval_because(labels, classes, patients=few) == (
        "5 patients: no interval can be estimated from fewer than 6"
    )
    # A patient with images of both classes counts for both.
    six = [f"p{index % 6}" for index in range(12)]
    assert no_interval_because(labels, classes, patients=six) is None
    ill = ["a"] * 6 + [f"p{index}" for index in range(6)]
    assert no_interval_because(labels, classes, patients=ill) == (
        "1 patient with images of class 0: no interval can be estimated"
    )
    # A class without an image is not there to be estimated.
    assert no_interval_because(labels, ["0", "1", "2"]) is None


def test_without_an_interval_there_are_numbers_and_no_ends() -> None:
    random = np.random.default_rng(0)
    labels = np.arange(40) % 2
    probabilities = np.stack([random.random((40, 1)) for _ in range(2)])
    probabilities = np.concatenate([1 - probabilities, probabilities], axis=2)
    patients = [f"p{index % 4}" for index in range(40)]
    found = pooled_metrics(labels, probabilities, ["0", "1"], patients=patients)
    for one in found.values():
        assert np.isfinite([one["mean"], one["std"]]).all()
        assert np.isnan([one["low"], one["high"]]).all()
    known = pooled_metrics(labels, probabilities, ["0", "1"], patients=[f"p{index}" for index in range(40)])
    assert all(np.isfinite([one["low"], one["high"]]).all() for one in known.values())
