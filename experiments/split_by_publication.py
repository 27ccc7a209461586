"""Divide the official train and validation images of COVID-CT into parts that share no publication.

    python experiments/split_by_publication.py DIR/covid-ct/split experiments/covid-ct-by-publication

The official validation split has images with COVID-19 of nine publications only, too few for a verdict. Here, of
each class half of the publications are test, a tenth are val, and the others are train. A publication's place
depends on the SHA-256 of its name. Official test images are not used.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from pathlib import Path

#: The publication that a picture comes from, or else its figure.
PUBLICATION = re.compile(r"^(.+?)(?:-p\d+.*|%\d+)?\.\w+$")

CLASSES = ("CT_COVID", "CT_NonCOVID")


def divide(names: list[str]) -> dict[str, list[str]]:
    """Names of the pictures of a class by split, sorted."""
    by_publication: dict[str, list[str]] = {}
    for name in names:
        found = PUBLICATION.match(name)
        by_publication.setdefault(found[1] if found else name, []).append(name)
    publications = sorted(by_publication, key=lambda one: hashlib.sha256(one.encode()).digest())
    test, val = round(len(publications) / 2), round(len(publications) / 10)
    parts = {
        "test": publications[:test],
        "val": publications[test : test + val],
        "train": publications[test + val :],
    }
    return {split: sorted(name for one in part for name in by_publication[one]) for split, part in parts.items()}


def read(folder: Path, label: str, splits: tuple[str, ...]) -> list[str]:
    """Names of the pictures of a class in these splits."""
    texts = [(folder / f"{split}{label}.txt").read_text("utf-8") for split in splits]
    return [name for text in texts for name in text.split("\n") if name.strip()]


def write(official: Path, out: Path) -> None:
    """Write a file of names for each split and class."""
    out.mkdir(parents=True, exist_ok=True)
    for label in CLASSES:
        for split, names in divide(read(official, label, ("train", "val"))).items():
            (out / f"{split}{label}.txt").write_text("".join(f"{name}\n" for name in names), "utf-8")


def main() -> None:
    """Read the command line and divide."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("official", type=Path, help="folder of the official split's text files")
    parser.add_argument("out", type=Path, help="folder of the new ones")
    given = parser.parse_args()
    write(given.official, given.out)


if __name__ == "__main__":
    main()
