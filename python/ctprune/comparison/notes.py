"""Notes on what weakens a comparison, to read before quoting it."""

from __future__ import annotations

from collections.abc import Sequence

from ctprune.comparison.pairs import Pair
from ctprune.comparison.result import Result, fine_tuning_of
from ctprune.comparison.verdict import LEAST_PRETRAININGS
from ctprune.evaluation.measured import Measured
from ctprune.evaluation.metrics import undefined_because
from ctprune.options.shared import CLASSES, MULTI_LABEL


def notes_on(
    results: Sequence[Result], found: Measured, *, explored: int, pairs: Sequence[Pair] = ()
) -> list[str]:
    """All notes that apply, the most serious first.

    Args:
        results: Results that are compared.
        found: Measures of the results.
        explored: Number of pairs if all were compared; 0 if they were planned.
        pairs: All pairs, if pre-trainings of the same seed were to be compared with each other.
    """
    notes = _on_labels(results[0])
    if found.no_interval is not None:
        notes.append(f"{found.no_interval}; nothing was tested.")
    if found.unit != "patient":
        notes.append(
            f"Patients are not known, so {found.unit}s count as independent: if a patient has several, the "
            "intervals are too narrow."
        )
    notes += [*_on_trainings(results, found), *_on_options(results, found), *_on_seeds(pairs)]
    if explored > 1:
        notes.append(
            f"All {explored} pairs were compared, which suits exploration only: fewer comparisons, planned as "
            "contrasts, can show smaller differences."
        )
    return notes


def _on_labels(result: Result) -> list[str]:
    if result.target == CLASSES:
        return undefined_because(result.labels, result.classes)
    if result.target != MULTI_LABEL:
        return []
    counts = (result.labels > 0).sum(axis=0).tolist()
    return [
        f"{'all' if count else 'no'} {result.unit}s have label {name!r}: it is left out of the means over labels"
        for name, count in zip(result.classes, counts, strict=True)
        if count in (0, len(result.labels))
    ]


def _on_trainings(results: Sequence[Result], found: Measured) -> list[str]:
    notes = []
    single = [
        result.name for result, levels in zip(results, found.levels, strict=True) if levels.pretrainings == 1
    ]
    if single:
        notes.append(
            f"Only one backbone for {', '.join(single)}: the results hold for that backbone, not for its kind "
            "of pre-training, because another seed gives another backbone. Results of "
            f"{LEAST_PRETRAININGS} pre-trainings with different seeds describe the kind."
        )
    few = [
        f"{result.name} ({levels.pretrainings}; {LEAST_PRETRAININGS - levels.pretrainings} more needed)"
        for result, levels in zip(results, found.levels, strict=True)
        if 1 < levels.pretrainings < LEAST_PRETRAININGS
    ]
    if few:
        notes.append(
            f"Fewer than {LEAST_PRETRAININGS} pre-trainings of {', '.join(few)}: intervals are wide, and no "
            f"verdict can be “better” or “equivalent”."
        )
    same = [
        result.name
        for result, levels in zip(results, found.levels, strict=True)
        if len(result.seeds) > sum(levels.finetunings)
    ]
    if same:
        notes.append(f"Some trainings of {', '.join(same)} gave the same predictions: they count once.")
    still = [result.name for result, levels in zip(results, found.levels, strict=True) if not levels.varies]
    if still:
        notes.append(
            f"Only one training for {', '.join(still)}: the variation between trainings is not known, and the "
            "noise is larger than the intervals show."
        )
    return notes


def _on_seeds(pairs: Sequence[Pair]) -> list[str]:
    if not pairs:
        return []
    apart = [f"{pair.run} and {pair.other}" for pair in pairs if not pair.paired]
    but = f" (not for {'; '.join(apart)}: a single backbone has no other seed)" if apart else ""
    return [
        "Pre-trainings of the same seed were compared with each other, so the training noise is how much their "
        f"difference varies between seeds{but}. This must have been planned before the results were known."
    ]


def _on_options(results: Sequence[Result], found: Measured) -> list[str]:
    first, notes = results[0], []
    if any(result.selection_split == result.split for result in results):
        notes.append(
            f"The split {first.split!r} also chose the epoch before it was evaluated: all values are "
            "optimistic. Confirm them on a separate test set."
        )
    elif first.split != "test":
        notes.append(
            f"Measured on the split {first.split!r}, not on a test set: if you tuned on this split, these values "
            "are optimistic."
        )
    if len({str(sorted(fine_tuning_of(result).items())) for result in results}) > 1:
        notes.append(
            "The results were not fine-tuned with the same options: differences may be due to the options."
        )
    undefined = found.undefined[first.decisive.metric]
    if undefined:
        why = "a class had no image" if first.target == CLASSES else f"the {first.decisive.title} was not defined"
        notes.append(f"In {undefined:,} of {found.resamples:,} resamples {why}: these were left out.")
    return notes
