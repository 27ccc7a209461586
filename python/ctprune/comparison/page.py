"""One self-contained HTML page of one or several comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ctprune import _core
from ctprune.comparison import figures
from ctprune.comparison.comparison import Comparison
from ctprune.comparison.tables import (
    TRAININGS,
    best_of,
    count_text,
    delong_text,
    detectable_text,
    difference_text,
    measure_text,
    spread_text,
    title_of,
    verdict_text,
)
from ctprune.comparison.verdict import ALPHA, LEAST_PATIENTS, LEAST_PRETRAININGS, SHOWN, p_text
from ctprune.files.atomic import replace_file
from ctprune.finetuning.target_words import count_word, target_sentence
from ctprune.finetuning.words import sentence_case
from ctprune.options.shared import MULTI_LABEL
from ctprune.pages import environment_of, style_of

#: An additional table: heading, columns, rows.
Table = tuple[str, Sequence[str], Sequence[Sequence[str]]]


def write_page(
    file: Path,
    comparisons: Mapping[str, Comparison],
    *,
    title: str,
    tables: Sequence[Table] = (),
    notes: Sequence[str] = (),
) -> None:
    """Write the page: a section for each comparison, by its heading, then the tables.

    The page needs no other file, opens no connection, and holds no name of an image or patient.

    Raises:
        OutputError: The file cannot be written.
    """
    environment = environment_of("ctprune.comparison")
    environment.filters["p"] = p_text
    environment.filters["count"] = count_text
    environment.filters["measure"] = measure_text
    environment.filters["spread"] = spread_text
    environment.filters["title"] = title_of
    environment.globals["detectable"] = detectable_text
    environment.globals["verdict"] = verdict_text
    environment.globals["difference"] = difference_text
    template = environment.get_template("comparison.html")
    page = template.render(
        style=style_of("ctprune.comparison"),
        title=title,
        sections=[
            _section(number, heading, comparison)
            for number, (heading, comparison) in enumerate(comparisons.items())
        ],
        tables=tables,
        notes=notes,
        alpha=ALPHA,
        least_pretrainings=LEAST_PRETRAININGS,
        least_patients=LEAST_PATIENTS,
        trainings=TRAININGS,
        version=_core.__version__,
    )
    with replace_file(file) as beside:
        beside.write_text(page, encoding="utf-8")


def _section(number: int, heading: str, comparison: Comparison) -> dict[str, Any]:
    name = f"figure-{number}"
    decisive = comparison.decisive
    title = sentence_case(decisive.title)
    colors = "" if len(comparison.results) <= figures.MOST_NAMED else " Colors are those of the table."
    over = "labels and " if comparison.results[0].target == MULTI_LABEL else ""
    drawn = [
        (
            figures.roc_figure(comparison, f"{name}-roc"),
            f"ROC curves: mean over {over}trainings, band from the lowest to the highest.{colors}",
        ),
        (
            figures.measure_figure(comparison, f"{name}-{decisive.metric}"),
            f"{title}: mean over trainings, 95 % interval.",
        ),
        (
            figures.difference_figure(comparison, f"{name}-difference"),
            "The interval that decides: if it crosses the dashed line, no difference is shown.",
        ),
        (
            figures.slices_figure(comparison, f"{name}-slices"),
            f"{title} against the number of pre-training slices.{colors}",
        ),
        (
            figures.time_figure(comparison, f"{name}-time"),
            f"{title} against the time of the pre-training.{colors}",
        ),
    ]
    return {
        "heading": heading,
        "comparison": comparison,
        "figures": [(svg, caption) for svg, caption in drawn if svg is not None],
        "best": {name: best_of(comparison, name) for name in comparison.metrics},
        "others": [name for name in comparison.metrics if name != decisive.metric],
        "about": target_sentence(comparison.results[0].target),
        "count_word": count_word(comparison.results[0].target),
        "has_delong": any(pair.delong for pair in comparison.pairs),
        "delong": [delong_text(pair) for pair in comparison.pairs],
        "lead": _lead(comparison),
    }


def _lead(comparison: Comparison) -> str:
    """A summary of the section in a sentence or two."""
    title = comparison.decisive.title
    verdicts = [pair.verdict for pair in comparison.pairs]
    count = len(verdicts)
    better = sum(one in ("larger", "smaller") for one in verdicts)
    shown = sum(one in SHOWN for one in verdicts)
    if all(one in ("few", "undefined", "unclear") for one in verdicts):
        return "This test set is too small for a verdict." if "few" in verdicts else "No difference can be tested."
    if count == 1:
        first = f"The difference in {title} is {'' if shown else 'not '}larger than the noise."
    elif not shown:
        first = f"No difference in {title} is larger than the noise."
    else:
        first = f"{shown} of {count} differences in {title} {'is' if shown == 1 else 'are'} larger than the noise."
    if shown and not better:
        return f"{first} There are too few pre-trainings to call a kind of pre-training better."
    return first
