"""The comparison as Markdown and LaTeX."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ctprune.comparison.comparison import Comparison, Measure, Pair
from ctprune.comparison.verdict import p_text, signed
from ctprune.evaluation.metrics import LOWER_IS_BETTER, METRICS

#: Headings of the columns.
TITLES = {
    "auc": "AUC",
    "average_precision": "Average precision",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "f1": "F1",
    "precision": "Precision",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "calibration_error": "Calibration error",
}

#: One word for each verdict.
VERDICTS = {
    "larger": "better",
    "smaller": "worse",
    "noise": "within the noise",
    "unclear": "unclear",
    "undefined": "not defined",
}

_TEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": "$<$",
        "−": "$-$",
        "±": r"$\pm$",
    }
)


def measure_text(measure: Measure) -> str:
    """Mean and interval.

    >>> measure_text(Measure(mean=0.8, std=0.01, low=0.75, high=0.85))
    '0.800 [0.750, 0.850]'
    """
    if math.isnan(measure.mean):
        return "–"
    return f"{measure.mean:.3f} [{measure.low:.3f}, {measure.high:.3f}]"


def best_of(comparison: Comparison, metric: str) -> int | None:
    """Which result has the best mean; None where it is not defined."""
    means = [measures[metric].mean for measures in comparison.measures]
    if any(math.isnan(mean) for mean in means):
        return None
    return means.index(min(means) if metric in LOWER_IS_BETTER else max(means))


def count_text(count: float | None) -> str:
    """A whole number with commas, or a dash."""
    return "–" if count is None else f"{count:,.0f}"


def delong_text(pair: Pair) -> str:
    """DeLong's corrected p-values, with the class where there are several."""
    if len(pair.delong) == 1:
        return "p " + p_text(pair.delong[0].corrected)
    return "; ".join(f"{test.positive}: p {p_text(test.corrected)}" for test in pair.delong) or "–"


def markdown(comparison: Comparison) -> str:
    """Two tables and the notes: measures of each result, differences of each pair."""
    parts = [
        _markdown_table(_heading(), _rows(comparison, bold="**")),
        f"Mean over seeds with its 95 % interval ({_how(comparison)}); bold: the best mean, whether or not the "
        "difference is larger than the noise.",
        _markdown_table(_PAIR_HEADING, _pair_rows(comparison)),
        "\n".join(f"- {pair.sentence}" for pair in comparison.pairs),
    ]
    if comparison.notes:
        parts.append("\n".join(f"> {note}" for note in comparison.notes))
    return "\n\n".join(parts) + "\n"


def latex(comparison: Comparison) -> str:
    """The same two tables for LaTeX with the package booktabs."""
    return (
        "% needs \\usepackage{booktabs}\n"
        + _latex_table(_heading(), _rows(comparison, bold=""))
        + "\n% "
        + f"mean over seeds with its 95 percent interval ({_how(comparison)})\n\n"
        + _latex_table(_PAIR_HEADING, _pair_rows(comparison))
    )


_PAIR_HEADING = (
    "Result",
    "less",
    "Difference in AUC",
    "Corrected p (bootstrap)",
    "Corrected p (DeLong)",
    "Difference in accuracy",
    "The first is",
)


def _heading() -> tuple[str, ...]:
    return ("Result", "Slices", "Pre-training, s", "Seeds", *(TITLES[name] for name in METRICS))


def _rows(comparison: Comparison, *, bold: str) -> list[list[str]]:
    best = {name: best_of(comparison, name) for name in METRICS}
    rows = []
    for index, (result, measures) in enumerate(zip(comparison.results, comparison.measures, strict=True)):
        marks = {name: bold if best[name] == index else "" for name in METRICS}
        cells = [f"{marks[name]}{measure_text(measures[name])}{marks[name]}" for name in METRICS]
        counts = [count_text(result.slices), count_text(result.pretraining_seconds), str(len(result.seeds))]
        rows.append([result.name, *counts, *cells])
    return rows


def _pair_rows(comparison: Comparison) -> list[list[str]]:
    return [
        [
            pair.run,
            pair.other,
            _difference(pair, "auc"),
            p_text(pair.corrected).removeprefix("= "),
            delong_text(pair).replace("p = ", "").replace("p <", "<"),
            _difference(pair, "accuracy"),
            VERDICTS[pair.verdict],
        ]
        for pair in comparison.pairs
    ]


def _difference(pair: Pair, metric: str) -> str:
    found = pair.differences[metric]
    if math.isnan(found.value):
        return "–"
    return f"{signed(found.value)} [{signed(found.low)}, {signed(found.high)}]"


def _how(comparison: Comparison) -> str:
    return f"bootstrap of {comparison.unit}s and seeds, {comparison.resamples:,} resamples"


def _markdown_table(heading: Sequence[str], rows: list[list[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _latex_table(heading: Sequence[str], rows: list[list[str]]) -> str:
    lines = [" & ".join(cell.translate(_TEX) for cell in row) + r" \\" for row in [list(heading), *rows]]
    columns = "l" * len(heading)
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )
