"""Planned contrasts of an experiment: the pairs of models to compare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ctprune.errors import ConfigError

#: Separates the parts of a model's name: source, reduction and pre-training, if they vary.
SEPARATOR = " · "


def resolve_contrasts(contrasts: Sequence[Sequence[str]], names: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of models for each contrast, each pair once.

    Both sides of a contrast are names of models, or parts of them: `[hash6, all]` compares each model that has the
    part `hash6` with the one that has `all` in its place and is the same in everything else.

    Args:
        contrasts: Two sides each.
        names: Of all models.

    Raises:
        ConfigError: No two models match a contrast.

    >>> names = ["none", "a · hash6 · swav", "a · all · swav", "b · hash6 · swav", "b · all · swav"]
    >>> resolve_contrasts([["hash6", "all"], ["a · hash6 · swav", "none"]], names)[:2]
    [('a · hash6 · swav', 'a · all · swav'), ('b · hash6 · swav', 'b · all · swav')]
    """
    pairs: dict[tuple[str, str], None] = {}
    for first, second in contrasts:
        found = list(_pairs(first, second, names))
        if not found:
            raise ConfigError(
                f"comparison.contrasts: [{first}, {second}]: no two models differ only in this: expected models, "
                f"or parts of their names, among {', '.join(names)}"
            )
        pairs.update(dict.fromkeys(found))
    return list(pairs)


def _pairs(first: str, second: str, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        if first in names:
            # The other side may be a part: then all models that have it.
            if second == name or (second not in names and _start(second, name) is not None and name != first):
                yield first, name
        elif (start := _start(first, name)) is not None:
            partner = second if second in names else _with(name, start, second)
            if partner in names and partner != name:
                yield name, partner


def _start(side: str, name: str) -> int | None:
    """Where the parts of a side begin in a model's name; None if the name lacks them."""
    parts, of_name = side.split(SEPARATOR), name.split(SEPARATOR)
    starts = range(len(of_name) - len(parts) + 1)
    return next((start for start in starts if of_name[start : start + len(parts)] == parts), None)


def _with(name: str, start: int, side: str) -> str:
    parts, of_name = side.split(SEPARATOR), name.split(SEPARATOR)
    return SEPARATOR.join([*of_name[:start], *parts, *of_name[start + len(parts) :]])
