"""Experiments and fine-tunings on members of containers and on what is elsewhere."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import yaml

import ctprune
from ctprune.experiment.file import load_experiment
from ctprune.experiment.grid import build_grid
from ctprune.experiment.inputs import Inputs
from ctprune.files.contents import Contents
from ctprune.finetuning.images import read_images
from ctprune.sources import connections
from ctprune.tasks import list_task
from tests.containers import files_of, write_container

WAYS = ("folder", "deflated.zip", "tar.gz")


@pytest.fixture(scope="module")
def files(archive: Path) -> dict[str, bytes]:
    found = {name: content for name, content in files_of(archive).items() if name.endswith(".dcm")}
    return dict(list(found.items())[::3])


def filled(bucket: Path, files: dict[str, bytes], way: str) -> str:
    """Where the files are below the bucket, and then their names."""
    if way == "folder":
        for name, content in files.items():
            (bucket / "set" / name).parent.mkdir(parents=True, exist_ok=True)
            (bucket / "set" / name).write_bytes(content)
        return "set"
    write_container(bucket / f"set.{way}", files)
    return f"set.{way}!"


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "there"])
@pytest.mark.parametrize("way", WAYS)
def test_images_are_found_by_tables_of_labels_and_runs(
    bucket: Path, files: dict[str, bytes], tmp_path: Path, way: str, elsewhere: bool
) -> None:
    below = filled(bucket, files, way)
    root = f"s3://bucket/{below}" if elsewhere else f"{bucket}/{below}"
    run = tmp_path / "run"
    manifest = ctprune.reduce(root.removesuffix("!"), out=run)
    paths = [row["path"] for row in manifest.kept().to_dicts()][:12]
    labels = tmp_path / "of-run.csv"
    labels.write_text("path,label\n" + "".join(f"{path},{number % 2}\n" for number, path in enumerate(paths)))
    of_run = read_images(list_task(run, labels=labels), side=32)
    source = root.removesuffix("!").rpartition("/")[0] if below.endswith("!") else root
    table = tmp_path / "table.csv"
    with table.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(("path", "label"))
        writer.writerows((f"{source}/{path}", number % 2) for number, path in enumerate(paths))
    of_table = read_images(list_task(table), side=32)
    assert len(of_table.pixels) == len(paths)
    assert np.array_equal(of_run.pixels, of_table.pixels)
    assert of_run.contents == of_table.contents
    assert all(of_run.contents)
    assert not of_run.unreadable
    # Other pixels where they lie in a plain folder would be a fault of the listing.
    for name, content in files.items():
        (tmp_path / "plain" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "plain" / name).write_bytes(content)
    plain = tmp_path / "plain.csv"
    prefix = f"set.{way}!/" if way != "folder" else ""
    plain.write_text(
        "path,label\n"
        + "".join(f"plain/{path.removeprefix(prefix)},{number % 2}\n" for number, path in enumerate(paths))
    )
    assert np.array_equal(read_images(list_task(plain), side=32).pixels, of_run.pixels)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "there"])
@pytest.mark.parametrize("way", WAYS)
def test_an_experiment_takes_them_as_sources(
    bucket: Path, files: dict[str, bytes], tmp_path: Path, way: str, elsewhere: bool, archive: Path
) -> None:
    below = filled(bucket, files, way).removesuffix("!")
    source = f"s3://bucket/{below}" if elsewhere else f"{bucket}/{below}"
    content = {
        "name": "Tried",
        "sources": {"set": source},
        "reductions": {"hash": {"method": "hash", "threshold": 6}},
        "pretrainings": {"smoke": {"preset": "smoke"}},
        "tasks": {"lesions": {"data": str(archive / "labels.csv"), "mode": "linear", "side": 32}},
    }
    file = tmp_path / "tried.yaml"
    file.write_text(yaml.safe_dump(content))
    experiment = load_experiment(file)

    def digest() -> str:
        connections.forget()
        return build_grid(experiment, inputs=Inputs(Contents())).steps[0].digest

    grid = build_grid(experiment, inputs=Inputs(None))
    step = grid.steps[0]
    assert step.kind == "reduce"
    found = ctprune.reduce(list(step.inputs), out=tmp_path / "run", **step.options)
    assert found == ctprune.reduce(source, **step.options)
    before = digest()
    assert digest() == before
    changed = next(path for path in bucket.rglob("*") if path.is_file())
    changed.write_bytes(changed.read_bytes() + b"\0")
    assert digest() != before
