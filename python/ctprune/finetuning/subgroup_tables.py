"""Measures by subgroup as sentences and tables, for the model card and the command line."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from ctprune.environment.words import counted
from ctprune.finetuning.words import cell, interval, metric_name, number, sentence_case

#: Measures that a table shows, if the task has them; `metrics.json` has all.
_SHOWN = ("quadratic_kappa", "auc", "sensitivity", "specificity", "mae", "r2")

#: The measure that is shown of a single label or threshold.
_OF_OUTPUT = "auc"


def subgroup_lines(column: Mapping[str, Any], unit: str, measures: Container[str], output: str) -> list[str]:
    """Tables in Markdown for the values of one column, and a sentence about the largest gap.

    Args:
        column: An entry of `FinetuneResult.subgroups`.
        unit: What labels belong to: `image`, `volume` or `patient`.
        measures: Names of the task's measures.
        output: What single outputs are, in words: `label` or `threshold`.
    """
    measured = any(group["pooled"] for group in column["groups"])
    # Without a measured group, one cell for the reason is enough.
    shown = _shown(measures)[: None if measured else 1]
    # Patients are counted once, also where they are what has a label.
    counts = {"patients": "images"} if unit == "patient" else {f"{unit}s": "images", "patients": "patients"}
    lines = _table(
        [column["column"], *counts, *map(metric_name, shown)],
        [
            [group["value"], *(f"{group[name]:,}" for name in counts.values()), *_cells(group, shown)]
            for group in column["groups"]
        ],
    )
    gap = _gap_sentence(column, column["column"], shown[0])
    without = column["images_without"]
    if without:
        lines += ["", f"{counted(without, unit)} without a value."]
    return lines + (["", f"{sentence_case(gap)}."] if gap else []) + _output_lines(column, output)


def subgroup_sentences(column: Mapping[str, Any], measures: Container[str]) -> list[str]:
    """The first measure of each group and its largest gap, a line each; then the AUC of each label or threshold.

    Args:
        column: An entry of `FinetuneResult.subgroups`.
        measures: Names of the task's measures.
    """
    parts = [("", column, _shown(measures)[0])]
    parts += [(f"{name}: ", one, _OF_OUTPUT) for name, one in _outputs(column).items()]
    found = []
    for start, part, measure in parts:
        groups = "; ".join(f"{group['value']} {_cells(group, [measure])[0]}" for group in part["groups"])
        gap = _gap_sentence(part, column["column"], measure)
        found.append(f"{start}{metric_name(measure)} by {column['column']}: {groups}")
        found += [f"{start}{gap}"] if gap else []
    return found


def _output_lines(column: Mapping[str, Any], output: str) -> list[str]:
    """A table of the AUC of each label or threshold in each subgroup; empty for other targets."""
    found = _outputs(column)
    if not found:
        return []
    rows = []
    for name, one in found.items():
        gap = one["gaps"].get(_OF_OUTPUT)
        shown = (
            f"{number(gap['difference'])} ({interval(gap)}), {gap['highest']} above {gap['lowest']}"
            if gap
            else "–"
        )
        rows.append([name, *(_cells(group, [_OF_OUTPUT])[0] for group in one["groups"]), shown])
    values = [f"{column['column']} {group['value']}" for group in column["groups"]]
    return [
        "",
        f"{metric_name(_OF_OUTPUT)} of each {output} by itself. The interval of a gap accounts for the pairs of "
        f"subgroups, not for the number of {output}s:",
        "",
        *_table([output, *values, "largest gap"], rows),
    ]


def _outputs(column: Mapping[str, Any]) -> Mapping[str, Any]:
    # Results of earlier versions have none.
    found: Mapping[str, Any] = column.get("by_output", {})
    return found


def _shown(measures: Container[str]) -> list[str]:
    return [name for name in _SHOWN if name in measures]


def _cells(group: Mapping[str, Any], shown: list[str]) -> list[str]:
    """Each measure with its interval; for groups that were not measured, the reason in the first cell."""
    if group["pooled"] is None:
        return [str(group["reason"]), *["–"] * (len(shown) - 1)]
    return [f"{number(group['pooled'][name]['mean'])} ({interval(group['pooled'][name])})" for name in shown]


def _gap_sentence(part: Mapping[str, Any], column: str, measure: str) -> str:
    """A sentence about the largest gap of a measure; empty with fewer than two measured groups."""
    gap = part["gaps"].get(measure)
    if gap is None:
        return ""
    pairs = part["pairs"]
    level = "95 % interval" + (f", corrected for {pairs} pairs" if pairs > 1 else "")
    return (
        f"largest gap by {column}: the {metric_name(measure)} of {gap['highest']} is "
        f"{number(gap['difference'])} above that of {gap['lowest']} ({level}: {interval(gap)})"
    )


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [f"| {' | '.join(map(cell, row))} |" for row in (head, *rows)]
    return [lines[0], "|---" * len(head) + "|", *lines[1:]]
