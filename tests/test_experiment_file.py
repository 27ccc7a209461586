"""The experiment's file: what is understood, what is refused before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ctprune
from ctprune.errors import ConfigError, SourceError
from ctprune.experiment.file import load_experiment
from ctprune.experiment.grid import build_grid
from ctprune.experiment.inputs import Inputs
from ctprune.files.contents import Contents
from tests.experiments import Stages


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": {}}, "task: unknown key: expected name,"),
        ({"sources": None}, "sources: expected at least one, found none"),
        ({"sources": {"phantom": 3}}, "sources.phantom: expected a folder or a list of folders, found 3"),
        ({"reductions": ["hash"]}, "reductions: expected names with options, found a list"),
        ({"reductions": {"a/b": {}}}, "reductions: 'a/b' is not a valid name"),
        (
            {"reductions": {"h": {"treshold": 6}}},
            "reductions.h.treshold: unknown key: expected some of as_many_as, method,",
        ),
        ({"reductions": {"h": {"method": "hsh"}}}, "reductions.h.method hsh: expected one of hash"),
        ({"reductions": {"h": {"threshold": "six"}}}, "reductions.h.threshold six: expected a number"),
        ({"pretrainings": {"p": {"epoch": 3}}}, "pretrainings.p.epoch: unknown key: expected some of sources,"),
        (
            {"pretrainings": {"p": {"seed": 3}}},
            "pretrainings.p.seed: cannot be set here: seeds.pretraining sets the seeds of all",
        ),
        ({"pretrainings": {"p": {"epochs": 0}}}, "pretrainings.p.epochs 0: expected a whole number"),
        ({"pretrainings": {"p": {"reductions": "none"}}}, "pretrainings.p.reductions: expected some of hash6"),
        ({"pretrainings": {"p": {"steps_of": "q"}}}, "pretrainings.p.steps_of: expected one of .*found q"),
        (
            {"pretrainings": {"p": {"steps_of": "q", "steps": 3}, "q": {}}},
            "pretrainings.p: steps_of and steps are mutually exclusive",
        ),
        (
            {"pretrainings": {"p": {"steps_of": "q", "epochs_of": "q"}, "q": {}}},
            "pretrainings.p: steps_of and epochs_of are mutually exclusive",
        ),
        (
            {"pretrainings": {"p": {"epochs_of": "q"}, "q": {"steps_of": "r"}, "r": {}}},
            "pretrainings.p.epochs_of: q has steps_of itself: name the pre-training that its epochs come from",
        ),
        (
            {"reductions": {"h": {"as_many_as": "g", "threshold": 6}, "g": {}}},
            "reductions.h: as_many_as and threshold are mutually exclusive: give only one",
        ),
        (
            {"reductions": {"h": {"method": "kcenter", "as_many_as": "g"}}},
            r"reductions.h.as_many_as: expected one of \(there is no other\), found g",
        ),
        (
            {
                "reductions": {
                    "h": {"method": "kcenter", "as_many_as": "g"},
                    "g": {"method": "every-n", "as_many_as": "f"},
                    "f": {},
                }
            },
            "reductions.h.as_many_as: g has as_many_as itself: name the reduction that its number comes from",
        ),
        (
            {"reductions": {"h": {"method": "all", "as_many_as": "g"}, "g": {}}},
            "reductions.h.as_many_as: expected a method such as hash, .* found all",
        ),
        ({"tasks": {"t": {}}}, "tasks.t.data: expected a folder or file of labeled images, found none"),
        ({"seeds": 0}, "seeds.finetuning: expected a number of seeds from 1"),
        ({"seeds": {"training": 1}}, "seeds.training: unknown key: expected pretraining, finetuning"),
        ({"comparison": {"correction": "none"}}, "comparison.correction none: expected one of holm"),
        ({"comparison": {"resamples": "many"}}, "comparison.resamples many: expected a whole number, 100 to"),
        ({"comparison": {"reference": "best"}}, "comparison.reference: expected one of none, all"),
        (
            {"comparison": {"contrasts": []}},
            r"comparison.contrasts: expected pairs of models such as \[hash, all\]",
        ),
        ({"comparison": {"contrasts": ["hash"]}}, r"comparison.contrasts: expected two models .* found 'hash'"),
        (
            {"comparison": {"contrasts": [["hash", "some"]]}},
            r"comparison.contrasts: \[hash, some\]: no two models differ only in this: expected .* among none,",
        ),
        (
            {"comparison": {"contrasts": [["hash", "all"]], "reference": "all"}},
            "comparison: `reference` and `contrasts` are mutually exclusive",
        ),
        ({"comparison": {"margin": "small"}}, "comparison.margin small: expected a difference above 0"),
        (
            {"baselines": None, "pretrainings": {"p": {"preset": "smoke"}}},
            "expected two or more models to compare, found p alone",
        ),
        ({"sources": {"phantom": "${archive}"}}, r"sources.phantom: \$\{archive\} is not one of the variables"),
        ({"variables": {"archive": None}}, "variables: archive has no value: give one with `variables` archive="),
    ],
)
def test_mistakes_are_found_before_anything_starts(
    write: Callable[..., Path], stages: Stages, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        ctprune.run_experiment(write(**changes), out=tmp_path / "out")
    assert stages.calls == []
    assert not (tmp_path / "out").exists()


def test_files_that_are_not_there_are_named(write: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nothing.yaml: no such file"):
        load_experiment(tmp_path / "nothing.yaml")
    with pytest.raises(SourceError, match=r"tried.yaml: sources.phantom: nowhere: no such file or folder"):
        load_experiment(write(sources={"phantom": "nowhere"}))
    with pytest.raises(SourceError, match=r"tasks.t.data: nowhere: no such file or folder"):
        load_experiment(write(tasks={"t": {"data": "nowhere"}}))
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: [")
    with pytest.raises(ConfigError, match=r"broken.yaml: expected YAML"):
        load_experiment(broken)


def test_a_variable_may_hold_seeds_or_their_number(write: Callable[..., Path]) -> None:
    file = write(variables={"tried": 2}, seeds={"pretraining": "${tried}"})
    assert load_experiment(file).pretraining_seeds == (0, 1)
    assert load_experiment(file, variables={"tried": "3"}).pretraining_seeds == (0, 1, 2)
    assert load_experiment(file, variables={"tried": "[3, 4]"}).pretraining_seeds == (3, 4)
    listed = write(variables={"tried": [5]}, seeds={"pretraining": "${tried}"})
    assert load_experiment(listed, variables={"tried": "[6, 7]"}).pretraining_seeds == (6, 7)
    for wrong in ("[]", "[3, 3]", "[3, x]", "[-1]"):
        with pytest.raises(ConfigError, match="expected"):
            load_experiment(file, variables={"tried": wrong})


def test_variables_are_put_in(write: Callable[..., Path], archive: Path) -> None:
    file = write(
        variables={"archive": None, "epochs": 3},
        sources={"phantom": "${archive}"},
        pretrainings={"all": {"preset": "smoke", "epochs": "${epochs}"}, "hash": {"preset": "smoke"}},
        tasks={"lesions": {"data": "${archive}/labels.csv"}},
    )
    found = load_experiment(file, variables={"archive": str(archive), "epochs": "7"})
    assert found.pretrainings["all"].options["epochs"] == 7
    assert found.tasks["lesions"]["data"] == f"{archive}/labels.csv"
    with pytest.raises(ConfigError, match=r"`variables` epochs: expected a number such as 3, or .*, found many"):
        load_experiment(file, variables={"archive": str(archive), "epochs": "many"})
    with pytest.raises(ConfigError, match=r"all.epochs \[7, 8\]: expected a whole number"):
        load_experiment(file, variables={"archive": str(archive), "epochs": "[7, 8]"})
    with pytest.raises(ConfigError, match="`variables` archiv: expected one of archive, epochs"):
        load_experiment(file, variables={"archiv": str(archive)})


def test_option_without_a_value_is_taken_back(write: Callable[..., Path]) -> None:
    options = {"preset": "smoke", "epochs": None}
    found = load_experiment(write(pretrainings={"p": options, "q": {"preset": "smoke"}}))
    assert found.pretrainings["p"].options == {"preset": "smoke"}


def test_names_of_models_say_what_differs(write: Callable[..., Path], archive: Path) -> None:
    file = write(
        sources={"a": str(archive), "b": str(archive)},
        reductions={"hash6": {}, "tenth": {"method": "every-n"}},
        pretrainings={"swav": {"preset": "smoke"}, "byol": {"preset": "smoke", "method": "byol", "sources": "a"}},
    )
    grid = build_grid(load_experiment(file), Inputs(Contents()))
    assert list(grid.tasks["lesions"]) == [
        "none",
        "a · hash6 · swav",
        "a · tenth · swav",
        "b · hash6 · swav",
        "b · tenth · swav",
        "a · hash6 · byol",
        "a · tenth · byol",
    ]
    assert [step.kind for step in grid.steps].count("reduce") == 4
