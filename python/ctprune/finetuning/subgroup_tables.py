"""Measures by subgroup as sentences and tables, for the model card and the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ctprune.environment.words import counted
from ctprune.finetuning.words import cell, interval, metric_name, number, sentence_case

#: Measures that a table shows, if the task has them; `metrics.json` has all.
_SHOWN = ("quadratic_kappa", "auc", "sensitivity", "specificity", "mae", "r2")


def subgroup_lines(column: Mapping[str, Any], unit: str) -> list[str]:
    """A table in Markdown for the values of one column, and a sentence about the largest gap.

    `unit` is what labels belong to: `image`, `volume` or `patient`.
    """
    shown = shown_measures(column)
    # Patients are counted once, also where they are what has a label.
    counts = {"patients": "images"} if unit == "patient" else {f"{unit}s": "images", "patients": "patients"}
    lines = [
        f"| {' | '.join([cell(column['column']), *counts, *map(metric_name, shown)])} |",
        "|---" * (1 + len(counts) + len(shown)) + "|",
    ]
    for group in column["groups"]:
        cells = [group["value"], *(f"{group[name]:,}" for name in counts.values()), *groupcells(group, shown)]
        lines.append(f"| {' | '.join(map(cell, cells))} |")
    gap = gap_sentence(column)
    without = column["images_without"]
    if without:
        lines += ["", f"{counted(without, unit)} without a value."]
    return lines + (["", f"{sentence_case(gap)}."] if gap else [])


def shown_measures(column: Mapping[str, Any]) -> list[str]:
    """The measures that a table of this column shows; only the first one if no group was measured."""
    measured = [group["pooled"] for group in column["groups"] if group["pooled"]]
    return [name for name in _SHOWN if measured and name in measured[0]] or [_SHOWN[0]]


def groupcells(group: Mapping[str, Any], shown: list[str]) -> list[str]:
    """Each measure with its interval; for groups that were not measured, the reason in the first cell."""
    if group["pooled"] is None:
        return [str(group["reason"]), *["–"] * (len(shown) - 1)]
    return [f"{number(group['pooled'][name]['mean'])} ({interval(group['pooled'][name])})" for name in shown]


def subgroup_sentence(column: Mapping[str, Any]) -> str:
    """The table's first measure of each group, in one line."""
    name = shown_measures(column)[0]
    groups = [f"{group['value']} {groupcells(group, [name])[0]}" for group in column["groups"]]
    return f"{metric_name(name)} by {column['column']}: {'; '.join(groups)}"


def gap_sentence(column: Mapping[str, Any]) -> str:
    """A sentence about the largest gap of the table's first measure; empty with fewer than two measured groups."""
    name = shown_measures(column)[0]
    gap = column["gaps"].get(name)
    if gap is None:
        return ""
    pairs = column["pairs"]
    level = "95 % interval" + (f", corrected for {pairs} pairs" if pairs > 1 else "")
    return (
        f"largest gap by {column['column']}: the {metric_name(name)} of {gap['highest']} is "
        f"{number(gap['difference'])} above that of {gap['lowest']} ({level}: {interval(gap)})"
    )
