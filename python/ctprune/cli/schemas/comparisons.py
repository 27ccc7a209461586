"""Output of the commands that compare results."""

from __future__ import annotations

from ctprune.cli.schemas.parts import (
    Schema,
    anything,
    array,
    count,
    fields_of,
    flag,
    mapping,
    maybe,
    number,
    optional,
    record,
    share,
    text,
    whole,
)
from ctprune.comparison.comparison import Measure
from ctprune.comparison.decisive import DECISIVE
from ctprune.comparison.pairs import Pair
from ctprune.evaluation.correction import CORRECTIONS
from ctprune.experiment.run import DONE, FAILED, FOUND, RUNNING, WAITING
from ctprune.options.shared import TARGETS


def compare() -> Schema:
    """A comparison, as in `comparison.json`."""
    return record(
        "The comparison.",
        comparison_version=count("Version of the layout of `comparison.json`."),
        ctprune_version=text("Version of ctprune."),
        target=text("What labels are, as in `finetune`.", *TARGETS),
        decisive=text("Name of the measure that decides.", *sorted({one.metric for one in DECISIVE.values()})),
        classes=array("Names of the classes, labels or levels; none of numbers.", {"type": "string"}),
        positive=maybe(text("The positive one of two classes; null for others.")),
        evaluated_split=text("The split on which the results are compared."),
        each=text("What was predicted.", "image", "volume", "patient"),
        images=count("Number of images, or of what else was predicted."),
        images_by_class=mapping("The same by class or level, or with each label.", count("Number of them.")),
        patients=maybe(count("Number of patients; null if not all are known.")),
        unit=text("Unit that was resampled.", "image", "volume", "patient"),
        resamples=count("Number of bootstrap resamples."),
        seed=whole("Random seed of the bootstrap."),
        pair_seeds=flag("Whether pre-trainings of the same seed were to be compared with each other."),
        correction=text("Correction for multiple comparisons.", *CORRECTIONS),
        alpha=share("Level of all decisions."),
        margin=maybe(number("Margin of equivalence, in the measure that decides; null if none was given.")),
        least_pretrainings=count(
            "Fewest pre-trainings of each model for a verdict about the kind of pre-training."
        ),
        least_patients=count(
            "Fewest patients of each class, with and without each label, or of all, for a verdict."
        ),
        runs=array("The results, in the order given.", _result()),
        pairs=array("The pairs that were compared.", record("A pair.", **fields_of(Pair, undefined=True))),
        notes=array("Caveats that the reader must know, in sentences.", {"type": "string"}),
    )


def _result() -> Schema:
    """A result of the comparison."""
    return record(
        "A result.",
        name=text("Name of the result in the comparison."),
        path=text("Its folder, as it was given."),
        config=anything("Options of the fine-tuning, as in its `metrics.json`."),
        weights=maybe(anything("Metadata of the file of weights; null for random weights.")),
        slices=maybe(count("Number of slices of the pre-training; 0 without one, null if unknown.")),
        pretraining_seconds=maybe(number("Time of the pre-training in seconds; null if unknown.")),
        seconds=maybe(number("Time of the fine-tuning in seconds; null if unknown.")),
        seeds=array("Seed of each training.", {"type": "integer"}),
        pretrainings=count("Number of pre-trainings; those with the same predictions count once."),
        finetunings=array("Number of fine-tunings of each pre-training.", {"type": "integer"}),
        metrics=mapping("Measures by name.", record("A measure.", **fields_of(Measure, undefined=True))),
        averaged_auc=maybe(
            array(
                "AUC of predictions averaged over trainings, then both ends of DeLong's 95 % interval; null if "
                "labels are not one of two classes.",
                {"type": ["number", "null"]},
                3,
            )
        ),
    )


def _steps() -> Schema:
    return array(
        "The steps, in order.",
        record(
            "A step.",
            number=count("Number of the step, from 1."),
            name=text("Name of the step."),
            kind=text("What it does, such as `reduce`."),
            state=text(
                "Its state; a step `done before` already has its result.", WAITING, RUNNING, DONE, FOUND, FAILED
            ),
            needs=array("Numbers of the steps that must be done before.", {"type": "integer"}),
            folder=text("Folder of its result."),
            seconds=maybe(number("Its time in seconds; null if unknown.")),
            result=text("Its result, in words; empty before it is done."),
        ),
    )


def experiment() -> Schema:
    """A finished experiment."""
    return record(
        "The experiment.",
        steps=_steps(),
        tasks=mapping("The comparison of each task, by the task's name.", compare()),
        page=text("File of the page that compares all results."),
    )


def steps() -> Schema:
    """Steps of an experiment that has not run completely."""
    return record(
        "The steps.",
        steps=_steps(),
        arrays=optional(
            array(
                "With --list: numbers of steps that can run at the same time, such as `2-3`.", {"type": "string"}
            )
        ),
    )
