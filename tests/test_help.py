"""Help: choices and defaults are named, and no type of Python's."""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest
import typer

from ctprune import cli as command_line
from ctprune.cli import app, main

COMMANDS = list(command_line.COMMANDS)


@pytest.fixture
def shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> str:
    """The help of the parametrized command at 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "argv", ["ctprune", *request.param])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    return capsys.readouterr().out


def parameters(name: str) -> dict[str, Any]:
    group: Any = typer.main.get_command(app)
    command = group.get_command(None, name)
    return {parameter.name: parameter for parameter in command.params}


@pytest.mark.parametrize("shown", [["-h"], *([name, "-h"] for name in COMMANDS)], indirect=True)
def test_help_is_short_for_every_command_and_names_no_type(shown: str) -> None:
    assert "Usage:" in shown
    assert "-h, --help" in shown
    assert not re.search(r"<\w|list\[", shown)
    assert max(map(len, shown.splitlines())) <= 80


def test_choices_are_those_that_are_taken() -> None:
    from ctprune.evaluation.correction import CORRECTIONS
    from ctprune.exporting import config as exporting
    from ctprune.finetuning import mode_options, option_values
    from ctprune.options.shared import PRECISIONS
    from ctprune.pretraining import config as pretraining
    from ctprune.pretraining import presets, settings
    from ctprune.reduction import selection_config as selection
    from ctprune.segmenting import config as segmenting
    from ctprune.selection import methods
    from ctprune.store.config import USES

    expected: dict[str, dict[str, Any]] = {
        "reduce": {
            "scope": selection.SCOPES,
            "order": selection.ORDERS,
            "window": selection.WINDOWS,
            "fingerprint": ("auto", *methods.FINGERPRINTS),
            "mode": exporting.MODES,
        },
        "sweep": {"methods": tuple(methods.swept()), "scope": selection.SCOPES},
        "pretrain": {
            "method": tuple(settings.SETTINGS),
            "preset": presets.PRESETS,
            "optimizer": pretraining.OPTIMIZERS,
            "precision": PRECISIONS,
            "use": USES,
        },
        "finetune": {
            "mode": mode_options.MODES,
            "normalize": option_values.NORMALIZATIONS,
            "precision": PRECISIONS,
        },
        "segment": {"mode": segmenting.MODES, "normalize": segmenting.NORMALIZATIONS, "precision": PRECISIONS},
        "compare": {"correction": tuple(CORRECTIONS)},
    }
    for name, choices in expected.items():
        found = parameters(name)
        assert {option: found[option].metavar for option in choices} == {
            option: f"[{'|'.join(taken)}]" for option, taken in choices.items()
        }
    # Too many for one line of help.
    method = parameters("reduce")["method"]
    assert method.metavar == "METHOD"
    assert f": {', '.join(methods.METHODS)}." in method.help


def test_the_defaults_of_pretrain_are_those_of_its_presets() -> None:
    from ctprune.pretraining.config import PretrainConfig

    configs = {name: PretrainConfig.resolve({}, preset_name=name) for name in ("paper", "small", "smoke")}
    found = parameters("pretrain")
    told = 0
    for option, parameter in found.items():
        said = re.search(r"default (\S+?)(?:\.$| \((.*)\)\.$)", parameter.help or "")
        if said is None or not hasattr(configs["paper"], option):
            continue
        told += 1
        values = dict.fromkeys(configs, said[1])
        for names, value in re.findall(r"((?:small|smoke)(?:, smoke)?): (\S+?)(?:,|$)", said[2] or ""):
            values |= dict.fromkeys(names.split(", "), value)
        for name, config in configs.items():
            actual = getattr(config, option)
            is_number = isinstance(actual, (int, float))
            assert (float(values[name]) if is_number else values[name]) == actual, (option, name)
    assert told >= 13


def test_the_page_of_commands_shows_their_help() -> None:
    from docs import commands

    page = commands.PAGE.read_text(encoding="utf-8")
    assert page.count("\n## ctprune ") == len(COMMANDS)
    assert commands.inserted(page) == page
