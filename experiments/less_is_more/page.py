"""The report: raw results, contrasts, the curve from redundancy to AUC, and the page that shows them."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.less_is_more.archives import DOSES_MM, MIXED
from experiments.less_is_more.contrasts import (
    MARGIN,
    Answer,
    Family,
    answers,
    first_seeds,
    gain_over_nothing,
    look_reached,
    looked_at,
    measured_cells,
    of_all_seeds,
    planned,
)
from experiments.less_is_more.trained import ARMS, NOTHING, Cell, Trained

from ctprune.comparison.verdict import p_text, signed
from ctprune.evaluation.estimate import Estimate
from ctprune.evaluation.measured import Measured
from ctprune.files.atomic import replace_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = ("method", "source", "arm", "seed", "slices", "steps", "epochs", "auc", "seconds")

_COLORS = ("#1b6ca8", "#c1440e", "#6b7a8f", "#5d8a3a", "#8e5ea2", "#d4a017", "#111111")

#: How methods are written.
_WRITTEN = {"swav": "SwAV", "mocov2": "MoCo v2", "dino": "DINO"}

_SAID = {
    "larger": "hash is better",
    "smaller": "hash is worse",
    "equivalent": f"no difference that matters (± {MARGIN:.2f})",
    "unanswered": "not answered",
    "unfinished": "not yet",
}

#: Of a slope.
_SAID_OF_SLOPE = {"larger": "hash gains with redundancy", "smaller": "hash loses with redundancy"}


def write_report(trained: Sequence[Trained], out: Path) -> dict[str, list[Answer]]:
    """Write `results.csv`, `contrasts.json`, `curve-METHOD.svg` and `README.md`; the answers, by method."""
    out.mkdir(parents=True, exist_ok=True)
    trained = without_copies(trained)
    found: dict[str, list[Answer]] = {}
    sections, numbers, rows = [], {}, []
    methods = list(dict.fromkeys(one.method for one in trained if one.method != NOTHING))
    for method in methods:
        of_method = [one for one in trained if one.method in (method, NOTHING)]
        everything = measured_cells(of_method)
        rows += _rows(of_method, *everything, with_none=method == methods[0])
        families = planned(method)
        counted = looked_at(of_method, families[0])
        cells, measured = everything if len(counted) == len(of_method) else measured_cells(counted)
        by_family = [answers(families[0], counted, (cells, measured))]
        by_family += [answers(family, looked_at(of_method, family)) for family in families[1:]]
        found[method] = [answer for of_family in by_family for answer in of_family]
        _save(out / f"curve-{method}.svg", _curve(method, cells, measured))
        numbers[method] = {
            "cells": [_cell(cell, index, measured) for cell, index in cells.items()],
            "contrasts": [_numbers(answer) for answer in found[method]],
        }
        sections.append(_section(method, of_method, cells, measured, by_family))
    _save(out / "results.csv", _csv(rows))
    _save(out / "contrasts.json", json.dumps({"margin": MARGIN, "methods": numbers}, indent=1) + "\n")
    _save(out / "README.md", _page(trained, sections))
    return found


def without_copies(trained: Sequence[Trained]) -> list[Trained]:
    """Experiments have arms in common, and each a model without pre-training: one of each is enough."""
    found = {(one.method, one.source, one.arm, one.seed): one for one in reversed(trained)}
    return list(reversed(found.values()))


def _rows(
    trained: Sequence[Trained], cells: dict[Cell, int], measured: Measured, *, with_none: bool
) -> list[list[Any]]:
    by_cell: dict[Cell, list[Trained]] = {}
    for one in trained:
        by_cell.setdefault((one.source, one.arm), []).append(one)
    rows = []
    for cell, of_cell in by_cell.items():
        if cell == (NOTHING, NOTHING) and not with_none:
            continue
        aucs = measured.trainings[cells[cell]]["auc"]
        for one, auc in zip(of_cell, aucs, strict=True):
            told = (one.method, one.source, one.arm, one.seed, one.slices, one.steps)
            rows.append([*told, round(one.epochs, 2), round(float(auc), 6), round(one.seconds, 1)])
    return rows


def _csv(rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(rows)
    return text.getvalue()


def _cell(cell: Cell, index: int, measured: Measured) -> dict[str, Any]:
    low, high = measured.interval(index, "auc")
    values = measured.values(index, "auc")
    return {
        "source": cell[0],
        "arm": cell[1],
        "pretrainings": measured.levels[index].pretrainings,
        "auc": _plain(float(values.mean())),
        "std": _plain(float(values.std(ddof=1)) if len(values) > 1 else math.nan),
        "low": _plain(low),
        "high": _plain(high),
    }


def _numbers(answer: Answer) -> dict[str, Any]:
    estimate = answer.estimate
    return {
        "name": answer.contrast.name,
        "question": answer.contrast.question,
        "verdict": answer.verdict,
        "level": answer.level,
        "pretrainings": answer.pretrainings,
        "value": None if estimate is None else _plain(estimate.value),
        "error": None if estimate is None else _plain(estimate.error),
        "freedom": None if estimate is None else _plain(estimate.freedom),
        **{
            name: _plain(getattr(answer, name))
            for name in ("low", "high", "corrected", "independent", "equivalence", "detectable")
        },
    }


def _plain(value: float) -> float | None:
    return round(value, 8) if math.isfinite(value) else None


def _curve(method: str, cells: dict[Cell, int], measured: Measured) -> str:
    """AUC over the distance of slices, a line for each arm; the mixture and no pre-training beside it."""
    import matplotlib
    from matplotlib.figure import Figure

    # Text stays text, and the same numbers give the same bytes.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": method, "font.size": 9}):
        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        axes = figure.subplots()
        for number, arm in enumerate(ARMS):
            _draw_arm(axes, number, arm, cells, measured)
        if (NOTHING, NOTHING) in cells:
            index = cells[NOTHING, NOTHING]
            auc = float(measured.values(index, "auc").mean())
            axes.axhline(auc, color="#777777", linewidth=1, linestyle=":", label="no pre-training")
            low, high = measured.interval(index, "auc")
            if math.isfinite(low):
                axes.axhspan(low, high, color="#999999", alpha=0.12, linewidth=0)
        axes.set_xticks(range(len(DOSES_MM) + 1), [*(f"{mm:g}" for mm in DOSES_MM.values()), MIXED])
        axes.set_xlabel("Distance of slices in mm: the finer, the more redundant")
        axes.set_ylabel("AUC on unseen patients, 95 % interval")
        axes.set_title(_WRITTEN[method])
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=8, ncols=2, frameon=False)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def _draw_arm(axes: Axes, number: int, arm: str, cells: dict[Cell, int], measured: Measured) -> None:
    places = [(x, cells[source, arm]) for x, source in enumerate((*DOSES_MM, MIXED)) if (source, arm) in cells]
    if not places:
        return
    at = [x + 0.08 * (number - (len(ARMS) - 1) / 2) for x, _ in places]
    aucs = [float(measured.values(index, "auc").mean()) for _, index in places]
    for x, (_, index) in zip(at, places, strict=True):
        low, high = measured.interval(index, "auc")
        if math.isfinite(low):
            axes.plot([x, x], [low, high], color=_COLORS[number], linewidth=1, alpha=0.6)
    for i in range(len(places) - 1):
        # A line over a dose that an arm does not have would show a value there; the mixture is none of the doses.
        if places[i + 1][0] == places[i][0] + 1 < len(DOSES_MM):
            axes.plot(at[i : i + 2], aucs[i : i + 2], color=_COLORS[number], linewidth=1.4)
    axes.plot(at, aucs, "o", color=_COLORS[number], markersize=3.5, label=arm)


def _section(
    method: str,
    trained: Sequence[Trained],
    cells: dict[Cell, int],
    measured: Measured,
    found: Sequence[Sequence[Answer]],
) -> str:
    written, (first, *others) = _WRITTEN[method], planned(method)
    lines = [f"## {written}", "", _stage(first, trained), ""]
    lines += [f"![{written}: AUC by distance of slices and arm](curve-{method}.svg)", ""]
    lines += _table(found[0])
    if any(math.isfinite(answer.independent) for answer in found[0]):
        told = ", ".join(f"{one.contrast.name} {_p(one.independent)}" for one in found[0])
        lines += ["", f"Corrected p if arms were independent, as first planned: {told}."]
    lines += _gain(first, trained)
    lines += ["", f"Mean AUC (standard deviation between pre-trainings; number of these), {written}:", ""]
    sources = [source for source in (*DOSES_MM, MIXED) if any(cell[0] == source for cell in cells)]
    lines += [f"| arm | {' | '.join(map(_named, sources))} |", f"|---|{'---|' * len(sources)}"]
    for arm in ARMS:
        if any(cell[1] == arm for cell in cells):
            texts = [_text(cells.get((source, arm)), measured) for source in sources]
            lines.append(f"| {arm} | {' | '.join(texts)} |")
    if (NOTHING, NOTHING) in cells:
        lines += ["", f"Random weights without pre-training: {_text(cells[NOTHING, NOTHING], measured)}."]
    for family, of_family in zip(others, found[1:], strict=True):
        lines += ["", f"### {written}: {family.heading}", "", _stage(family, trained), "", *_table(of_family)]
        lines += _all_seeds(family, trained)
    return "\n".join(lines) + "\n"


def _gain(family: Family, trained: Sequence[Trained]) -> list[str]:
    reached = look_reached(trained, family)
    gain = None if reached is None else gain_over_nothing(looked_at(trained, family), least=reached)
    if gain is None:
        return []
    return [
        "",
        "Beyond the plan: the mean AUC of all arms at equal steps less that of random weights of",
        f"the same seeds is {_estimate(gain)} (95 % interval).",
    ]


def _all_seeds(family: Family, trained: Sequence[Trained]) -> list[str]:
    found = of_all_seeds(family, trained)
    if found is None:
        return []
    seeds, estimate = found
    return ["", f"Beyond the plan: over all {seeds} seeds the value is {_estimate(estimate)} (95 % interval)."]


def _estimate(found: Estimate) -> str:
    low, high = found.interval()
    return f"{_signed(found.value, 3)} [{_signed(low, 3)}, {_signed(high, 3)}]"


def _stage(family: Family, trained: Sequence[Trained]) -> str:
    """Which look the verdicts are of, and what earlier looks said."""
    reached = look_reached(trained, family)
    if reached is None:
        have = len(family.seeds(trained))
        return f"**No look yet**: {have} of {family.looks[0]} pre-trainings of every arm, so there is no verdict."
    number = family.looks.index(reached)
    told = f"**Look {number + 1} of {len(family.looks)}**: {reached} pre-trainings of every arm."
    for look in family.looks[:number]:
        shown = [
            f"{one.contrast.name}: {_said(one)}"
            for one in answers(family, first_seeds(trained, family, look))
            if one.verdict != "unanswered"
        ]
        told += f" The look at {look} had answered: {'; '.join(shown) or 'nothing'}."
    return told


def _table(found: Sequence[Answer]) -> list[str]:
    return [
        "| contrast | question | value | corrected p | equivalence p | detectable | answer |",
        "|---|---|---|---|---|---|---|",
        *map(_line, found),
    ]


def _line(answer: Answer) -> str:
    said = _said(answer)
    estimate = answer.estimate
    if estimate is None:
        return f"| {answer.contrast.name} | {answer.contrast.question} | – | – | – | – | {said} |"
    digits = 4 if not answer.contrast.has_margin else 3
    value = f"{_signed(estimate.value, digits)} [{_signed(answer.low, digits)}, {_signed(answer.high, digits)}]"
    tests = f"{_p(answer.corrected)} | {_p(answer.equivalence) if answer.contrast.has_margin else '–'}"
    detectable = f"{answer.detectable:.{digits}f}" if math.isfinite(answer.detectable) else "–"
    return f"| {answer.contrast.name} | {answer.contrast.question} | {value} | {tests} | {detectable} | {said} |"


def _said(answer: Answer) -> str:
    of_slope = {} if answer.contrast.has_margin else _SAID_OF_SLOPE
    return (_SAID | of_slope)[answer.verdict]


def _p(value: float) -> str:
    return p_text(value).removeprefix("= ")


def _signed(value: float, digits: int) -> str:
    if not math.isfinite(value):
        return "–"
    return signed(value) if digits == 3 else f"{value:+.{digits}f}".replace("-", "−")


def _text(index: int | None, measured: Measured) -> str:
    if index is None:
        return "–"
    values = measured.values(index, "auc")
    spread = f"{values.std(ddof=1):.3f}" if len(values) > 1 else "–"
    return f"{values.mean():.3f} ({spread}; {len(values)})"


def _page(trained: Sequence[Trained], sections: Sequence[str]) -> str:
    first = trained[0].result
    patients = len(set(first.patients))
    nothing = [one.result for one in trained if one.method == NOTHING]
    redundancy, longer, new = planned("swav")
    head = f"""# Less is more? Redundancy as a dose

