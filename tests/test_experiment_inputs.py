"""Which steps of an experiment are carried out once more when one of their inputs, and nothing else, changes."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import ctprune
from ctprune.errors import SourceError, TaskError
from ctprune.experiment import grid
from ctprune.experiment.file import load_experiment
from ctprune.experiment.inputs import Inputs
from ctprune.files import contents
from ctprune.files.contents import Contents
from ctprune.manifest.manifest import FILE_NAME
from tests.searching import occurrences

#: Weights, images and the like are looked at, not understood: any bytes will do.
FILES = (
    "sources/chest/p1/1.dcm",
    "sources/chest/p1/2.dcm",
    "weights/deep.pth",
    "weights/start.pth",
    "pre/backbone.safetensors",
    "pre/summary.json",
    "probe/a/1.png",
    "probe/b/1.png",
    "test-set/1.png",
    *(f"listed/images/{number}.png" for number in range(4)),
    *(f"folders/{label}/{number}.png" for label in ("ill", "well") for number in range(2)),
)

REDUCTIONS = {"reduce chest-hash6", "reduce chest-deep"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for number, name in enumerate(FILES):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"content {number:03}")
    rows = [f"images/{number}.png,{('ill', 'well')[number % 2]}" for number in range(4)]
    (root / "listed/labels.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    return root


@pytest.fixture
def run_with_labels(root: Path, archive: Path) -> Path:
    """A run of its own images, and labels for some of them."""
    shutil.copytree(archive, root / "labeled")
    table = ctprune.reduce(root / "labeled", out=root / "run").kept().select(["path"]).to_dicts()
    rows = [f"{line['path']},{('ill', 'well')[index % 2]}" for index, line in enumerate(table[:6])]
    (root / "run-labels.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    return root / "labeled" / table[0]["path"]


def experiment(root: Path, **changes: Any) -> dict[str, str]:
    """The digest of each step of a grid that has every kind of input, by the step's kind and name."""
    content: dict[str, Any] = {
        "sources": {"chest": str(root / "sources/chest")},
        "reductions": {
            "hash6": {"method": "hash"},
            "deep": {"method": "deep", "keep": 0.1, "weights": str(root / "weights/deep.pth")},
        },
        "pretrainings": {
            "plain": {"preset": "smoke"},
            "from-weights": {
                "preset": "smoke",
                "weights": str(root / "weights/start.pth"),
                "probe": str(root / "probe"),
                "exclude": [str(root / "test-set")],
                "reductions": ["hash6"],
            },
            "same-steps": {"preset": "smoke", "steps_of": "from-weights", "reductions": ["hash6"]},
        },
        "baselines": {"theirs": {"weights": str(root / "pre")}},
        "tasks": {
            "listed": {"data": str(root / "listed/labels.csv")},
            "folders": {"data": str(root / "folders"), "mode": "linear"},
        },
        "seeds": {"finetuning": 2},
    }
    if (root / "run").is_dir():
        content["tasks"]["run"] = {"data": str(root / "run"), "labels": str(root / "run-labels.csv")}
    file = root.parent / f"{root.name}.yaml"
    file.write_text(yaml.safe_dump(content | changes, sort_keys=False))
    steps = grid.build_grid(load_experiment(file), Inputs(Contents())).steps
    return {f"{step.kind} {step.name}": str(step.folder(Path("out"))) for step in steps}


def repeated(root: Path, change: Callable[[], Any]) -> set[str]:
    """The steps whose folder is another one after a change."""
    before = experiment(root)
    change()
    after = experiment(root)
    assert before.keys() == after.keys()
    return {step for step in before if before[step] != after[step]}


def other(file: Path) -> Callable[[], Any]:
    """Put other bytes of the same number into a file, with its old times."""

    def change() -> None:
        before = file.stat()
        file.write_bytes(file.read_bytes()[::-1])
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    return change


def of_task(root: Path, task: str) -> set[str]:
    return {step for step in experiment(root) if step.startswith(f"finetune {task}-")}


