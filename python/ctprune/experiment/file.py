"""The experiment's file: read it, insert variables, and check every key before anything starts."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctprune.comparison.config import CompareConfig
from ctprune.errors import ConfigError, SourceError
from ctprune.experiment.inputs import NAMED_WEIGHTS
from ctprune.experiment.margins import check_margins
from ctprune.experiment.options import check_options
from ctprune.experiment.relations import (
    FROM_PRETRAININGS,
    Pretraining,
    Reduction,
    as_many,
    check_pretraining,
    check_reduction,
)
from ctprune.files.members import is_there
from ctprune.options.file import as_given
from ctprune.options.option import options_of
from ctprune.selection.methods import METHODS
from ctprune.sources.addresses import as_address, parse_address

#: Keys of the file; those that begin with `x-` are for anchors and ignored.
_KEYS = (
    "name",
    "description",
    "variables",
    "sources",
    "reductions",
    "pretrainings",
    "baselines",
    "tasks",
    "seeds",
    "comparison",
)
_REQUIRED = ("sources", "reductions", "pretrainings", "tasks")

#: Keys of a pre-training besides its options: its place in the grid, and the pre-training whose steps it takes.
_GRID_KEYS = ("sources", "reductions", *FROM_PRETRAININGS)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_-]*)\}")


@dataclass(frozen=True, kw_only=True)
class ExperimentFile:
    """The content of the file; mappings keep its order.

    Attributes:
        name: Heading of the comparison.
        description: A paragraph below it.
        sources: By name, folders or files.
        reductions: By name.
        pretrainings: By name.
        baselines: By name, options of `ctprune.finetune` for models without a pre-training of their own.
        tasks: By name, options of `ctprune.finetune` with `data`.
        pretraining_seeds: Each pre-training is carried out once for each of these.
        finetuning_seeds: Each fine-tuning has all of them.
        comparison: Options of `ctprune.compare`; the margin may be one for each task, by name.
    """

    name: str
    description: str
    sources: dict[str, tuple[Path, ...]]
    reductions: dict[str, Reduction]
    pretrainings: dict[str, Pretraining]
    baselines: dict[str, dict[str, Any]]
    tasks: dict[str, dict[str, Any]]
    pretraining_seeds: tuple[int, ...]
    finetuning_seeds: tuple[int, ...]
    comparison: dict[str, Any]


def load_experiment(file: str | os.PathLike[str], *, variables: Mapping[str, str] | None = None) -> ExperimentFile:
    """Read and check an experiment's file.

    Args:
        file: YAML.
        variables: Values for the file's `variables`; required for those without a value in the file.

    Raises:
        SourceError: There is no such file, or a source or a task's data are not there.
        ConfigError: A key or value is wrong: the message names it, what was expected and what was found.
    """
    path = Path(file)
    content = _read(path)
    try:
        return _Checked(_with_variables(content, dict(variables or {}))).experiment(path.stem)
    except (ConfigError, SourceError) as error:
        raise type(error)(f"{file}: {error}") from None


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SourceError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise SourceError(f"{path}: expected a file of an experiment, found a folder") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: expected YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected keys such as sources and tasks, found {_kind(content)}")
    return {key: value for key, value in content.items() if not str(key).startswith("x-")}


def _with_variables(content: dict[str, Any], given: dict[str, str]) -> dict[str, Any]:
    known = content.get("variables") or {}
    if not isinstance(known, dict):
        raise ConfigError(f"variables: expected names with values, found {_kind(known)}")
    for name in given:
        if name not in known:
            raise ConfigError(
                f"`variables` {name}: expected one of {', '.join(map(str, known)) or 'no variables'}"
            )
    values = {str(name): _value(str(name), value, given) for name, value in known.items()}
    missing = [name for name, value in values.items() if value is None]
    if missing:
        raise ConfigError(f"variables: {missing[0]} has no value: give one with `variables` {missing[0]}=…")

    def put_in(value: Any, key: str) -> Any:
        if isinstance(value, dict):
            return {name: put_in(item, f"{key}.{name}".lstrip(".")) for name, item in value.items()}
        if isinstance(value, list):
            return [put_in(item, f"{key}[{index}]") for index, item in enumerate(value)]
        if not isinstance(value, str):
            return value
        for name in _VARIABLE.findall(value):
            if name not in values:
                raise ConfigError(
                    f"{key}: ${{{name}}} is not one of the variables {', '.join(values) or '(there are none)'}"
                )
        whole = _VARIABLE.fullmatch(value)
        if whole:
            return values[whole[1]]
        return _VARIABLE.sub(lambda found: str(values[found[1]]), value)

    return {str(key): put_in(value, str(key)) for key, value in content.items() if key != "variables"}


def _value(name: str, in_file: Any, given: dict[str, str]) -> Any:
    """The given value, else the file's; if the file has numbers, the given value must be one, or a list."""
    if name not in given:
        return in_file
    first = in_file[0] if isinstance(in_file, list) and in_file else in_file
    if isinstance(first, bool) or not isinstance(first, (int, float)):
        return given[name]
    text = given[name].strip()
    try:
        # Seeds may be a number of them, or these.
        if text.startswith("[") and text.endswith("]"):
            return [type(first)(one) for one in text[1:-1].split(",")]
        return type(first)(text)
    except ValueError:
        raise ConfigError(
            f"`variables` {name}: expected a number such as {first}, or several as [1, 2], found {given[name]}"
        ) from None


