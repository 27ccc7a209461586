"""Entries of an experiment that take a number from another one: steps, epochs, or how many slices are kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ctprune.errors import ConfigError
from ctprune.selection.methods import METHODS

#: What a pre-training may take from another one.
FROM_PRETRAININGS = ("steps_of", "epochs_of")


@dataclass(frozen=True, kw_only=True)
class Reduction:
    """One way of reducing.

    Attributes:
        options: As for `ctprune.reduce`. With `as_many_as`, the number of slices is a placeholder.
        as_many_as: Name of the reduction whose number of slices it keeps, as closely as its method can.
    """

    options: dict[str, Any]
    as_many_as: str | None = None


@dataclass(frozen=True, kw_only=True)
class Pretraining:
    """One way of pre-training, and the sources and reductions that it is carried out for.

    Attributes:
        options: As for `ctprune.pretrain`.
        sources: Names of sources.
        reductions: Names of reductions.
        steps_of: Name of the pre-training whose number of optimizer steps this one takes, too.
        epochs_of: Name of the pre-training whose number of passes over its slices this one takes, too.
    """

    options: dict[str, Any]
    sources: tuple[str, ...]
    reductions: tuple[str, ...]
    steps_of: str | None = None
    epochs_of: str | None = None

    @property
    def like(self) -> str | None:
        """The pre-training from which it takes a number."""
        return self.steps_of or self.epochs_of


def check_pretraining(name: str, pretraining: Pretraining, all_of_them: Mapping[str, Pretraining]) -> None:
    """Refuse a pre-training that takes its steps or epochs from one that cannot give them.

    Raises:
        ConfigError: The message names the key, what was expected and what was found.
    """
    given = {key: getattr(pretraining, key) for key in FROM_PRETRAININGS if getattr(pretraining, key) is not None}
    if not given:
        return
    named = [*given, *(option for option in ("epochs", "steps") if option in pretraining.options)]
    if len(named) > 1:
        raise ConfigError(f"pretrainings.{name}: {named[0]} and {named[1]} are mutually exclusive: give only one")
    [(kind, like)] = given.items()
    key = f"pretrainings.{name}.{kind}"
    other = all_of_them.get(like)
    if other is None or like == name:
        others = ", ".join(one for one in all_of_them if one != name)
        raise ConfigError(f"{key}: expected one of {others or '(there is no other)'}, found {like}")
    if other.like is not None:
        source = "steps_of" if other.steps_of is not None else "epochs_of"
        taken = kind.removesuffix("_of")
        raise ConfigError(f"{key}: {like} has {source} itself: name the pre-training that its {taken} come from")
    for of in ("sources", "reductions"):
        apart = [one for one in getattr(pretraining, of) if one not in getattr(other, of)]
        if apart:
            raise ConfigError(f"{key}: {like} does not run for {of[:-1]} {apart[0]}")


def check_reduction(name: str, reduction: Reduction, all_of_them: Mapping[str, Reduction]) -> None:
    """Refuse a reduction that takes its number of slices from one that cannot give it.

    Raises:
        ConfigError: The message names the key, what was expected and what was found.
    """
    like = reduction.as_many_as
    if like is None:
        return
    key = f"reductions.{name}.as_many_as"
    other = all_of_them.get(like)
    if other is None or like == name:
        others = ", ".join(one for one in all_of_them if one != name)
        raise ConfigError(f"{key}: expected one of {others or '(there is no other)'}, found {like}")
    if other.as_many_as is not None:
        raise ConfigError(f"{key}: {like} has as_many_as itself: name the reduction that its number comes from")


def as_many(method: str, *, kept: int, slices: int) -> dict[str, int]:
    """The option with which a method keeps about `kept` of an archive's slices; empty if it has none.

    Args:
        method: Name of the reduction method.
        kept: Number of slices to keep.
        slices: Number of slices in the archive.

    >>> [as_many(method, kept=30, slices=100) for method in ("kcenter", "every-n", "all")]
    [{'budget': 30}, {'n': 3}, {}]
    """
    options = METHODS[method].options
    if "budget" in options:
        return {"budget": kept}
    if "n" not in options:
        return {}
    ratio = slices / max(kept, 1)
    nearest = min((math.floor(ratio), math.ceil(ratio)), key=lambda n: abs(slices / max(n, 1) - kept))
    return {"n": max(nearest, 1)}


def as_many_epochs(summary: Mapping[str, Any]) -> int:
    """How often a finished pre-training saw each of its slices, as a whole number from 1.

    >>> as_many_epochs({"steps": 300, "slices_per_step": 64, "slices": 2000})
    10
    """
    return max(1, round(int(summary["steps"]) * int(summary["slices_per_step"]) / int(summary["slices"])))