def after(root: Path, pretraining: str) -> set[str]:
    """A pre-training and the fine-tunings of it."""
    return {step for step in experiment(root) if step.endswith(pretraining)}


def test_an_image_that_a_table_lists(root: Path) -> None:
    assert repeated(root, other(root / "listed/images/2.png")) == of_task(root, "listed")


def test_weights_of_a_deep_reduction(root: Path) -> None:
    found = repeated(root, other(root / "weights/deep.pth"))
    assert found == {"reduce chest-deep"} | after(root, "chest-deep-plain-seed0")


def test_weights_that_a_pretraining_starts_from(root: Path) -> None:
    # Another one takes as many steps as it did: that number may have changed, too.
    found = repeated(root, other(root / "weights/start.pth"))
    assert found == after(root, "chest-hash6-from-weights-seed0") | after(root, "chest-hash6-same-steps-seed0")


def test_a_folder_of_weights(root: Path) -> None:
    found = repeated(root, other(root / "pre/backbone.safetensors"))
    assert found == {"finetune listed-theirs", "finetune folders-theirs"}
    # Of a pre-training's folder the backbone alone is read.
    assert repeated(root, other(root / "pre/summary.json")) == set()


def test_an_image_of_a_probe(root: Path) -> None:
    # It only looks at the weights: what starts from them stays.
    assert repeated(root, other(root / "probe/b/1.png")) == {"pretrain chest-hash6-from-weights-seed0"}


def test_an_option_of_a_probe(root: Path) -> None:
    options = {"preset": "smoke", "probe": str(root / "probe")}
    given = options | {"probe_patient_pattern": r"(\d)\.png"}
    before, after = (experiment(root, pretrainings={"plain": one}) for one in (options, given))
    assert {step for step in before if before[step] != after[step]} == {
        "pretrain chest-hash6-plain-seed0",
        "pretrain chest-deep-plain-seed0",
    }


def test_an_image_behind_a_run_with_labels(root: Path, run_with_labels: Path) -> None:
    assert repeated(root, other(run_with_labels)) == of_task(root, "run")
    # What a run read beside the labeled slices is none of the task.
    labeled = (root / "run-labels.csv").read_text()
    files = (file for file in (root / "labeled").rglob("*") if file.is_file())
    unlabeled = next(file for file in files if file.relative_to(root / "labeled").as_posix() not in labeled)
    assert repeated(root, other(unlabeled)) == set()


def test_a_slice_of_the_source(root: Path) -> None:
    baseline = {"finetune listed-theirs", "finetune folders-theirs"}
    assert repeated(root, other(root / "sources/chest/p1/2.dcm")) == experiment(root).keys() - baseline


def test_a_test_set_that_is_kept_out(root: Path) -> None:
    found = repeated(root, other(root / "test-set/1.png"))
    assert found == after(root, "chest-hash6-from-weights-seed0") | after(root, "chest-hash6-same-steps-seed0")


def test_a_target_of_a_retrieval(root: Path, run_with_labels: Path, archive: Path) -> None:
    """It decides by its slices, and is no source; retrievals alone are repeated."""
    shutil.copytree(root / "run", root / "target")

    def steps() -> dict[str, str]:
        options = {"method": "retrieval", "budget": 3, "target": str(root / "target")}
        return experiment(root, reductions={"hash6": {}, "near": options})

    before = steps()
    ctprune.reduce(archive, method="all", out=root / "target")
    now = steps()
    found = {step for step in before if before[step] != now[step]}
    assert found == {step for step in now if "chest-near" in step}
    file = root.parent / f"{root.name}.yaml"
    [near] = [
        step
        for step in grid.build_grid(load_experiment(file), Inputs(Contents())).steps
        if step.name == "chest-near"
    ]
    assert near.sources == (root / "sources/chest",)
    assert near.inputs == (root / "sources/chest", root / "target")
    with pytest.raises(SourceError, match=r"reductions\.near\.target: nowhere: no such file or folder"):
        experiment(root, reductions={"near": {"method": "retrieval", "budget": 3, "target": "nowhere"}})


