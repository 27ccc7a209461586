"""The workflows, the recipe and the smoke test fit the project that they release."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from docs.dependencies import crates, required_by_python

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
    assert all(system in runners for system in ("macos-15 ", "intel", "windows"))
    for name in ("linux", "others", "free-threaded"):
        commands = [step.get("run", "") for step in jobs[name]["steps"]]
        assert any(".ci/smoke" in command for command in commands)
    assert set(jobs["publish"]["needs"]) == set(jobs) - {"publish"}
    uses = [step["uses"] for step in jobs["publish"]["steps"]]
    assert any(action.startswith("actions/attest-build-provenance@") for action in uses)
    # What is published is what the jobs upload, but for the bill of materials, which is attested to.
    uploads = {
        step["with"]["name"].split("-")[0]: name
        for name, job in jobs.items()
        for step in job["steps"]
        if step.get("uses", "").startswith("actions/upload-artifact@")
    }
    assert uploads.keys() == {"dist", "sbom"}
    downloads = [step["with"] for step in jobs["publish"]["steps"] if "download-artifact@" in step.get("uses", "")]
    assert [(one.get("pattern"), one.get("name")) for one in downloads] == [("dist-*", None), (None, "sbom")]
    [attested] = [step["with"] for step in jobs["publish"]["steps"] if "sbom-path" in step.get("with", {})]
    written = [step["run"] for step in jobs["source"]["steps"] if "docs.sbom" in step.get("run", "")]
    assert written == [f"python3 -m docs.sbom {attested['sbom-path']}"]


def test_the_docs_say_which_systems_were_tried() -> None:
    page = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    table = page.split("## Systems")[1].split("\n## ")[0]
    assert all(system in table for system in ("x86-64", "aarch64", "musl", "macOS", "Windows", "free-threaded"))


def test_the_smoke_test_installs_the_wheel_of_its_folder_alone() -> None:
    script = (ROOT / ".ci" / "smoke").read_text(encoding="utf-8")
    assert 'pip --no-index --no-deps --find-links "$wheels" --only-binary ctprune ctprune\n' in script


def test_actions_are_of_one_version_each() -> None:
    jobs = [job for file in WORKFLOWS for job in loaded(file)["jobs"].values()]
    used = {step["uses"] for job in jobs for step in job["steps"] if "uses" in step}
    names = [action.split("@")[0] for action in used]
    assert len(names) == len(set(names)), sorted(used)


def test_all_requirements_are_audited_and_no_more() -> None:
    command = [sys.executable, "-m", "docs.dependencies", "--requirements"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    project = pytest.importorskip("tomllib").loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    extras = [one for extra in project["optional-dependencies"].values() for one in extra]
    assert listed == [*project["dependencies"], *extras]
    steps = loaded(ROOT / ".github" / "workflows" / "checks.yml")["jobs"]["dependencies"]["steps"]
    assert any("docs.dependencies --requirements" in step.get("run", "") for step in steps)


@pytest.mark.skipif(shutil.which("cargo") is None, reason="needs cargo")
def test_the_bill_of_materials_has_every_crate_and_no_path(tmp_path: Path) -> None:
    file = tmp_path / "sbom.cdx.json"
    subprocess.run([sys.executable, "-m", "docs.sbom", str(file)], cwd=ROOT, check=True)
    text = file.read_text(encoding="utf-8")
    found = json.loads(text)
    components = {(one["name"], one["version"]): one for one in found["components"]}
    lock = (ROOT / "Cargo.lock").read_text(encoding="utf-8")
    locked = set(re.findall(r'^name = "(.*)"\nversion = "(.*)"', lock, re.MULTILINE))
    assert components.keys() <= locked
    names = {name for name, _ in components}
    assert set(crates()) <= names
    # What only the tests need is not in the wheel.
    assert "openjpeg-sys" in {name for name, _ in locked} - names
    assert all(one["licenses"][0]["expression"] for one in found["components"])
    assert found["metadata"]["component"]["version"] == ctprune.__version__
    assert "file:" not in text
    assert str(ROOT) not in text


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
