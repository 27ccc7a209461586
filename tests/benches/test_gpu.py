"""The run for a GPU, on a CPU at a size of nothing, and what is carried to it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benches.gpu import bundle, clusters, pack, start
from benches.gpu.__main__ import carry_out
from benches.gpu.box import Box, append, read
from benches.gpu.bundle import size_of
from benches.gpu.pack import read_about, unpack_series, unpack_slices
from benches.gpu.record import to_record
from benches.gpu.requirements import PROVIDED, ROOTS, UNUSED, needs, plan, read_wheels
from benches.gpu.utilization import Utilization, means_of
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from benches import record

PARTS = ["environment", "swav", "tests", "vit", "deep", "kmeans", "experiment"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    sizes = ["--patients", "16", "--patient-slices", "6", "--series-slices", "4", "--side", "64"]
    subprocess.run([sys.executable, "-m", "benches.gpu.pack", "--out", folder, *sizes], check=True)
    return folder


def modules_of_others() -> list[str]:
    """Modules that are installed here, but neither in the bundle nor where torch is used anyway."""
    carried: set[str] = set()
    queue = [Requirement(root) for root in (*ROOTS, *PROVIDED)]
    while queue:
        requirement = queue.pop()
        name = canonicalize_name(requirement.name)
        if name not in UNUSED and str(requirement) not in carried:
            carried |= {name, str(requirement)}
            queue += needs(importlib.metadata.requires(name) or [], requirement.extras)
    return [
        module
        for module, owners in importlib.metadata.packages_distributions().items()
        if not any(canonicalize_name(owner) in carried for owner in owners)
    ]


_MISSING = """import sys
from importlib.machinery import PathFinder

OTHERS = frozenset({others!r})


class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name in OTHERS else super().find_spec(name, path, target)