class _Checked:
    """The content of a file, before it becomes an `ExperimentFile`."""

    def __init__(self, content: dict[str, Any]) -> None:
        for key in content:
            if key not in _KEYS:
                raise ConfigError(f"{key}: unknown key: expected {', '.join(_KEYS)}")
        for key in _REQUIRED:
            if not content.get(key):
                raise ConfigError(f"{key}: expected at least one, found none")
        self._content = content

    def experiment(self, stem: str) -> ExperimentFile:
        sources = {name: _paths(f"sources.{name}", value) for name, value in self._group("sources").items()}
        reductions = {name: self._reduction(name) for name in self._group("reductions")}
        for name, reduction in reductions.items():
            check_reduction(name, reduction, reductions)
        seeds = self._seeds()
        pretrainings = {
            name: self._pretraining(name, tuple(sources), tuple(reductions))
            for name in self._group("pretrainings")
        }
        for name, pretraining in pretrainings.items():
            check_pretraining(name, pretraining, pretrainings)
        tasks = {name: self._task(name) for name in self._group("tasks")}
        return ExperimentFile(
            name=_text("name", self._content.get("name", stem)),
            description=_text("description", self._content.get("description", "")),
            sources=sources,
            reductions=reductions,
            pretrainings=pretrainings,
            baselines={name: self._options("baselines", name) for name in self._group("baselines")},
            tasks=tasks,
            pretraining_seeds=seeds[0],
            finetuning_seeds=seeds[1],
            comparison=self._comparison(tasks),
        )

    def _group(self, key: str) -> dict[str, Any]:
        found = self._content.get(key) or {}
        if not isinstance(found, dict):
            raise ConfigError(f"{key}: expected names with options, found {_kind(found)}")
        for name in found:
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise ConfigError(
                    f"{key}: {name!r} is not a valid name: expected letters, digits and . _ + -, because a "
                    f"folder gets this name"
                )
        return found

    def _options(
        self, group: str, name: str, *, besides: tuple[str, ...] = (), plus: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        found = self._group(group)[name]
        found = {} if found is None else found
        if not isinstance(found, dict):
            raise ConfigError(f"{group}.{name}: expected options, found {_kind(found)}")
        # An option without a value is removed: so an entry can undo an option from an anchor.
        options = {str(key): value for key, value in found.items() if key not in besides and value is not None}
        options = check_options(group, name, options | dict(plus or {}), besides=besides)
        _check_files(group, name, options)
        return options

    def _reduction(self, name: str) -> Reduction:
        given = self._group("reductions")[name]
        like = given.get("as_many_as") if isinstance(given, dict) else None
        if like is None:
            return Reduction(options=self._options("reductions", name, besides=("as_many_as",)))
        method = str(given.get("method", "hash"))
        taken = as_many(method, kept=1, slices=1) if method in METHODS else {}
        if method in METHODS and not taken:
            takers = ", ".join(one for one in METHODS if as_many(one, kept=1, slices=1))
            raise ConfigError(f"reductions.{name}.as_many_as: expected a method such as {takers}, found {method}")
        for option in ("threshold", "keep", "budget", "n"):
            if given.get(option) is not None:
                raise ConfigError(
                    f"reductions.{name}: as_many_as and {option} are mutually exclusive: give only one"
                )
        return Reduction(
            options=self._options("reductions", name, besides=("as_many_as",), plus=taken), as_many_as=str(like)
        )

    def _pretraining(self, name: str, sources: tuple[str, ...], reductions: tuple[str, ...]) -> Pretraining:
        options = self._options("pretrainings", name, besides=_GRID_KEYS)
        given = self._group("pretrainings")[name] or {}
        like = {key: str(given[key]) for key in FROM_PRETRAININGS if given.get(key) is not None}
        return Pretraining(
            options=options,
            sources=_chosen(f"pretrainings.{name}.sources", given.get("sources"), sources),
            reductions=_chosen(f"pretrainings.{name}.reductions", given.get("reductions"), reductions),
            **like,
        )

    def _task(self, name: str) -> dict[str, Any]:
        options = self._options("tasks", name)
        if not options.get("data"):
            raise ConfigError(f"tasks.{name}.data: expected a folder or file of labeled images, found none")
        for key in ("data", "split", "labels"):
            if options.get(key) is not None and not Path(str(options[key])).exists():
                raise SourceError(f"tasks.{name}.{key}: {options[key]}: no such file or folder")
        return options

    def _seeds(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        found = self._content.get("seeds", {})
        found = {"finetuning": found} if not isinstance(found, dict) else found
        for key in found:
            if key not in ("pretraining", "finetuning"):
                raise ConfigError(f"seeds.{key}: unknown key: expected pretraining, finetuning")
        return (
            _seed_list("seeds.pretraining", found.get("pretraining", 1)),
            _seed_list("seeds.finetuning", found.get("finetuning", 5)),
        )

    def _comparison(self, tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        found = self._content.get("comparison") or {}
        if not isinstance(found, dict):
            raise ConfigError(f"comparison: expected options, found {_kind(found)}")
        known = [name for name in options_of(CompareConfig) if name != "names"]
        for key in found:
            if key not in known:
                raise ConfigError(f"comparison.{key}: unknown key: expected {', '.join(known)}")
        if "contrasts" in found:
            _check_contrasts(found["contrasts"])
        options = as_given(CompareConfig, found)
        try:
            CompareConfig(**options | {"margin": None})
        except ConfigError as error:
            raise ConfigError(f"comparison{'.' if error.field else ': '}{error}") from None
        check_margins(options.get("margin"), tasks)
        return options


def _check_contrasts(contrasts: Any) -> None:
    if not contrasts or not isinstance(contrasts, list):
        raise ConfigError(
            f"comparison.contrasts: expected pairs of models such as [hash, all], found {contrasts or 'none'}"
        )
    for contrast in contrasts:
        two = isinstance(contrast, list) and len(contrast) == 2 and all(isinstance(one, str) for one in contrast)
        if not two or contrast[0] == contrast[1]:
            raise ConfigError(f"comparison.contrasts: expected two models such as [hash, all], found {contrast!r}")


def _check_files(group: str, name: str, options: dict[str, Any]) -> None:
    # The target of a task says what labels are.
    keys = ("weights", "target", "probe", "exclude") if group == "reductions" else ("weights", "probe", "exclude")
    for key in keys:
        given = options.get(key)
        for item in given if isinstance(given, list) else [] if given in (None, *NAMED_WEIGHTS) else [given]:
            if not (key == "target" and as_address(str(item))) and not Path(str(item)).exists():
                raise SourceError(f"{group}.{name}.{key}: {item}: no such file or folder")


def _paths(key: str, value: Any) -> tuple[Path, ...]:
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list) or not given or not all(isinstance(item, str) for item in given):
        raise ConfigError(f"{key}: expected a folder or a list of folders, found {_kind(value)}")
    for item in given:
        address = as_address(item)
        if address is not None:
            parse_address(address)
        elif not is_there(item):
            raise SourceError(f"{key}: {item}: no such file or folder")
    return tuple(Path(item) for item in given)


def _chosen(key: str, value: Any, known: tuple[str, ...]) -> tuple[str, ...]:
    """The given names, in the order of `known`; all if none is given."""
    if value is None:
        return known
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list) or not given:
        raise ConfigError(f"{key}: expected names, found {_kind(value)}")
    for name in given:
        if name not in known:
            raise ConfigError(f"{key}: expected some of {', '.join(known)}, found {name}")
    return tuple(name for name in known if name in given)


def _seed_list(key: str, value: Any) -> tuple[int, ...]:
    """A number n of seeds, 0 to n - 1, or the seeds themselves."""
    given = list(range(value)) if isinstance(value, int) and not isinstance(value, bool) else value
    if (
        not isinstance(given, list)
        or not given
        or not all(isinstance(seed, int) and 0 <= seed < 2**63 for seed in given)
        or len(set(given)) != len(given)
    ):
        raise ConfigError(f"{key}: expected a number of seeds from 1, or different seeds, found {value!r}")
    return tuple(given)


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{key}: expected text, found {_kind(value)}")
    return value.strip()


def _kind(value: Any) -> str:
    names = {dict: "keys with values", list: "a list", str: f"the text {value!r}", type(None): "nothing"}
    return names.get(type(value), repr(value))
