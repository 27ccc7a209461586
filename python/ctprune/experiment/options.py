"""Options of a stage in an experiment's file, checked as by the stage itself."""

from __future__ import annotations

import dataclasses
from typing import Any

from ctprune.errors import ConfigError
from ctprune.finetuning.config import FinetuneConfig
from ctprune.options.file import as_given
from ctprune.options.option import options_of
from ctprune.pretraining.config import PretrainConfig
from ctprune.reduction.config import ReduceConfig

#: Options that are given elsewhere in the file, by group, and where.
_ELSEWHERE = {
    "pretrainings": {"seed": "seeds.pretraining sets the seeds of all"},
    "tasks": {
        "seeds": "seeds.finetuning sets the seeds of all",
        "weights": "they come from the pre-trainings and baselines",
        "backbone": "it comes from the pre-trainings and baselines",
    },
    "baselines": {
        "seeds": "seeds.finetuning sets the seeds of all",
        "data": "it belongs to a task",
        "split": "it belongs to a task",
        "labels": "they belong to a task",
        "target": "it belongs to a task",
    },
}

#: Arguments of a stage's function, besides its options, that the file may set.
_BESIDE = {
    "tasks": ("data", "split", "labels"),
    "baselines": ("data", "split", "labels"),
    "pretrainings": ("preset",),
}


def check_options(
    group: str, name: str, options: dict[str, Any], *, besides: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Options as the stage's function takes them; refuses unknown options and wrong values.

    Args:
        group: `reductions`, `pretrainings`, `tasks` or `baselines`.
        name: Name of the entry, for the error message.
        options: By name, as for the stage's function in Python.
        besides: Keys that the experiment itself understands, for the error message.

    Raises:
        ConfigError: The sentence names the key, what was expected and what found.
    """
    elsewhere = _ELSEWHERE.get(group, {})
    known = [key for key in _known(group) if key not in elsewhere]
    for key in options:
        if key in elsewhere:
            raise ConfigError(f"{group}.{name}.{key}: cannot be set here: {elsewhere[key]}")
        if key not in known:
            raise ConfigError(
                f"{group}.{name}.{key}: unknown key: expected some of {', '.join((*besides, *known))}"
            )
    own = {key: value for key, value in options.items() if key not in _BESIDE.get(group, ())}
    options = options | as_given(_kind(group), own)
    try:
        _configure(group, options)
    except ConfigError as error:
        raise ConfigError(f"{group}.{name}{'.' if error.field else ': '}{error}") from None
    return options


def deciding(group: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options that determine a result and differ from the defaults, presets filled in, without paths.

    Options that equal the defaults are left out, so that a version with one more option repeats nothing.

    >>> deciding("reductions", {"method": "hash", "threshold": 6}) == deciding("reductions", {})
    True
    """
    config = _configure(group, options)
    known = options_of(type(config))
    return {
        name: value
        for name, value in _not_default(config).items()
        # The content of files and folders matters, not their paths.
        if known[name].about.decides and not known[name].about.is_path
    }


def _not_default(config: Any) -> dict[str, Any]:
    found = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.default_factory is not dataclasses.MISSING:
            default: Any = field.default_factory()
        else:
            default = field.default
        if value != default:
            found[field.name] = _plain(value)
    return found


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {"kind": type(value).__name__, **_not_default(value)}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _known(group: str) -> list[str]:
    """Names of the options that a stage takes, in its own order."""
    return [*_BESIDE.get(group, ()), *options_of(_kind(group))]


def _configure(group: str, options: dict[str, Any]) -> Any:
    """The stage's configuration of the options: it refuses what it cannot use."""
    kind = _kind(group)
    given = {key: value for key, value in options.items() if key not in _BESIDE.get(group, ())}
    if group == "pretrainings":
        return kind.resolve(given, preset_name=options.get("preset"))
    return kind(**given)


def _kind(group: str) -> Any:
    if group == "reductions":
        return ReduceConfig
    return PretrainConfig if group == "pretrainings" else FinetuneConfig
