"""Commands whose options come from dataclasses of configuration."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from ctprune.cli.flags import flag, translated
from ctprune.options.option import Option, options_of

#: Ranges to show: those whose ends say more than that a number is finite.
_LARGEST_SHOWN = 9999


@dataclass(frozen=True, kw_only=True)
class OptionsOf:
    """Stands for a configuration's options in a command's signature; the command gets the given ones.

    Attributes:
        config: Module and class, such as `ctprune.report.config:ReportConfig`; imported when the command is used.
        only: Names of the options to take; by default all.
        file: Whether `--config` reads more of them from a file.
        panel: Section of the help for all of them, instead of their own.
        defaults: Module and function that makes an option's help with its default, if that differs from the usual.
        flags: Names of options on the command line, if they differ from their own.
    """

    config: str
    only: tuple[str, ...] = ()
    file: bool = False
    panel: str | None = None
    defaults: str | None = None
    flags: Mapping[str, str] = field(default_factory=dict)

    def options(self) -> dict[str, Option]:
        """The options by name."""
        found = options_of(_imported(self.config))
        return {name: one for name, one in found.items() if not one.about.hidden and name in (self.only or found)}


Names = Annotated[dict[str, Any], OptionsOf(config="ctprune.manifest.reveal_config:RevealConfig")]

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
QuietInOutput = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.", rich_help_panel="Output")]


def generated(command: Callable[..., None]) -> Callable[..., None]:
    """The command as Typer needs it: with a parameter for each option."""
    groups: dict[str, OptionsOf] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        group = next((part for part in _metadata(parameter.annotation) if isinstance(part, OptionsOf)), None)
        if group is None:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
        else:
            groups[parameter.name] = group
            parameters.extend(_parameters(group))

    def run(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = _given(group, values)
        command(**values)

    run.__doc__ = command.__doc__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run


def _given(group: OptionsOf, values: dict[str, Any]) -> dict[str, Any]:
    """Remove the group's values from all values and return the given ones, which override those of a file."""
    found = {name: values.pop(name) for name in group.options()}
    given = {name: value for name, value in found.items() if value not in (None, [], ())}
    # A flag that is not given means no.
    given = {
        name: value for name, value in given.items() if value is not False or group.options()[name].about.negative
    }
    file = values.pop("config") if group.file else None
    if file is None:
        return given
    from ctprune.options.file import layered, read_options

    kind = _imported(group.config)
    return layered(kind, read_options(kind, file), given)


def _parameters(group: OptionsOf) -> Iterator[inspect.Parameter]:
    if group.file:
        yield _parameter("config", Path | None, typer.Option(help=CONFIG_HELP), None)
    say_help = _imported(group.defaults) if group.defaults else _help
    flags = {name: flag(group.flags.get(name) or one.about.flag or name) for name, one in group.options().items()}
    for name, one in group.options().items():
        about = one.about
        kind, default = _type(one)
        names = [flags[name]]
        if about.negative:
            names[0] += f"/--no-{names[0][2:]}"
        if about.short:
            names.append(f"--{about.short}")
        info = typer.Option(
            *names,
            metavar=about.metavar or (f"[{'|'.join(map(str, about.choices))}]" if about.choices else None),
            help=translated(say_help(one), None, flags),
            rich_help_panel=group.panel or about.panel,
        )
        yield _parameter(name, kind, info, default)


CONFIG_HELP = "YAML file of options, such as those of an earlier call; flags override it."


def _parameter(name: str, kind: Any, info: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info]
    )


def _type(option: Option) -> tuple[Any, Any]:
    """The type that the command line takes, and the value if nothing is given."""
    about = option.about
    text: Any = Path if about.is_path else str
    if option.kind is list or about.repeatable:
        return list[text] | None, None
    if option.kind is bool:
        return (bool | None, None) if about.negative else (bool, False)
    if option.kind in (int, float) and about.parse is None:
        return option.kind | None, None
    return text | None, None


def _help(option: Option) -> str:
    """The option's help, with its default and its range."""
    about, notes = option.about, []
    default = about.default_text or option.default
    if option.kind is not bool and isinstance(default, (str, int, float)) and default != "":
        notes.append(f"default: {said(default)}")
    if option.kind in (int, float) and not about.expected and about.low is not None and about.high is not None:
        notes += [f"{about.low:g} to {about.high:g}"] if about.high <= _LARGEST_SHOWN else []
    return f"{about.help}  [{'; '.join(notes)}]" if notes else about.help


def said(value: object) -> str:
    """A default, as people write it.

    >>> said(1e-6), said(0.0001), said(0.15), said("hash")
    ('1e-6', '1e-4', '0.15', 'hash')
    """
    if not isinstance(value, float):
        return str(value)
    mantissa, _, exponent = f"{value:e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}" if 0 < value < 1e-3 else f"{value:g}"


def _metadata(annotation: Any) -> tuple[Any, ...]:
    found: tuple[Any, ...] = getattr(annotation, "__metadata__", ())
    return found


def _imported(reference: str) -> Any:
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)