def test_an_image_behind_a_link_to_a_folder(root: Path) -> None:
    (root / "elsewhere").mkdir()
    (root / "elsewhere/3.dcm").write_text("content")
    (root / "sources/chest/linked").symlink_to(root / "elsewhere")
    (root / "sources/chest/circle").symlink_to(root / "sources")
    found = repeated(root, other(root / "elsewhere/3.dcm"))
    assert found >= REDUCTIONS


def touch(root: Path) -> None:
    for file in root.rglob("*"):
        os.utime(file, (1, 1))


def write_again(root: Path) -> None:
    """As an editor or a new download does: other inodes, other times."""
    for name in FILES:
        content = (root / name).read_bytes()
        (root / name).unlink()
        (root / name).write_bytes(content)


@pytest.mark.parametrize("change", [touch, write_again])
def test_files_that_hold_the_same_repeat_nothing(
    root: Path, run_with_labels: Path, change: Callable[[Path], None]
) -> None:
    assert repeated(root, lambda: change(root)) == set()


def test_another_place_repeats_nothing(root: Path, run_with_labels: Path, tmp_path: Path) -> None:
    before = experiment(root)
    moved = tmp_path / "mnt" / "other"
    moved.parent.mkdir()
    shutil.move(root, moved)
    # A run names its files by their whole paths.
    ctprune.reduce(moved / "labeled", out=moved / "run")
    assert experiment(moved) == before


def test_a_newer_patch_version_repeats_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def with_version(version: str) -> dict[str, str]:
        monkeypatch.setattr(grid._core, "__version__", version)
        return experiment(root)

    before = with_version("0.1.0")
    assert with_version("0.1.12") == before
    assert not set(with_version("0.2.0").values()) & set(before.values())


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"reductions": {"hash6": {"method": "hash", "threshold": 6, "threads": 1}}}, set()),
        ({"pretrainings": {"plain": {"preset": "smoke", "log_every": 3, "threads": 2, "epochs": 2}}}, set()),
        ({"pretrainings": {"plain": {"preset": "smoke", "checkpoint_minutes": 1, "wandb": True}}}, set()),
        ({"pretrainings": {"plain": {"preset": "smoke", "epochs": 3}}}, {"pretrain", "finetune"}),
        (
            {"pretrainings": {"plain": {"preset": "smoke", "views": {"flip_vertical": 0.1}}}},
            {"pretrain", "finetune"},
        ),
        ({"tasks": {"listed": {"data": "listed", "mode": "finetune", "device": "cpu"}}}, set()),
        ({"tasks": {"listed": {"data": "listed", "epochs": 2}}}, {"finetune"}),
        ({"seeds": {"finetuning": [0, 1]}}, set()),
        ({"seeds": {"finetuning": [0, 2]}}, {"finetune"}),
    ],
)
def test_options_that_decide_nothing_repeat_nothing(
    root: Path, changes: dict[str, Any], expected: set[str]
) -> None:
    small: dict[str, Any] = {
        "reductions": {"hash6": {}},
        "pretrainings": {"plain": {"preset": "smoke"}},
        "tasks": {"listed": {"data": str(root / "listed/labels.csv")}},
    }
    for task in changes.get("tasks", {}).values():
        task["data"] = small["tasks"]["listed"]["data"]
    before, found = experiment(root, **small), experiment(root, **small | changes)
    assert before.keys() == found.keys()
    kinds = {step.partition(" ")[0] for step in before if before[step] != found[step] and "theirs" not in step}
    assert kinds == expected


def test_a_table_is_read_for_what_it_lists(root: Path) -> None:
    table = root / "listed/labels.csv"

    def add_a_column() -> None:
        header, *rows = table.read_text().splitlines()
        table.write_text("\n".join([f"{header},note", *(f"{row},seen" for row in rows)]))

    assert repeated(root, add_a_column) == set()
    relabel = table.read_text().replace("images/3.png,well", "images/3.png,ill")
    assert repeated(root, lambda: table.write_text(relabel)) == of_task(root, "listed")


