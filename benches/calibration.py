"""How often `ctprune compare` finds a difference where there is none, and where there is one; no speed.

Scores of images are simulated, tests and intervals are those of the package. A score is the sum of the class's
effect, whose size varies from pre-training to pre-training and from fine-tuning to fine-tuning, and of noise that
all models share, that the pre-trainings of one way share, that the fine-tunings of one backbone share, and that
each has alone (50, 10, 20 and 20 % of the variance). With patients, who have 2.5 images in the mean, each of these
is half the patient's and half the image's.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from benches.measure import Table
from benches.settings import Settings
from ctprune.comparison.decisive import DECISIVE
from ctprune.comparison.verdict import ALPHA, LEAST_PATIENTS, LEAST_PRETRAININGS, Finding
from ctprune.evaluation.delong import auc_covariance
from ctprune.evaluation.estimate import Estimate, difference_estimate
from ctprune.evaluation.levels import Levels
from ctprune.evaluation.measured import worth_of
from ctprune.evaluation.units import unit_of_images
from ctprune.options.shared import CLASSES

Floats = npt.NDArray[np.float64]

DESIGNS = ((1, 5), (2, 3), (3, 3), (5, 1), (5, 3))
DEVIATIONS = (0.0, 0.02, 0.045)
IMAGES = (118, 500)

#: Of each class, where there are few, and how unequally images fall to them.
PATIENTS = (6, 10, 20)
SIZES = ("equal", "unequal", "one large")

#: The true difference whose detection is counted.
DIFFERENCE = 0.05

#: Mean AUC of the weaker way, and what fine-tunings of one backbone truly vary by.
AUC = 0.78
FINETUNING_DEVIATION = 0.02

#: Shares of the noise's variance: all models, one way, one backbone, one training.
SHARED, OF_WAY, OF_BACKBONE, OWN = 0.5, 0.1, 0.2, 0.2

IMAGES_PER_PATIENT = 2.5


@dataclass(frozen=True)
class Cell:
    """One line of the tables.

    Attributes:
        pretrainings: Of each way.
        finetunings: Of each pre-training.
        deviation: Standard deviation of the true AUC between pre-trainings.
        images: In the test set, half of each class.
        patients: Whether patients have several images.
        difference: Between the true mean AUCs of both ways.
    """

    pretrainings: int
    finetunings: int
    deviation: float
    images: int
    patients: bool
    difference: float

    @property
    def shared(self) -> float:
        """Share of the variance between pre-trainings that those of the same seed have in common."""
        return 0.0

    @property
    def seed(self) -> int:
        """The same for the same cell, whatever else is run."""
        return int.from_bytes(hashlib.sha256(repr(self).encode()).digest()[:8], "big")

    def draw_patients(self, random: np.random.Generator) -> tuple[npt.NDArray[np.int64], int]:
        """The patient of each image, and how many of the images, the first ones, are positive."""
        positives = self.images // 2
        if not self.patients:
            return np.arange(self.images), positives
        of_class = [_patients(count, random) for count in (positives, self.images - positives)]
        return np.r_[of_class[0], of_class[1] + self.images], positives


@dataclass(frozen=True)
class FewPatients(Cell):
    """A line with so many patients of each class, whatever number of images they have.

    Attributes:
        of_class: Patients of each class.
        sizes: Their images: `equal` (4 each), `unequal` (geometric, 4 in the mean), or `one large` (2 each, and
            one with as many as all others together).
    """

    of_class: int
    sizes: str

    def draw_patients(self, random: np.random.Generator) -> tuple[npt.NDArray[np.int64], int]:
        counts = [self._counts(random) for _ in range(2)]
        return np.repeat(np.arange(2 * self.of_class), np.concatenate(counts)), int(counts[0].sum())

    def _counts(self, random: np.random.Generator) -> npt.NDArray[np.int64]:
        if self.sizes == "unequal":
            return random.geometric(1 / 4, size=self.of_class)
        if self.sizes == "equal":
            return np.full(self.of_class, 4)
        return np.r_[2 * (self.of_class - 1), np.full(self.of_class - 1, 2)]


@dataclass(frozen=True)
class Trial:
    """One simulated comparison.

    Attributes:
        truth: (images,), whether positive.
        patients: Of each image; None where each image is a patient.
        scores: (2 × pre-trainings × fine-tunings, images).
        difference: The true one: of the ways, or of these two backbones where there is one of each.
    """

    truth: npt.NDArray[np.bool_]
    patients: list[str] | None
    scores: Floats
    difference: float


def run(settings: Settings, threads: int) -> dict[str, Any]:
    """Simulate all cells; those that are in the folder `settings.state` are not simulated again."""
    null = [_cell(cell, settings.repetitions, settings.state) for cell in cells(0.0)]
    few = [_cell(cell, settings.repetitions, settings.state) for cell in few_patients()]
    power = [_cell(cell, settings.repetitions // 2, settings.state) for cell in cells(DIFFERENCE)]
    return {
        "input": "simulated scores of two ways of pre-training",
        "about": (
            "Goal: without a true difference at most 5 % of the tests find one, and 93 to 97 % of the 95 % "
            "intervals hold the truth. *Pre-trainings × fine-tunings* are those of each of both ways; *SD* is the "
            "standard deviation of the true AUC between pre-trainings; with patients, these have 2.5 images in "
            f"the mean. True AUC {AUC}; fine-tunings of a backbone truly vary by an SD of {FINETUNING_DEVIATION}. "
            f"One comparison, {settings.repetitions:,} times per line ({settings.repetitions // 2:,} for power)."
        ),
        "tables": [_null_table(null, settings.repetitions), _few_table(few), _power_table(power)],
    }


def cells(difference: float) -> Iterator[Cell]:
    """All lines of a table."""
    for design, deviation, images, patients in itertools.product(DESIGNS, DEVIATIONS, IMAGES, (False, True)):
        yield Cell(*design, deviation, images, patients, difference)


def few_patients() -> Iterator[FewPatients]:
    """All lines of the table of few patients: of one backbone each, which differ in nothing, and of five."""
    for design, of_class, sizes in itertools.product(((1, 5), (5, 3)), PATIENTS, SIZES):
        yield FewPatients(*design, 0.0 if design[0] == 1 else 0.02, 0, True, 0.0, of_class, sizes)


def simulate(cell: Cell, repetitions: int) -> dict[str, float]:
    """Shares of the repetitions; see `outcome`."""
    random = np.random.default_rng(cell.seed)
    found = [outcome(cell, draw(cell, random)) for _ in range(repetitions)]
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def outcome(cell: Cell, trial: Trial) -> dict[str, float]:
    """What the package says of one trial: intervals, alarms, the word `better`."""
    covariance = auc_covariance(trial.truth, trial.scores, patients=trial.patients)
    unit = unit_of_images(trial.patients, len(trial.truth))
    worth = worth_of(trial.truth.astype(np.int64), unit)
    found = _difference(*covariance, cell.pretrainings, cell.finetunings, worth)
    # As if every fine-tuning were a pre-training of its own.
    flat = _difference(*covariance, 1, cell.pretrainings * cell.finetunings, worth)
    low, high = found.interval()
    p = found.p_value()
    finding = Finding(
        run="a",
        other="b",
        decisive=DECISIVE[CLASSES],
        value=found.value,
        low=low,
        high=high,
        corrected=p,
        detectable=found.detectable(),
        pretrainings=(cell.pretrainings, cell.pretrainings),
        patients=len(np.unique(unit[trial.truth])),
        patients_of="of class positive",
        unit="patient",
    )
    return {
        "held": low <= trial.difference <= high,
        "alarm": p < ALPHA,
        "right": p < ALPHA and found.value > 0,
        "better": finding.verdict in ("larger", "smaller"),
        "half_width": (high - low) / 2,
        "detectable": found.detectable(),
        "flat_alarm": flat.p_value() < ALPHA,
        "flat_held": flat.interval()[0] <= trial.difference <= flat.interval()[1],
    }


def draw(cell: Cell, random: np.random.Generator) -> Trial:
    """Simulate one comparison."""
    ways, backbones, trainings = 2, cell.pretrainings, cell.finetunings
    patient, positives = cell.draw_patients(random)
    images = len(patient)
    truth = np.arange(images) < positives
    unit = np.unique(patient, return_inverse=True)[1]

    def noise(variance: float, *shape: int) -> Floats:
        if not cell.patients:
            return math.sqrt(variance) * random.normal(size=(*shape, images))
        of_patients = random.normal(size=(*shape, int(unit.max()) + 1))[..., unit]
        return math.sqrt(variance / 2) * (of_patients + random.normal(size=(*shape, images)))

    # A score's noise has a variance of one, so the AUC of an effect d is Φ(d / √2); its slope there makes a
    # standard deviation of the effect from one of the AUC.
    slope = math.exp(-(ndtri(AUC) ** 2) / 2) / math.sqrt(2 * math.pi) / math.sqrt(2)
    between, within = cell.deviation / slope, FINETUNING_DEVIATION / slope
    spread = math.sqrt(2 + between**2 + within**2)
    means = spread * ndtri(np.array([AUC + cell.difference, AUC]))
    of_backbones = means[:, None] + between * math.sqrt(1 - cell.shared) * random.normal(size=(ways, backbones))
    of_seeds: Floats | float = 0.0
    if cell.shared:
        of_backbones += between * math.sqrt(cell.shared) * random.normal(size=backbones)
        of_seeds = noise(OF_BACKBONE * cell.shared, 1, backbones, 1)
    effect = of_backbones[:, :, None] + within * random.normal(size=(ways, backbones, trainings))
    scores = (
        effect[..., None] * truth
        + noise(SHARED, 1, 1, 1)
        + noise(OF_WAY, ways, 1, 1)
        + of_seeds
        + noise(OF_BACKBONE * (1 - cell.shared), ways, backbones, 1)
        + noise(OWN, ways, backbones, trainings)
    )
    areas = ndtr(of_backbones / math.sqrt(2 + within**2))
    return Trial(
        truth=truth,
        patients=[str(one) for one in patient] if cell.patients else None,
        scores=scores.reshape(-1, images),
        difference=float(areas[0, 0] - areas[1, 0]) if backbones == 1 else cell.difference,
    )


def _patients(images: int, random: np.random.Generator) -> npt.NDArray[np.int64]:
    sizes = random.geometric(1 / IMAGES_PER_PATIENT, size=images)
    return np.repeat(np.arange(images), sizes)[:images]


def _difference(areas: Floats, covariance: Floats, pretrainings: int, finetunings: int, worth: float) -> Estimate:
    one = levels_of_one(pretrainings, finetunings).weights
    half = one.shape[1]
    first, second = slice(None, half), slice(half, None)
    return difference_estimate(
        one @ areas[first],
        one @ areas[second],
        one @ covariance[first, first] @ one.T,
        one @ covariance[second, second] @ one.T,
        one @ covariance[first, second] @ one.T,
        image_freedom=worth - 1,
    )


def levels_of_one(pretrainings: int, finetunings: int) -> Levels:
    """As `levels_of` finds them where no two predictions are identical."""
    weights = np.kron(np.eye(pretrainings), np.full((1, finetunings), 1 / finetunings))
    return Levels((finetunings,) * pretrainings, weights if pretrainings > 1 else np.eye(finetunings))


def _cell(cell: Cell, repetitions: int, state: str) -> dict[str, Any]:
    kept = Path(state) / f"calibration-{repetitions}-{cell.seed:016x}.json" if state else None
    if kept is not None and kept.is_file():
        found = json.loads(kept.read_text())
    else:
        found = asdict(cell) | simulate(cell, repetitions)
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(found))
    print(f"  {cell}: alarms {found['alarm']:.3f}, held {found['held']:.3f}", file=sys.stderr, flush=True)
    return dict(found)


_HEADER = ["pre-trainings × fine-tunings", "SD", "images", "patients"]


def _null_table(found: list[dict[str, Any]], repetitions: int) -> Table:
    doubt = math.sqrt(0.05 * 0.95 / repetitions)
    table = Table(
        "No true difference",
        [*_HEADER, "tests below 0.05", "called “better”", "interval holds the truth", "half its width",
         "fine-tunings counted as pre-trainings: below 0.05", "… holds the truth"],
        raw=found,
        notes=[
            f"A share of 5 % has a standard error of {100 * doubt:.1f} points.",
            "1 × 5: interval and test speak of these two backbones. Where SD is not 0 these truly differ, so that "
            "a test below 0.05 is no false alarm; “better” is never said of one pre-training, and of fewer than "
            f"{LEAST_PRETRAININGS} neither.",
            "The last two columns show what it costs to count fine-tunings as pre-trainings.",
        ],
    )  # fmt: skip
    table.rows = [
        [
            *_name(one),
            _percent(one["alarm"]),
            _percent(one["better"]),
            _percent(one["held"]),
            f"{one['half_width']:.3f}",
            *([_percent(one["flat_alarm"]), _percent(one["flat_held"])] if _counts_twice(one) else ["–", "–"]),
        ]
        for one in found
    ]
    return table


def _few_table(found: list[dict[str, Any]]) -> Table:
    table = Table(
        "No true difference, few patients",
        ["pre-trainings × fine-tunings", "SD", "patients of each class", "images of each", "test below 0.05",
         "called “better”", "interval holds the truth", "half its width"],
        raw=found,
        notes=[
            "*Equal*: 4 images each; *unequal*: geometric, 4 in the mean; *one large*: 2 each, and one patient "
            "with as many as all others together. "
            f"From {LEAST_PATIENTS} patients of each class on there is a verdict.",
        ],
    )  # fmt: skip
    table.rows = [
        [
            f"{one['pretrainings']} × {one['finetunings']}",
            f"{one['deviation']:g}",
            str(one["of_class"]),
            one["sizes"],
            _percent(one["alarm"]),
            _percent(one["better"]),
            _percent(one["held"]),
            f"{one['half_width']:.3f}",
        ]
        for one in found
    ]
    return table


def _power_table(found: list[dict[str, Any]]) -> Table:
    table = Table(
        f"A true difference of {DIFFERENCE}",
        [*_HEADER, "test below 0.05", "called “better”", "interval holds the truth", "smallest shown, as stated"],
        raw=found,
        notes=[
            "*Smallest shown* is the mean of what the page gives as the difference that would have been shown "
            "with a chance of 80 %.",
            "1 × 5: the test is of these two backbones, whose difference varies about the true one.",
        ],
    )  # fmt: skip
    table.rows = [
        [
            *_name(one),
            _percent(one["right"]),
            _percent(one["better"]),
            _percent(one["held"]),
            f"{one['detectable']:.3f}",
        ]
        for one in found
    ]
    return table


def _counts_twice(one: dict[str, Any]) -> bool:
    """Whether there is anything to mistake: several fine-tunings of several pre-trainings."""
    return bool(one["pretrainings"] > 1 and one["finetunings"] > 1)


def _name(one: dict[str, Any]) -> list[str]:
    return [
        f"{one['pretrainings']} × {one['finetunings']}",
        f"{one['deviation']:g}",
        str(one["images"]),
        "yes" if one["patients"] else "no",
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
