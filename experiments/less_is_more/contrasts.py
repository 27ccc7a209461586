"""The planned contrasts: what is asked of each method, as weights of its arms, and what the results answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from experiments.less_is_more.archives import DOSES_MM, MIXED
from experiments.less_is_more.by_seed import common_seeds, estimates_by_seed
from experiments.less_is_more.trained import NOTHING, Cell, Trained

from ctprune.comparison.result import measure_results, merge_pretrainings
from ctprune.comparison.verdict import ALPHA
from ctprune.evaluation.correction import decision_levels, holm
from ctprune.evaluation.estimate import Estimate
from ctprune.evaluation.measured import Measured

#: Difference in AUC that is too small to matter.
MARGIN = 0.01

#: Arms that all archives and methods have.
_EVERYWHERE = ("all", "hash", "random", "every-n", "kcenter")

#: Archives in which all slices also take as many epochs as the hash, by method.
_EPOCHS = {"swav": ("mm2", "mm05"), "mocov2": ("mm2",), "dino": ("mm2",)}

#: The archive in which the hash also takes as many steps as those epochs have, and the method.
_LONGER = ("swav", "mm2")

#: Where neighboring slices are near-duplicates.
REDUNDANT = ("mm2", "mm1", "mm05")

_RESAMPLES = 100


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """A planned question.

    Attributes:
        name: Short name, as in the plan.
        question: What is asked.
        weights: Weight of the mean AUC of each cell; they sum to 0.
        has_margin: Whether it is a difference in AUC, for which the margin of equivalence has a meaning.
    """

    name: str
    question: str
    weights: dict[Cell, float]
    has_margin: bool = True


@dataclass(frozen=True, kw_only=True)
class Family:
    """Contrasts of one method that are corrected together.

    Attributes:
        heading: What they have in common, in words; empty for the first of a method.
        contrasts: The questions.
        cells: All that the plan pre-trains for them: a look waits for each.
        looks: Numbers of pre-trainings of each cell at which verdicts are given.
        first_seed: The lowest seed that counts: those below have had their verdict.
    """

    heading: str
    contrasts: list[Contrast]
    cells: list[Cell]
    looks: tuple[int, ...]
    first_seed: int = 0

    @property
    def level(self) -> float:
        """Chance of a false alarm over all contrasts in one look: each look has its share."""
        return ALPHA / len(self.looks)

    def seeds(self, trained: Sequence[Trained]) -> list[int]:
        """The seeds of pre-training that all cells have and that count, rising."""
        return [seed for seed in common_seeds(trained, self.cells) if seed >= self.first_seed]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the results say of a contrast.

    Attributes:
        contrast: The question.
        level: Level that corrected p-values are compared with.
        estimate: The contrast's value with its error; None before the first look: a value without the noise of
            pre-training would look surer than it is.
        pretrainings: The number of seeds that count and that all its cells have.
        low: Lower end of the interval at the level that the correction leaves.
        high: Upper end.
        corrected: Corrected p of no difference.
        independent: The same if arms of one seed were independent, as first planned; decides nothing.
        equivalence: Corrected p of both one-sided tests; nan without a margin.
        detectable: The smallest value that would have been shown with a chance of 80 %.
    """

    contrast: Contrast
    level: float
    estimate: Estimate | None
    pretrainings: int
    low: float = math.nan
    high: float = math.nan
    corrected: float = math.nan
    independent: float = math.nan
    equivalence: float = math.nan
    detectable: float = math.nan

    @property
    def verdict(self) -> str:
        """`larger`, `smaller`, `equivalent`, `unanswered`, or `unfinished` where pre-trainings are missing."""
        if self.estimate is None:
            return "unfinished"
        shown = self.corrected < self.level
        # A difference may be shown and nevertheless be too small to matter.
        if self.equivalence < self.level:
            return "equivalent"
        if shown:
            return "larger" if self.estimate.value > 0 else "smaller"
        return "unanswered"


