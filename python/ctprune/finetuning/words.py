"""Metrics and their values as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_METRIC_NAMES = {
    "auc": "AUC",
    "average_precision": "average precision",
    "balanced_accuracy": "balanced accuracy",
    "f1": "F1",
    "brier": "Brier score",
    "calibration_error": "calibration error",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "r2": "R²",
    "quadratic_kappa": "quadratic weighted kappa",
    "mae_levels": "mean absolute error in levels",
    "spearman": "Spearman's correlation",
}


def metric_name(name: str) -> str:
    """The name of a metric as text.

    >>> metric_name("auc"), metric_name("sensitivity")
    ('AUC', 'sensitivity')
    """
    return _METRIC_NAMES.get(name, name)


def number(value: float | None) -> str:
    """Three decimals, or a dash where it is not defined."""
    return "–" if value is None or value != value else f"{value:.3f}"


def interval(one: Mapping[str, float | None]) -> str:
    """Both ends of a measure's interval, or a dash where none can be estimated.

    >>> interval({"low": 0.5, "high": 0.75}), interval({"low": None, "high": None})
    ('0.500 – 0.750', '–')
    """
    found = number(one["low"])
    return found if found == "–" else f"{found} – {number(one['high'])}"


def origin(weights: Mapping[str, Any] | None) -> str:
    """The initial weights of a training, in Markdown, from `weights` of its result.

    >>> origin({"path": "backbone.safetensors", "metadata": {"method": "swav"}}), origin(None)
    ('weights `backbone.safetensors` (swav)', 'random weights')
    """
    if weights is None:
        return "random weights"
    method = weights.get("metadata", {}).get("method")
    return f"weights `{weights['path']}`" + (f" ({method})" if method else "")


def sentence_case(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def cell(text: str) -> str:
    """A text for a cell of a Markdown table, with bars escaped."""
    return text.replace("|", "\\|")
