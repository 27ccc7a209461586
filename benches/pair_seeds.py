"""What `ctprune compare --pair-seeds` gains where pre-trainings of a seed have something in common; no speed.

Scores are simulated as in `benches/calibration.py`. Of what pre-trainings vary by, in effect and in noise, those
of the same seed have a share in common, whatever the way.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benches.calibration import AUC, DIFFERENCE, FINETUNING_DEVIATION, Cell, Trial, draw, levels_of_one
from benches.measure import Table
from benches.settings import Settings
from ctprune.comparison.verdict import ALPHA
from ctprune.evaluation.delong import auc_covariance
from ctprune.evaluation.estimate import Estimate, difference_estimate, paired_estimate
from ctprune.evaluation.measured import worth_of
from ctprune.evaluation.units import unit_of_images

DESIGNS = ((3, 1), (5, 1), (5, 3), (10, 1))
DEVIATIONS = (0.02, 0.045)
SHARES = (0.0, 0.6)
IMAGES = (118, 500)


@dataclass(frozen=True)
class SharedSeeds(Cell):
    """A line where pre-trainings of a seed have something in common.

    Attributes:
        share: Of the variance between pre-trainings what those of a seed have in common.
    """

    share: float

    @property
    def shared(self) -> float:
        return self.share


def run(settings: Settings, threads: int) -> dict[str, Any]:
    """Simulate all cells."""
    null = [_cell(cell, settings.repetitions) for cell in cells(0.0)]
    power = [_cell(cell, settings.repetitions // 2) for cell in cells(DIFFERENCE)]
    return {
        "input": "simulated scores of two ways of pre-training, with the same seeds",
        "about": (
            "Goal: pairs of pre-trainings of a seed give at most 5 % of false alarms, and find more where seeds "
            "have something in common. *Pre-trainings × fine-tunings* are those of each of both ways; *SD* is the "
            "standard deviation of the true AUC between pre-trainings; *shared* is the share of their variance "
            "that both ways have in common in a seed; with patients, these have 2.5 images in the mean. True AUC "
            f"{AUC}; fine-tunings of a backbone truly vary by an SD of {FINETUNING_DEVIATION}. One comparison, "
            f"{settings.repetitions:,} times per line ({settings.repetitions // 2:,} with a true difference)."
        ),
        "tables": [
            _table("No true difference", null, "alarm", "tests below 0.05"),
            _table(f"A true difference of {DIFFERENCE}", power, "right", "found"),
        ],
    }


def cells(difference: float) -> Iterator[SharedSeeds]:
    """All lines of a table."""
    for design, deviation, share, images, patients in itertools.product(
        DESIGNS, DEVIATIONS, SHARES, IMAGES, (False, True)
    ):
        yield SharedSeeds(*design, deviation, images, patients, difference, share)


def simulate(cell: SharedSeeds, repetitions: int) -> dict[str, float]:
    """Shares of the repetitions, and half widths of intervals, of both tests."""
    random = np.random.default_rng(cell.seed)
    found = [_outcome(cell, draw(cell, random)) for _ in range(repetitions)]
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def _outcome(cell: SharedSeeds, trial: Trial) -> dict[str, float]:
    areas, covariance = auc_covariance(trial.truth, trial.scores, patients=trial.patients)
    freedom = worth_of(trial.truth.astype(np.int64), unit_of_images(trial.patients, len(trial.truth))) - 1
    one = levels_of_one(cell.pretrainings, cell.finetunings).weights
    both = np.kron(np.eye(2), one)
    values, blocks = (both @ areas).reshape(2, -1), both @ covariance @ both.T
    half = len(one)
    parts = [[blocks[a : a + half, b : b + half] for b in (0, half)] for a in (0, half)]
    estimates = {
        "independent": difference_estimate(*values, parts[0][0], parts[1][1], parts[0][1], image_freedom=freedom),
        "paired": paired_estimate(list(values), [1, -1], parts, image_freedom=freedom),
    }
    return {f"{name}_{what}": value for name, of in estimates.items() for what, value in _told(of, trial).items()}


def _told(found: Estimate, trial: Trial) -> dict[str, float]:
    low, high = found.interval()
    return {
        "alarm": found.p_value() < ALPHA,
        "right": found.p_value() < ALPHA and found.value > 0,
        "held": low <= trial.difference <= high,
        "half_width": (high - low) / 2,
    }


def _cell(cell: SharedSeeds, repetitions: int) -> dict[str, Any]:
    found = asdict(cell) | simulate(cell, repetitions)
    print(f"  {cell}: paired {found['paired_alarm']:.3f}", file=sys.stderr, flush=True)
    return found


def _table(title: str, found: list[dict[str, Any]], counted: str, heading: str) -> Table:
    ways = ("independent", "paired")
    columns = [f"{way}: {of}" for way in ways for of in (heading, "interval holds the truth", "half its width")]
    table = Table(
        title,
        ["pre-trainings × fine-tunings", "SD", "shared", "images", "patients", *columns],
        raw=found,
        notes=[],
    )
    table.rows = [
        [
            f"{one['pretrainings']} × {one['finetunings']}",
            f"{one['deviation']:g}",
            f"{100 * one['share']:.0f} %",
            str(one["images"]),
            "yes" if one["patients"] else "no",
            *(
                text
                for way in ways
                for text in (
                    f"{100 * one[f'{way}_{counted}']:.1f} %",
                    f"{100 * one[f'{way}_held']:.1f} %",
                    f"{one[f'{way}_half_width']:.3f}",
                )
            ),
        ]
        for one in found
    ]
    return table
