"""The comparison as Markdown and LaTeX."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ctprune.comparison.comparison import Comparison, Measure
from ctprune.comparison.pairs import Pair
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

#: Heading of the numbers of trainings.
TRAININGS = "Pre-trainings × fine-tunings"

#: A short text for each verdict.
VERDICTS = {
    "larger": "better",
    "smaller": "worse",
    "likely": "ahead (few pre-trainings)",
    "backbones": "these backbones only",
    "noise": "within the noise",
    "few": "no verdict (few patients)",
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

    >>> measure_text(Measure(mean=0.8, std=0.02, std_finetunings=0.01, low=0.75, high=0.85))
    '0.800 [0.750, 0.850]'
    """
    if math.isnan(measure.mean):
        return "–"
    if math.isnan(measure.low):
        return f"{measure.mean:.3f}"
    return f"{measure.mean:.3f} [{measure.low:.3f}, {measure.high:.3f}]"


def spread_text(measure: Measure) -> str:
    """Variation between trainings, at both levels, if known.

    >>> spread_text(Measure(mean=0.8, std=0.02, std_finetunings=0.01, low=0.75, high=0.85))
    '± 0.020 between pre-trainings, ± 0.010 between fine-tunings'
    """
    spreads = (("pre-trainings", measure.std), ("fine-tunings", measure.std_finetunings))
    return ", ".join(f"± {std:.3f} between {level}" for level, std in spreads if not math.isnan(std))


def difference_text(value: float, low: float, high: float) -> str:
    """A difference with its interval, if there is one.

    >>> difference_text(0.05, 0.01, 0.09), difference_text(0.05, math.nan, math.nan)
    ('+0.050 [+0.010, +0.090]', '+0.050')
    """
    if math.isnan(value):
        return "–"
    return signed(value) if math.isnan(low) else f"{signed(value)} [{signed(low)}, {signed(high)}]"


def detectable_text(detectable: float) -> str:
    """The smallest difference that would have been shown; differences in AUC cannot exceed one.

    >>> detectable_text(0.0512), detectable_text(1.3), detectable_text(math.nan)
    ('0.051', 'none', '–')
    """
    if math.isnan(detectable):
        return "–"
    return f"{detectable:.3f}" if detectable < 1 else "none"


def best_of(comparison: Comparison, metric: str) -> int | None:
    """Index of the result with the best mean; None if it is not defined."""
    means = [measures[metric].mean for measures in comparison.measures]
    if any(math.isnan(mean) for mean in means):
        return None
    return means.index(min(means) if metric in LOWER_IS_BETTER else max(means))


def count_text(count: float | None) -> str:
    """A whole number with commas, or a dash."""
    return "–" if count is None else f"{count:,.0f}"


def delong_text(pair: Pair) -> str:
    """DeLong's corrected p-values, with class names if there are several."""
    if len(pair.delong) == 1:
        return "p " + p_text(pair.delong[0].corrected)
    return "; ".join(f"{test.positive}: p {p_text(test.corrected)}" for test in pair.delong) or "–"


def markdown(comparison: Comparison) -> str:
    """Two tables and the notes: measures of each result, differences of each pair."""
    parts = [
        _markdown_table(_heading(), _rows(comparison, bold="**")),
        f"{_how(comparison)} Bold: the best mean, whether or not the difference is larger than the noise.",
        _markdown_table(_pair_heading(comparison), _pair_rows(comparison)),
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
        + f"\n% {_how(comparison).replace('%', 'percent')}\n\n"
        + _latex_table(_pair_heading(comparison), _pair_rows(comparison))
    )


def _pair_heading(comparison: Comparison) -> tuple[str, ...]:
    equivalence = () if comparison.margin is None else (f"Corrected p (smaller than {comparison.margin:g})",)
    return (
        "A",
        "minus B",
        "Difference in AUC",
        "Corrected p",
        *equivalence,
        "Detectable",
        "Corrected p (DeLong, images alone)",
        "Difference in accuracy",
        "Verdict for A",
    )


def _heading() -> tuple[str, ...]:
    return ("Result", "Slices", "Pre-training, s", TRAININGS, *(TITLES[name] for name in METRICS))


def _rows(comparison: Comparison, *, bold: str) -> list[list[str]]:
    best = {name: best_of(comparison, name) for name in METRICS}
    rows = []
    for index, (result, measures) in enumerate(zip(comparison.results, comparison.measures, strict=True)):
        marks = {name: bold if best[name] == index else "" for name in METRICS}
        cells = [f"{marks[name]}{measure_text(measures[name])}{marks[name]}" for name in METRICS]
        counts = [count_text(result.slices), count_text(result.pretraining_seconds), str(comparison.levels[index])]
        rows.append([result.name, *counts, *cells])
    return rows


def _pair_rows(comparison: Comparison) -> list[list[str]]:
    return [
        [
            pair.run,
            pair.other,
            difference_text(pair.differences["auc"].value, pair.low, pair.high),
            p_text(pair.corrected).removeprefix("= "),
            *([] if pair.equivalence is None else [p_text(pair.equivalence.corrected).removeprefix("= ")]),
            detectable_text(pair.detectable),
            delong_text(pair).replace("p = ", "").replace("p <", "<"),
            _difference(pair, "accuracy"),
            VERDICTS[pair.verdict],
        ]
        for pair in comparison.pairs
    ]


def _difference(pair: Pair, metric: str) -> str:
    found = pair.differences[metric]
    return difference_text(found.value, found.low, found.high)


def _how(comparison: Comparison) -> str:
    positive = comparison.results[0].positive
    of = "" if positive is None else f" Positive class: {positive}."
    return (
        f"Means over trainings with 95 % intervals, which include the variation of {comparison.unit}s and "
        f"trainings.{of} Intervals of differences in AUC decide, and are corrected for the number of comparisons; "
        "those of differences in accuracy are 95 % each."
    )


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