sys.meta_path[:] = [Finder if finder is PathFinder else finder for finder in sys.meta_path]
"""


def without_others(folder: Path) -> dict[str, str]:
    """An environment in which these modules are missing."""
    folder.mkdir()
    others = modules_of_others()
    assert "pyarrow" in others
    assert not {"ctprune", "torch", "lightly", "pytest", "numpy"} & set(others)
    # Python runs a module of this name when it starts.
    (folder / "sitecustomize.py").write_text(_MISSING.format(others=others))
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}


@pytest.mark.slow
def test_all_parts_run_and_make_a_record(data: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benches.gpu", "--data", data, "--out", tmp_path, "--device", "cpu", "--tiny"]
    there = without_others(tmp_path / "site")
    done = subprocess.run([*command, "--minutes", "10"], capture_output=True, text=True, env=there)
    assert done.returncode == 0, (tmp_path / "log.txt").read_text()
    lines = read(tmp_path / "results.jsonl")
    assert [line["part"] for line in lines if line["what"] == "done"] == PARTS
    tested = {line["test"].partition("::")[0] for line in lines if line["what"] == "test"}
    assert {f"tests/{stage}/test_gpu.py" for stage in ("pretraining", "finetuning", "segmenting")} <= tested
    for part in ("swav", "vit"):
        rates = [line["name"] for line in lines if (line["part"], line["what"]) == (part, "rate")]
        assert rates == ["model alone", "both", "input alone", "usual way"]
        stages = next(line for line in lines if (line["part"], line["what"]) == (part, "stages"))["milliseconds"]
        assert list(stages) == ["batch", "views", "forward", "backward", "optimizer", "rest"]
        assert all(times["host"] > 0 for times in stages.values())
    arms = [line for line in lines if line["what"] == "arm"]
    assert [line["arm"] for line in arms] == ["no pre-training", "all", "hash", "random"]
    assert {line["steps"] for line in arms[1:]} == {2}
    assert arms[1]["slices"] > arms[2]["slices"] == arms[3]["slices"]
    made = to_record(lines)
    record.write("2026-01-01", "gpu", made, tmp_path / "record")
    page = (tmp_path / "record" / "2026-01-01.md").read_text()
    assert "A trial, which shows" in page
    assert page.count("| usual way |") == 2
    again = subprocess.run(command, capture_output=True, text=True)
    assert (again.returncode, "is there already" in again.stderr) == (1, True)


@pytest.mark.slow
def test_packed_data_are_numbered_squares(data: Path, tmp_path: Path) -> None:
    assert [file.name for file in unpack_series(data, tmp_path / "series")] == [f"000{n}.dcm" for n in range(4)]
    slices, labels = unpack_slices(data, tmp_path)
    about = read_about(data)
    assert len(list(slices.glob("????/????.png"))) == about["slices"]
    rows = [line.split(",") for line in labels.read_text().splitlines()[1:]]
    assert len(rows) == about["labeled"] == len(list(labels.parent.glob("*.png")))
    split_of = {patient: split for _, _, split, patient in rows}
    assert list(split_of.values()) == ["train", "train", "test", "test", "train", "train", "val", "val"]
    assert {(label, split) for _, label, split, _ in rows} == {(x, y) for x in "01" for y in split_of.values()}


def test_packed_pictures_are_whole(tmp_path: Path) -> None:
    for number in range(4):
        folder = tmp_path / "data" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        gray = np.random.default_rng(number).integers(0, 256, (40, 60), np.uint8)
        Image.fromarray(gray).save(folder / f"name-{number}.png")
    with zipfile.ZipFile(tmp_path / "made.zip", "w") as archive:
        assert pack._pack_slices([str(tmp_path / "data")], 20, archive) == (4, 2)
        assert pack._pack_task({"data": tmp_path / "data"}, "b", 20, archive) == 4
    with zipfile.ZipFile(tmp_path / "made.zip") as archive:
        pictures = [name for name in archive.namelist() if name.endswith(".png")]
        assert len(pictures) == 8
        assert {Image.open(archive.open(name)).size for name in pictures} == {(30, 20)}
        assert not [name for name in archive.namelist() if "name" in name]
        assert "name" not in archive.read("task/labels.csv").decode()


def box(tmp_path: Path, part: str, seconds: float) -> Box:
    (tmp_path / "work").mkdir()
    return Box(
        part=part,
        results=str(tmp_path / "results.jsonl"),
        work=str(tmp_path / "work"),
        data=str(tmp_path),
        device="cpu",
        tiny=True,
        until=time.time() + seconds,
    )


def test_a_part_that_fails_says_why(tmp_path: Path) -> None:
    assert not carry_out(box(tmp_path, "experiment", 60), tmp_path / "log.txt")
    lines = read(tmp_path / "results.jsonl")
    assert [line["what"] for line in lines] == ["started", "error", "failed with exit code 1"]
    assert "FileNotFoundError" in lines[1]["error"]


def test_a_part_out_of_time_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benches.gpu.__main__._PATIENCE", 0)
    assert not carry_out(box(tmp_path, "experiment", 0.1), tmp_path / "log.txt")
    assert [line["what"] for line in read(tmp_path / "results.jsonl")] == ["started", "out of time"]


def test_a_run_that_was_cut_off_makes_a_record(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    append(results, "run", "asked", device="cuda", tiny=False)
    append(results, "environment", "environment", environment={"date": "2026-01-01 00:00 UTC"})
    append(results, "swav", "started")
    facts = {"method": "swav", "backbone": "resnet50", "views": "2 × 224", "batch_size": 128, "precision": "bf16"}
    append(results, "swav", "facts", **facts, workers=16, slices=32)
    append(results, "swav", "rate", name="model alone", slices_per_second=800.0)
    with results.open("a") as stream:
        stream.write('{"part": "swav", "what": "ra')
    made = to_record(read(results))
    assert made["tables"][0]["rows"] == [["swav", "cut off", "–"]]
    assert made["tables"][1]["rows"] == [["model alone", "800", "800 – 800", "1"]]
    with pytest.raises(SystemExit, match="do not say where"):
        to_record([])


def test_k_means_is_the_same_before_it_is_a_rate(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    append(results, "run", "asked", device="cpu", tiny=True)
    append(results, "environment", "environment", environment={"date": "2026-01-01 00:00 UTC"})
    clusters.run(box(tmp_path, "kmeans", 60))
    table = to_record(read(results))["tables"][-1]
    assert table["title"] == "balanced, by k-means of 3000 embeddings of 16 float16"
    assert [row[0] for row in table["rows"]] == ["torch on cpu", "all cores"]
    assert table["notes"] == ["The two keep the same slices."]


def wheel(folder: Path, name: str, version: str, *requires: str) -> None:
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {line}" for line in requires)]
        archive.writestr(f"{name}-{version}.dist-info/METADATA", "\n".join(lines) + "\n")


def test_what_a_machine_lacks_comes_from_wheels(tmp_path: Path) -> None:
    of_extras = 'torch>=2.5; extra == "train"', 'wandb; extra == "other"'
    wheel(tmp_path, "ctprune", "0.1.0", "numpy>=1.24", "rich>=13", *of_extras)
    wheel(tmp_path, "rich", "15.0", "mdurl")
    wheel(tmp_path, "mdurl", "0.1")
    there = {"numpy": "2.5", "torch": "2.4", "rich": "12.0", "ctprune": "0.0.1", "pytest": "9", "hypothesis": "7"}
    found = plan(read_wheels(tmp_path), there.get)
    assert [one.name for one in found.wheels] == ["ctprune", "rich", "mdurl"]
    assert found.missing == {"torch": "torch>=2.5 (found 2.4)"}


def test_what_a_machine_lacks_altogether_is_one_sentence(tmp_path: Path) -> None:
    wheel(tmp_path, "ctprune", "0.1.0", "no-such-package>=3")
    with pytest.raises(SystemExit, match="lacks no-such-package>=3, and the bundle has no wheel of it"):
        start.install(tmp_path, tmp_path / "site")


def test_requirements_of_another_python() -> None:
    lines = ['a; python_version < "3.11"', 'b; sys_platform == "linux"', 'c; sys_platform == "win32"', "d[x]>1"]
    assert [str(one) for one in needs(lines, [], "3.12")] == ["b", "d[x]>1"]


def test_a_bundle_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(args: Any) -> None:
        args.out.mkdir()
        (args.out / "bundle.json").write_text(json.dumps({}) + 2000 * " ")

    monkeypatch.setattr(bundle, "build", build)
    monkeypatch.setattr(sys, "argv", ["bundle", "--out", str(tmp_path / "made")])
    bundle.main()
    assert size_of(tmp_path / "made") == 2002
    monkeypatch.setattr(bundle, "LIMIT", 2001)
    with pytest.raises(SystemExit, match="pack fewer slices"):
        bundle.main()
    # The one before stays, and nothing else is left.
    assert [file.name for file in tmp_path.iterdir()] == ["made"]
    assert size_of(tmp_path / "made") == 2002
    monkeypatch.setattr(sys, "argv", ["bundle", "--out", str(tmp_path / "new"), "--slices", "slices"])
    with pytest.raises(SystemExit, match="--slices and --task belong together"):
        bundle.main()
    monkeypatch.setattr(sys, "argv", ["bundle", "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="holds something else"):
        bundle.main()


def test_utilization_is_asked_for_until_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 97, 50, 2000, 600.5, 1980\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with Utilization("cuda") as utilization:
        time.sleep(1)
    assert utilization.means()["utilization.gpu"] == 97
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with Utilization("cuda") as utilization:
        time.sleep(0.5)
    assert utilization.means() == {}


def test_utilization_is_the_mean_of_what_is_a_number() -> None:
    said = ["90, 40, 1000, [N/A], 1980", "80, 40, 1100, [N/A], 1980", "broken"]
    assert means_of(said) == {
        "utilization.gpu": 85.0,
        "utilization.memory": 40.0,
        "memory.used": 1050.0,
        "clocks.sm": 1980.0,
    }
    assert means_of([]) == {}
