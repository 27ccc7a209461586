"""The workflows, the recipe and the smoke test fit the project that they release."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from docs.dependencies import required_by_python

import ctprune

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def loaded(file: Path) -> dict[Any, Any]:
    found = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_a_workflow_has_little_power_and_ends(file: Path) -> None:
    workflow = loaded(file)
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 90, name
        assert ("id-token" in job.get("permissions", {})) == (name == "publish")
        assert set(job.get("needs", [])) <= set(workflow["jobs"])
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_wheels_are_built_for_every_system_and_tried_before_they_are_published() -> None:
    jobs = loaded(ROOT / ".github" / "workflows" / "wheels.yml")["jobs"]
    linux = {(one["target"], one["manylinux"]) for one in jobs["linux"]["strategy"]["matrix"]["include"]}
    assert linux == {(arch, tag) for arch in ("x86_64", "aarch64") for tag in ("2014", "musllinux_1_2")}
    runners = " ".join(one["runner"] for one in jobs["others"]["strategy"]["matrix"]["include"])
    assert all(system in runners for system in ("macos-14", "intel", "windows"))
    for name in ("linux", "others", "free-threaded"):
        commands = [step.get("run", "") for step in jobs[name]["steps"]]
        assert any(".ci/smoke" in command for command in commands)
    assert set(jobs["publish"]["needs"]) == set(jobs) - {"publish"}
    uses = [step["uses"] for step in jobs["publish"]["steps"]]
    assert any(action.startswith("actions/attest-build-provenance@") for action in uses)


def test_the_recipe_needs_what_the_package_needs() -> None:
    recipe = loaded(ROOT / "recipe" / "recipe.yaml")
    base = {name for name, extra in required_by_python().items() if not extra}
    run = {requirement.split()[0].removesuffix("-base") for requirement in recipe["requirements"]["run"]}
    assert run == base | {"python"}
    assert recipe["context"]["version"] == ctprune.__version__


@pytest.mark.skipif(os.name == "nt", reason="the script is sh's")
def test_the_smoke_tests_are_scripts_of_commands_that_there_are() -> None:
    from ctprune.cli import COMMANDS

    tried = ROOT / ".ci" / "try"
    for script in (tried, ROOT / ".ci" / "smoke", ROOT / ".ci" / "smoke-aarch64"):
        assert subprocess.run(["sh", "-n", str(script)], check=False).returncode == 0
        assert os.access(script, os.X_OK)
    called = re.findall(r'"\$@" (\w+)', tried.read_text(encoding="utf-8"))
    assert called
    assert set(called) <= set(COMMANDS)
