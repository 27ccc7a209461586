"""The model card of a segmentation, in plain Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ctprune import _core
from ctprune.files.atomic import replace_file
from ctprune.finetuning.overlaps import overlap_sentences
from ctprune.finetuning.words import interval, number, origin, sentence_case
from ctprune.segmenting.result import PATIENTS_NAME, Pooled, SegmentResult

_NAMES = {"dice": "Dice", "volumetric_similarity": "volumetric similarity"}

_MODES = {
    "finetune": "all weights trained",
    "frozen": "a frozen backbone (BatchNorm layers keep their statistics)",
}

#: The convention for masks without a voxel, in one sentence.
EMPTY = (
    "Where neither a patient's mask nor the prediction has a voxel of a class, its Dice is not defined and counts "
    "in no mean; where only the mask has none, it is 0."
)


def write_card(result: SegmentResult) -> None:
    """Write `README.md` into the result's folder.

    Raises:
        OutputError: It cannot be written.
    """
    parts = [_model(result), _results(result), _data(result), _use()]
    with replace_file(result.out / "README.md") as beside:
        beside.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def measure_name(name: str) -> str:
    """A measure as it is written.

    >>> measure_name("dice")
    'Dice'
    """
    return _NAMES[name]


def counted(counts: Mapping[str, int]) -> str:
    """Patients, volumes and slices as text.

    >>> counted({"patients": 1, "volumes": 2, "slices": 30})
    '1 patient, 2 volumes, 30 slices'
    """
    return ", ".join(f"{count:,} {name[:-1] if count == 1 else name}" for name, count in counts.items())


def rows_of(result: SegmentResult) -> list[tuple[str, str, Mapping[str, float | None]]]:
    """Class, measure and values of each row of a table of results: the means over classes first."""
    whole = [("all classes", result.pooled)] if len(result.classes) > 1 else []
    groups: list[tuple[str, Pooled]] = [*whole, *result.by_class.items()]
    return [(name, measure, values) for name, pooled in groups for measure, values in pooled.items()]


def _model(result: SegmentResult) -> str:
    config = result.config
    return "\n".join(
        [
            f"# Segmentation of {', '.join(result.classes)}",
            "",
            f"A small U-Net on {result.backbone} from {origin(result.weights)}: {_MODES[config['mode']]}. Seeds: "
            f"{len(result.per_seed)}. Made by ctprune {_core.__version__} in {result.seconds:,.0f} s on "
            f"{'a GPU' if result.device == 'cuda' else 'a CPU'}.",
            "",
            f"Cross-entropy and soft Dice, AdamW, learning rate {config['learning_rate']:g} falling to 0 as a "
            f"cosine, weight decay {config['weight_decay']:g}, batch {config['batch_size']}, {config['epochs']} "
            f"epochs; single slices of {config['side']} × {config['side']} pixels"
            f"{', horizontal flips' if config['flip'] else ''}. The epoch with the best Dice on "
            f"`{result.selection_split}` was taken.",
        ]
    )


def _results(result: SegmentResult) -> str:
    sure = f"no 95 % interval ({result.no_interval})" if result.no_interval else "the 95 % interval (by patient)"
    lines = [
        "## Results",
        "",
        f"{sentence_case(result.evaluation)}. {sentence_case(result.evaluated_split)}: "
        f"{counted(result.splits[result.evaluated_split])}. Means over patients, each over all slices at the "
        f"masks' own resolution; mean and standard deviation over the seeds, and {sure}. {EMPTY}",
        "",
        "| class | measure | mean | std | 95 % interval |",
        "|---|---|---|---|---|",
        *(
            f"| {name} | {measure_name(measure)} | {number(one['mean'])} | {number(one['std'])} | "
            f"{interval(one)} |"
            for name, measure, one in rows_of(result)
        ),
    ]
    if len(result.per_seed) > 1:
        together: Any = result.ensemble["pooled"]["dice"]["mean"]
        lines += ["", f"The mean of the seeds' probabilities has a Dice of {number(together)}."]
    return "\n".join([*lines, "", f"Values of each patient are in `{PATIENTS_NAME}`."])


def _data(result: SegmentResult) -> str:
    labels = ", ".join(f"{label} {name}" for label, name in zip(result.labels, result.classes, strict=True))
    lines = [
        "## Data",
        "",
        *(f"- {split}: {counted(counts)}" for split, counts in result.splits.items()),
        "",
        f"Labels: {labels}. Digest of the data: `{result.data_digest}`.",
    ]
    lines += [line for note in result.notes for line in ("", f"{sentence_case(note)}.")]
    shared = overlap_sentences(result.overlaps)
    if shared:
        lines += ["", f"Splits overlap: {'; '.join(shared)}."]
    return "\n".join(lines)


def _use() -> str:
    return "## Use\n\nA research result, not a medical device: it must not guide the care of any patient."