def test_names_of_columns_do_not_matter_but_what_they_hold(root: Path) -> None:
    rows = [f"{number},{('ill', 'well')[number % 2]},{('well', 'ill')[number % 2]}" for number in range(4)]
    (root / "listed/any.csv").write_text("\n".join(["n,Diagnosis,Other", *rows]))
    inputs = Inputs(Contents())
    plain = inputs.task({"data": root / "listed/labels.csv"})
    any_name = {"data": root / "listed/any.csv", "path_column": "images/{n}.png"}
    assert inputs.task(any_name | {"label_column": "Diagnosis"}) == plain
    assert inputs.task(any_name | {"label_column": "Other"}) != plain


def test_a_task_that_cannot_be_listed_is_said_before_anything_starts(root: Path) -> None:
    (root / "listed/images/1.png").unlink()
    with pytest.raises(TaskError, match=r"^tasks\.listed: .*labels.csv: names images/1.png, but there is no"):
        experiment(root)


@pytest.mark.parametrize("key", ["weights", "probe", "exclude"])
def test_an_input_that_is_not_there_is_named(root: Path, key: str) -> None:
    value = ["nowhere"] if key == "exclude" else "nowhere"
    with pytest.raises(SourceError, match=rf"pretrainings\.plain\.{key}: nowhere: no such file or folder"):
        experiment(root, pretrainings={"plain": {"preset": "smoke", key: value}})


class Reading:
    """Counts the files whose contents are read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files: list[str] = []
        digest = contents._digest

        def count(path: str) -> str:
            self.files.append(path)
            return digest(path)

        monkeypatch.setattr(contents, "_digest", count)


def test_unchanged_files_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "_SETTLED_NS", 0)
    files = [tmp_path / name for name in ("a", "b", "c\udcff")]
    for file in files:
        file.write_text(f"content of {file.name!r}")
    reading, memory = Reading(monkeypatch), tmp_path / "out" / "digests.parquet"

    def digests() -> list[str]:
        found = Contents(memory)
        digests = found.digests(files)
        found.save()
        return digests

    before = digests()
    assert (digests(), len(reading.files)) == (before, 3)
    assert occurrences(memory, [tmp_path.name]) == []
    os.utime(files[0])
    assert (digests(), len(reading.files)) == (before, 4)
    # Other bytes, as many, with the old time in place of the new one.
    other(files[1])()
    after = digests()
    assert ([a == b for a, b in zip(before, after, strict=True)], len(reading.files)) == ([True, False, True], 5)
    memory.write_text("no table")
    assert (digests(), len(reading.files)) == (after, 8)


def test_what_has_just_changed_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a"
    file.write_text("content")
    reading, found = Reading(monkeypatch), Contents(tmp_path / "digests.parquet")
    assert found.digest(file) == found.digest(file)
    assert len(reading.files) == 2
    found.save()
    assert not (tmp_path / "digests.parquet").exists()
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + 10_000_000_000)
    assert found.digest(file) == found.digest(file)
    assert len(reading.files) == 3


def test_an_unreadable_file_is_named_or_stood_for(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="gone: cannot be read: No such file"):
        Contents().digests([tmp_path / "gone"])
    assert Contents().digests([tmp_path / "gone"], unreadable="") == [""]


def test_of_a_run_to_keep_out_the_manifest_alone_counts(root: Path, run_with_labels: Path) -> None:
    inputs = {"pretrainings": {"plain": {"preset": "smoke", "exclude": [str(root / "run")]}}}
    before = experiment(root, **inputs)
    (root / "run/store-kept-32-8").mkdir()
    (root / "run/store-kept-32-8/pixels.npy").write_text("packed")
    assert experiment(root, **inputs) == before
    assert (root / "run" / FILE_NAME).is_file()
