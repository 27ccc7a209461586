"""Options of a stage in an experiment's file, checked as the stage itself will check them."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from ctprune.errors import ConfigError
from ctprune.reduction.config import ReduceConfig

#: Options that are given elsewhere in the file, by group, and where.
_ELSEWHERE = {
    "pretrainings": {"seed": "seeds.pretraining is for all"},
    "tasks": {
        "seeds": "seeds.finetuning is for all",
        "weights": "they come from the pre-trainings and baselines",
        "backbone": "it comes from the pre-trainings and baselines",
    },
    "baselines": {
        "seeds": "seeds.finetuning is for all",
        "data": "it belongs to a task",
        "split": "it belongs to a task",
        "labels": "they belong to a task",
    },
}

#: What the experiment gives to a stage's function itself.
_GIVEN = frozenset({"sources", "out", "progress"})

#: Options that decide how a result comes about, but not which.
_FREE = frozenset({"threads", "fail_first", "download", "device"})

#: Options that name files and folders: what those hold decides, not where they lie.
_PATHS = frozenset({"weights", "data", "split", "labels", "exclude", "probe"})


def check_options(group: str, name: str, options: dict[str, Any], *, besides: tuple[str, ...] = ()) -> None:
    """Refuse an option that the stage does not know or a value that it would not take.

    Args:
        group: `reductions`, `pretrainings`, `tasks` or `baselines`.
        name: Of the entry, for the sentence.
        options: By name, as for the stage's function in Python.
        besides: Keys that the experiment understands itself, for the sentence.

    Raises:
        ConfigError: The sentence names the key, what was expected and what found.
    """
    elsewhere = _ELSEWHERE.get(group, {})
    known = [key for key in _known(group) if key not in elsewhere]
    for key in options:
        if key in elsewhere:
            raise ConfigError(f"{group}.{name}.{key}: not here: {elsewhere[key]}")
        if key not in known:
            raise ConfigError(
                f"{group}.{name}.{key}: unknown key: expected some of {', '.join((*besides, *known))}"
            )
    try:
        _configure(group, options)
    except ConfigError as error:
        raise ConfigError(f"{group}.{name}: {error}") from None
    except (TypeError, ValueError, AttributeError, KeyError):
        # The configurations check ranges and trust callers about types, which the author of a file may get wrong.
        shown = ", ".join(f"{key}: {value!r}" for key, value in options.items())
        raise ConfigError(f"{group}.{name}: a value is of another type than expected: {shown}") from None


def deciding(group: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options that decide a result and differ from the defaults, presets filled in; none that names a file.

    Those that equal the defaults are left out, so that a version with one more option repeats nothing.

    >>> deciding("reductions", {"method": "hash", "threshold": 6}) == deciding("reductions", {})
    True
    """
    config = _configure(group, options)
    fields = {field.name for field in dataclasses.fields(config)}
    free = _FREE | _PATHS
    if group == "pretrainings":
        free |= {"preset", *(fields - set(config.deciding()))}
    found = {name: value for name, value in _not_default(config).items() if name not in free}
    # What the stage's function takes beside its configuration.
    return found | {name: value for name, value in options.items() if name not in free | fields}


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
    if group == "reductions":
        from ctprune.reduction.reduction import reduce

        return [key for key in inspect.signature(reduce).parameters if key not in _GIVEN]
    if group == "pretrainings":
        from ctprune.pretraining.config import PretrainConfig

        return ["preset", *(field.name for field in dataclasses.fields(PretrainConfig))]
    from ctprune.finetuning.run import finetune

    return [key for key in inspect.signature(finetune).parameters if key not in _GIVEN]


def _configure(group: str, options: dict[str, Any]) -> Any:
    """The stage's configuration of the options: it refuses what it cannot use."""
    if group == "reductions":
        return ReduceConfig(**_fields_of(ReduceConfig, options))
    if group == "pretrainings":
        from ctprune.pretraining.config import PretrainConfig

        given = {key: value for key, value in options.items() if key != "preset"}
        return PretrainConfig.resolve(given, preset_name=options.get("preset"))
    from ctprune.finetuning.config import FinetuneConfig

    return FinetuneConfig(**_fields_of(FinetuneConfig, options))


def _fields_of(config: type[Any], options: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(config)}
    return {key: value for key, value in options.items() if key in names}
