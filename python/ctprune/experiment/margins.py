"""Margins of equivalence of an experiment's tasks: a number is one in the measure that decides about a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ctprune.comparison.config import CompareConfig
from ctprune.comparison.decisive import decisive_of
from ctprune.errors import ConfigError
from ctprune.options.file import as_given


def margin_of(given: Any, task: str) -> float | None:
    """The margin of a task: one for all, or its own of a margin for each.

    >>> margin_of(0.02, "ill"), margin_of({"ill": 0.02}, "volume"), margin_of(None, "ill")
    (0.02, None, None)
    """
    one = given.get(task) if isinstance(given, Mapping) else given
    found: float | None = as_given(CompareConfig, {"margin": one}).get("margin")
    return found


def check_margins(given: Any, tasks: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse margins that are none, or are in no common measure.

    Args:
        given: A number for all tasks, a number by task, or None.
        tasks: Options of fine-tuning of each task.

    Raises:
        ConfigError: The message says what was expected.

    >>> check_margins({"ill": 0.02, "volume": 5}, {"ill": {}, "volume": {"target": "regression"}})
    """
    if given is None:
        return
    titles = {task: decisive_of(options).title for task, options in tasks.items()}
    if isinstance(given, Mapping):
        for task in given:
            if task not in tasks:
                raise ConfigError(f"comparison.margin: expected names of tasks, {', '.join(tasks)}, found {task}")
    elif len(set(titles.values())) > 1:
        said = ", ".join(f"{task} by {title}" for task, title in titles.items())
        raise ConfigError(
            f"comparison.margin: tasks are decided by different measures ({said}): give each its own margin, such "
            f"as {{{', '.join(f'{task}: 0.02' for task in tasks)}}}"
        )
    for task, options in tasks.items():
        try:
            margin = CompareConfig(margin=margin_of(given, task)).margin
            decisive_of(options).check_margin(margin)
        except ConfigError as error:
            own = f".{task}" if isinstance(given, Mapping) else ""
            raise ConfigError(f"comparison.margin{own}{str(error).removeprefix('margin')}") from None
