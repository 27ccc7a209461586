"""One self-contained HTML page of one or several comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ctprune import _core
from ctprune.atomic import replace_file
from ctprune.comparison import figures
from ctprune.comparison.comparison import Comparison
from ctprune.comparison.tables import TITLES, VERDICTS, best_of, count_text, delong_text, measure_text
from ctprune.comparison.verdict import ALPHA, p_text, signed
from ctprune.evaluation.metrics import METRICS
from ctprune.pages import environment_of, style_of

#: A table beside the comparisons: heading, columns, rows.
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

    The page needs nothing beside itself, opens no connection, and holds no name of an image or of a patient.

    Raises:
        OutputError: The file cannot be written.
    """
    environment = environment_of("ctprune.comparison")
    environment.filters["p"] = p_text
    environment.filters["count"] = count_text
    environment.filters["measure"] = measure_text
    environment.filters["signed"] = signed
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
        metrics=METRICS,
        titles=TITLES,
        verdicts=VERDICTS,
        alpha=ALPHA,
        version=_core.__version__,
    )
    with replace_file(file) as beside:
        beside.write_text(page, encoding="utf-8")


def _section(number: int, heading: str, comparison: Comparison) -> dict[str, Any]:
    name = f"figure-{number}"
    drawn = [
        (
            figures.roc_figure(comparison, f"{name}-roc"),
            "ROC curves: mean over seeds, band from the lowest to the highest.",
        ),
        (figures.auc_figure(comparison, f"{name}-auc"), "AUC: mean over seeds, 95 % interval."),
        (
            figures.difference_figure(comparison, f"{name}-difference"),
            "An interval across the dashed line: no difference can be told.",
        ),
        (figures.slices_figure(comparison, f"{name}-slices"), "AUC against the slices that the pre-training saw."),
        (figures.time_figure(comparison, f"{name}-time"), "AUC against what the pre-training took."),
    ]
    return {
        "heading": heading,
        "comparison": comparison,
        "figures": [(svg, caption) for svg, caption in drawn if svg is not None],
        "best": {name: best_of(comparison, name) for name in METRICS},
        "delong": [delong_text(pair) for pair in comparison.pairs],
        "lead": _lead(comparison),
    }


def _lead(comparison: Comparison) -> str:
    """What the section comes to, in one sentence."""
    real = [pair for pair in comparison.pairs if pair.verdict in ("larger", "smaller")]
    count = len(comparison.pairs)
    if not real:
        return (
            "No difference in AUC is larger than the noise."
            if count > 1
            else "The difference in AUC is not larger than the noise."
        )
    if count == 1:
        return "The difference in AUC is larger than the noise."
    return f"{len(real)} of {count} differences in AUC {'is' if len(real) == 1 else 'are'} larger than the noise."
