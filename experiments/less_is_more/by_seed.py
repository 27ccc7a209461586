"""Contrasts within seeds: pre-trainings of one seed have the same first weights, so arms are not independent."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from experiments.less_is_more.trained import Cell, Trained

from ctprune.evaluation.delong import auc_covariance
from ctprune.evaluation.estimate import Estimate, mean_estimate
from ctprune.evaluation.measured import worth_of
from ctprune.evaluation.units import unit_of_images


def common_seeds(trained: Sequence[Trained], cells: Collection[Cell]) -> list[int]:
    """The seeds of pre-training that all of these cells have, rising."""
    of_cells = [{one.seed for one in trained if (one.source, one.arm) == cell} for cell in cells]
    return sorted(set.intersection(*of_cells)) if of_cells else []


def estimates_by_seed(trained: Sequence[Trained], weights: Sequence[Mapping[Cell, float]]) -> list[Estimate]:
    """Weighted sums of the cells' AUCs, whose error is that of their values seed by seed.

    What the arms of a seed have in common, as their first weights and views, is in every seed's value as it is in
    the truth, whether the sum cancels it or not. The patients' part is the covariance of two seeds' values.

    Args:
        trained: Pre-trainings of one method.
        weights: Of each sum the weight of each cell. A sum takes the seeds that all its cells have.

    Raises:
        ValueError: The cells of a sum have no seed in common.
    """
    first = trained[0].result
    places = {(one.source, one.arm, one.seed): place for place, one in enumerate(trained)}
    positive = first.classes.index(first.positive or first.classes[1])
    areas, covariance = auc_covariance(
        first.labels == positive,
        np.stack([one.result.probabilities[0, :, positive] for one in trained]),
        patients=first.patients,
    )
    worth = worth_of(first.labels, unit_of_images(first.patients, len(first.labels)))
    found = []
    for of_cells in weights:
        seeds = common_seeds(trained, of_cells)
        if not seeds:
            raise ValueError("expected a seed that all cells have, found none")
        sums = np.zeros((len(seeds), len(trained)))
        for row, seed in zip(sums, seeds, strict=True):
            for (source, arm), weight in of_cells.items():
                row[places[source, arm, seed]] = weight
        found.append(mean_estimate(sums @ areas, sums @ covariance @ sums.T, image_freedom=worth - 1))
    return found
