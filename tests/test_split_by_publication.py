"""The split of COVID-CT by publication that comes with the experiments."""

from __future__ import annotations

from pathlib import Path

import yaml
from experiments.split_by_publication import CLASSES, PUBLICATION, divide, read, write

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
SPLITS = ("train", "val", "test")


def publications(label: str, split: str) -> set[str]:
    names = read(EXPERIMENTS / "covid-ct-by-publication", label, (split,))
    return {found[1] for name in names if (found := PUBLICATION.match(name))}


def test_the_committed_split_is_that_of_the_script(tmp_path: Path) -> None:
    committed = EXPERIMENTS / "covid-ct-by-publication"
    for label in CLASSES:
        names = read(committed, label, SPLITS)
        (tmp_path / f"train{label}.txt").write_text("\n".join(sorted(names)))
        (tmp_path / f"val{label}.txt").write_text("")
    write(tmp_path, tmp_path / "again")
    for file in committed.iterdir():
        assert (tmp_path / "again" / file.name).read_text() == file.read_text(), file.name


def test_no_publication_is_in_two_parts_and_test_has_enough_for_a_verdict() -> None:
    counts = {}
    for label in CLASSES:
        parts = {split: publications(label, split) for split in SPLITS}
        assert sum(map(len, parts.values())) == len(set.union(*parts.values()))
        counts[label] = {split: len(part) for split, part in parts.items()}
    assert counts == {
        "CT_COVID": {"train": 16, "val": 4, "test": 20},
        "CT_NonCOVID": {"train": 81, "val": 20, "test": 100},
    }
    plan = (EXPERIMENTS / "less-is-more.md").read_text()
    assert "test (20 with COVID-19, 100 without)" in plan


def test_the_experiment_takes_the_same_publications() -> None:
    tasks = yaml.safe_load((EXPERIMENTS / "less-is-more-real.yaml").read_text())["tasks"]
    assert {task["patient_pattern"] for task in tasks.values()} == {PUBLICATION.pattern}


def test_pictures_of_one_publication_stay_together() -> None:
    names = [f"2020.0{paper}.01-p{page}-1%{part}.png" for paper in range(9) for page in (1, 2) for part in (0, 1)]
    parts = divide([*names, "77.jpg"])
    assert {split: len(part) for split, part in parts.items()} == {"train": 13, "val": 4, "test": 20}
    assert sorted(name for part in parts.values() for name in part) == sorted([*names, "77.jpg"])