def planned(method: str) -> list[Family]:
    """What the plan asks of a method; Holm's correction is for all contrasts of a family."""
    families = [Family(heading="", contrasts=_redundancy(method), cells=_cells(method), looks=(5, 10))]
    if method == _LONGER[0]:
        source = _LONGER[1]
        longer = Contrast(
            name="longer",
            question=f"hash − all at equal steps, as many as all slices take at equal epochs, at {_in_mm(source)}",
            weights=_mean_difference("hash-longer", "all-epochs", (source,)),
        )
        of_longer = partial(Family, cells=list(longer.weights), looks=(5,))
        again = replace(longer, name="longer-again")
        families.append(of_longer(heading="Longer trainings", contrasts=[longer]))
        families.append(of_longer(heading="Longer trainings, five new seeds", contrasts=[again], first_seed=5))
    return families


def _redundancy(method: str) -> list[Contrast]:
    doses, all_sources, long = tuple(DOSES_MM), (*DOSES_MM, MIXED), _EPOCHS[method]
    return [
        Contrast(
            name="steps",
            question="hash − all at equal steps, mean over the redundant doses (2, 1, 0.5 mm)",
            weights=_mean_difference("hash", "all", REDUNDANT),
        ),
        Contrast(
            name="mixed",
            question="hash − all at equal steps, where patients differ in redundancy (mixed)",
            weights=_mean_difference("hash", "all", (MIXED,)),
        ),
        Contrast(
            name="dose",
            question="hash − all at equal steps, slope per doubling of the slices (10 to 0.5 mm)",
            weights=_slope("hash", "all", doses),
            has_margin=False,
        ),
        Contrast(
            name="epochs",
            question=f"hash − all at equal epochs, {'mean of 2 and 0.5 mm' if len(long) > 1 else 'at 2 mm'}",
            weights=_mean_difference("hash", "all-epochs", long),
        ),
        Contrast(
            name="random",
            question="hash − as many random slices, mean over all archives",
            weights=_mean_difference("hash", "random", all_sources),
        ),
        Contrast(
            name="every-n",
            question="hash − about as many by every n-th slice, mean over the redundant doses and mixed",
            weights=_mean_difference("hash", "every-n", (*REDUNDANT, MIXED)),
        ),
        Contrast(
            name="kcenter",
            question="hash − as many by k-center, mean over all archives",
            weights=_mean_difference("hash", "kcenter", all_sources),
        ),
    ]


def look_reached(trained: Sequence[Trained], family: Family) -> int | None:
    """The last look that all cells of a family have reached; None before the first."""
    fewest = len(family.seeds(trained))
    return max((look for look in family.looks if fewest >= look), default=None)


def looked_at(trained: Sequence[Trained], family: Family) -> list[Trained]:
    """The pre-trainings of one method that the present look counts: the first five, or ten, seeds of all cells.

    What exceeds the last look that all cells have reached waits for the next; before the first all are taken, for
    a view without verdicts. Networks without pre-training always count.
    """
    reached = look_reached(trained, family)
    return list(trained) if reached is None else first_seeds(trained, family, reached)


def first_seeds(trained: Sequence[Trained], family: Family, look: int) -> list[Trained]:
    """What the look at so many pre-trainings counts, by rising seed."""
    counted = family.seeds(trained)[:look]
    chosen = [one for one in trained if one.method == NOTHING or one.seed in counted]
    return sorted(chosen, key=lambda one: one.seed)


def measured_cells(trained: Sequence[Trained]) -> tuple[dict[Cell, int], Measured]:
    """The AUC of every cell of one method with all that intervals need, and each cell's place in it."""
    cells: dict[Cell, list[Trained]] = {}
    for one in trained:
        cells.setdefault((one.source, one.arm), []).append(one)
    results = [merge_pretrainings([one.result for one in of_cell]) for of_cell in cells.values()]
    return {cell: index for index, cell in enumerate(cells)}, measure_results(results, resamples=_RESAMPLES)