What was asked, and how: [the plan](../../less-is-more.md), written before, with its changes.
`python -m experiments.less_is_more report` writes this page, `results.csv` (a row per pre-training) and
`contrasts.json`. `pretrainings.npz` holds the predictions.

So far {len(trained) - len(nothing):,} pre-trainings. AUC of a linear probe on {len(first.images):,} slices of
{patients:,} unseen synthetic patients.

- **Arms.** `all`: all slices. `hash`: those that the hash keeps. `random`, `every-n`, `kcenter`: as many, chosen
  in another way. Each takes 200 steps. `all-epochs`: all slices, for as many epochs as `hash`, so many more steps.
  `hash-longer`: those that the hash keeps, for as many steps as `all-epochs`.
- **Verdicts** count the first {redundancy.looks[0]} or {redundancy.looks[1]} seeds of every arm. Each look has a
  level of {redundancy.level:g} over all contrasts of a method; there is no correction over methods.
  “{longer.heading}” has one look, at {longer.looks[0]} seeds, and a level of {longer.level:g}. “{new.heading}”, to
  confirm it, has the same with seeds {new.first_seed} to {new.first_seed + new.looks[0] - 1}.
- **Values** have intervals at the level that Holm's correction leaves: one contains 0 exactly if no difference is
  shown. Errors are computed seed by seed, because all arms of one seed start from the same random weights.
- **Equivalence p** tests whether the difference is smaller than ± {MARGIN:.2f}.
- **Detectable** is the smallest true value that would have been shown with a probability of 80 %.
- All arms of an archive share its 40 patients: nothing here counts how other patients would change the result.
"""
    return "\n".join([head, *_archives(trained), *sections])


def _archives(trained: Sequence[Trained]) -> list[str]:
    """How redundant each archive is: of its slices, those that the hash keeps."""
    slices = {(one.source, one.arm): one.slices for one in trained}
    rows = []
    for source in (*DOSES_MM, MIXED):
        every, kept = slices.get((source, "all")), slices.get((source, "hash"))
        if every and kept:
            rows.append(f"| {_named(source)} | {every:,} | {kept:,} ({100 * kept / every:.0f} %) |")
    if not rows:
        return []
    return ["| distance of slices | slices | hash keeps |", "|---|---|---|", *rows, ""]


def _named(source: str) -> str:
    return f"{DOSES_MM[source]:g} mm" if source in DOSES_MM else source


def _save(file: Path, text: str) -> None:
    with replace_file(file) as beside:
        beside.write_text(text, encoding="utf-8")
