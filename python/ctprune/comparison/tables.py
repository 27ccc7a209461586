"""The comparison as Markdown and LaTeX."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ctprune.comparison.comparison import Comparison, Measure
from ctprune.comparison.decisive import LOWER_IS_BETTER, Decisive
from ctprune.comparison.pairs import Pair
from ctprune.comparison.verdict import p_text, signed
from ctprune.finetuning.target_words import target_sentence
from ctprune.finetuning.words import metric_name, sentence_case

#: Heading of the numbers of trainings.
TRAININGS = "Pre-trainings × fine-tunings"

#: A short text for each verdict that is the same for both results of a pair.
_VERDICTS = {
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


def title_of(metric: str) -> str:
    """The name of a measure as a heading.

    >>> title_of("average_precision")
    'Average precision'
    """
    return sentence_case(metric_name(metric))


def verdict_text(pair: Pair, decisive: Decisive) -> str:
    """The verdict for the first result of a pair, in a few words."""
    if pair.verdict in _VERDICTS:
        return _VERDICTS[pair.verdict]
    is_better = decisive.is_better(pair.differences[decisive.metric].value)
    if pair.verdict == "likely":
        return f"{'ahead' if is_better else 'behind'} (few pre-trainings)"
    return "better" if is_better else "worse"


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


def detectable_text(detectable: float, widest: float) -> str:
    """The smallest difference that would have been shown; none can be as large as `widest`.

    >>> detectable_text(0.0512, 1.0), detectable_text(1.3, 1.0), detectable_text(math.nan, 1.0)
    ('0.051', 'none', '–')
    """
    if math.isnan(detectable):
        return "–"
    return f"{detectable:.3f}" if detectable < widest else "none"


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
    """DeLong's corrected p-values, with names of classes or labels if there are several."""
    if len(pair.delong) == 1:
        return "p " + p_text(pair.delong[0].corrected)
    return "; ".join(f"{test.positive}: p {p_text(test.corrected)}" for test in pair.delong) or "–"


def markdown(comparison: Comparison) -> str:
    """Two tables and the notes: measures of each result, differences of each pair."""
    parts = [
        _markdown_table(_heading(comparison), _rows(comparison, bold="**")),
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
        + _latex_table(_heading(comparison), _rows(comparison, bold=""))
        + f"\n% {_how(comparison).replace('%', 'percent')}\n\n"
        + _latex_table(_pair_heading(comparison), _pair_rows(comparison))
    )


def _pair_heading(comparison: Comparison) -> tuple[str, ...]:
    decisive = comparison.decisive
    equivalence = () if comparison.margin is None else (f"Corrected p (smaller than {comparison.margin:g})",)
    return (
        "A",
        "minus B",
        f"Difference in {decisive.title}",
        "Corrected p",
        *equivalence,
        "Detectable",
        *(("Corrected p (DeLong, images alone)",) if _has_delong(comparison) else ()),
        f"Difference in {metric_name(decisive.beside)}",
        "Verdict for A",
    )


def _has_delong(comparison: Comparison) -> bool:
    return any(pair.delong for pair in comparison.pairs)


def _heading(comparison: Comparison) -> tuple[str, ...]:
    return ("Result", "Slices", "Pre-training, s", TRAININGS, *map(title_of, comparison.metrics))


def _rows(comparison: Comparison, *, bold: str) -> list[list[str]]:
    metrics = comparison.metrics
    best = {name: best_of(comparison, name) for name in metrics}
    rows = []
    for index, (result, measures) in enumerate(zip(comparison.results, comparison.measures, strict=True)):
        marks = {name: bold if best[name] == index else "" for name in metrics}
        cells = [f"{marks[name]}{measure_text(measures[name])}{marks[name]}" for name in metrics]
        counts = [count_text(result.slices), count_text(result.pretraining_seconds), str(comparison.levels[index])]
        rows.append([result.name, *counts, *cells])
    return rows


def _pair_rows(comparison: Comparison) -> list[list[str]]:
    decisive, has_delong = comparison.decisive, _has_delong(comparison)
    return [
        [
            pair.run,
            pair.other,
            difference_text(pair.differences[decisive.metric].value, pair.low, pair.high),
            p_text(pair.corrected).removeprefix("= "),
            *([] if pair.equivalence is None else [p_text(pair.equivalence.corrected).removeprefix("= ")]),
            detectable_text(pair.detectable, decisive.widest),
            *([delong_text(pair).replace("p = ", "").replace("p <", "<")] if has_delong else []),
            _difference(pair, decisive.beside),
            verdict_text(pair, decisive),
        ]
        for pair in comparison.pairs
    ]


def _difference(pair: Pair, metric: str) -> str:
    found = pair.differences[metric]
    return difference_text(found.value, found.low, found.high)


def _how(comparison: Comparison) -> str:
    first, decisive = comparison.results[0], comparison.decisive
    of = "" if first.positive is None else f" Positive class: {first.positive}."
    about = target_sentence(first.target)
    of += f" {about}" if about else ""
    of += " Differences are between pre-trainings of the same seed." if comparison.pair_seeds else ""
    return (
        f"Means over trainings with 95 % intervals, which include the variation of {comparison.unit}s and "
        f"trainings.{of} Intervals of differences in {decisive.title} decide, and are corrected for the number of "
        f"comparisons; those of differences in {metric_name(decisive.beside)} are 95 % each."
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