def answers(
    family: Family,
    trained: Sequence[Trained],
    measured: tuple[dict[Cell, int], Measured] | None = None,
    *,
    margin: float = MARGIN,
) -> list[Answer]:
    """Test all contrasts of a family, each at the level that Holm's correction leaves it.

    Args:
        family: Of the plan.
        trained: Pre-trainings of the method, up to a look.
        measured: What `measured_cells` gives of them; without it, answers have no `independent`.
        margin: Difference in AUC that is too small to matter.
    """
    contrasts = family.contrasts
    counted = [one for one in trained if one.seed >= family.first_seed]
    fewest = [len(common_seeds(counted, contrast.weights)) for contrast in contrasts]
    if look_reached(trained, family) is None:
        return [
            Answer(contrast=contrast, level=family.level, estimate=None, pretrainings=number)
            for contrast, number in zip(contrasts, fewest, strict=True)
        ]
    estimates = estimates_by_seed(trained, [contrast.weights for contrast in contrasts])
    p_values = [one.p_value() for one in estimates]
    equal = [
        one.equivalence_p_value(margin) if contrast.has_margin else math.nan
        for contrast, one in zip(contrasts, estimates, strict=True)
    ]
    corrected, equivalence = holm(p_values), holm(equal)
    independent = holm(_p_values_if_independent(contrasts, *measured) if measured else [math.nan] * len(estimates))
    levels = decision_levels(p_values, "holm", alpha=family.level)
    collected = []
    for index, (contrast, estimate) in enumerate(zip(contrasts, estimates, strict=True)):
        low, high = estimate.interval(float(levels[index]))
        collected.append(
            Answer(
                contrast=contrast,
                level=family.level,
                estimate=estimate,
                pretrainings=fewest[index],
                low=low,
                high=high,
                corrected=float(corrected[index]),
                independent=float(independent[index]),
                equivalence=float(equivalence[index]),
                detectable=estimate.detectable(float(levels[index])),
            )
        )
    return collected


def _p_values_if_independent(
    contrasts: Sequence[Contrast], cells: dict[Cell, int], found: Measured
) -> list[float]:
    return [
        found.combination({cells[cell]: weight for cell, weight in contrast.weights.items()}, "auc").p_value()
        for contrast in contrasts
    ]


def of_all_seeds(family: Family, trained: Sequence[Trained]) -> tuple[int, Estimate] | None:
    """The value of a family's only contrast over all seeds, those of earlier looks too: exploration.

    Returns:
        The number of seeds and the value; None where the family counts all seeds anyway, or has had no look.
    """
    if not family.first_seed or look_reached(trained, family) is None:
        return None
    [contrast] = family.contrasts
    return len(common_seeds(trained, contrast.weights)), estimates_by_seed(trained, [contrast.weights])[0]


def gain_over_nothing(trained: Sequence[Trained], *, least: int) -> Estimate | None:
    """How much the mean of all arms at equal steps exceeds random weights of the same seeds: exploration.

    None with fewer common seeds than `least`.
    """
    nothing = (NOTHING, NOTHING)
    weights = dict.fromkeys(_equal_steps(), 1 / len(_equal_steps())) | {nothing: -1.0}
    if len(common_seeds(trained, weights)) < least:
        return None
    return estimates_by_seed(trained, [weights])[0]


def _equal_steps() -> list[Cell]:
    return [(source, arm) for source in (*DOSES_MM, MIXED) for arm in _EVERYWHERE]


def _cells(method: str) -> list[Cell]:
    """What the plan pre-trains with a method."""
    return [*_equal_steps(), *((source, "all-epochs") for source in _EPOCHS[method])]


def _in_mm(source: str) -> str:
    return f"{DOSES_MM[source]:g} mm"


def _mean_difference(arm: str, other: str, sources: Sequence[str]) -> dict[Cell, float]:
    share = 1 / len(sources)
    return {(source, name): sign * share for source in sources for name, sign in ((arm, 1), (other, -1))}


def _slope(arm: str, other: str, sources: Sequence[str]) -> dict[Cell, float]:
    """Of a straight line through the differences, over the logarithm to base 2 of slices per mm."""
    at = [-math.log2(DOSES_MM[source]) for source in sources]
    mean = sum(at) / len(at)
    squares = sum((x - mean) ** 2 for x in at)
    return {
        (source, name): sign * (x - mean) / squares
        for source, x in zip(sources, at, strict=True)
        for name, sign in ((arm, 1), (other, -1))
    }
