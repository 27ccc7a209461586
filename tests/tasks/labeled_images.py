"""Short ways to a task's images and splits."""

from __future__ import annotations

from pathlib import Path

from ctprune.finetuning.images import LabeledImages, read_images
from ctprune.finetuning.splits import Splits, assign_splits
from ctprune.tasks.listing import Listing

PATTERN = r"^(p\d+)_"


def read(listing: Listing) -> LabeledImages:
    return read_images(listing, side=32)


def split(images: LabeledImages) -> Splits:
    return assign_splits(images, Path("data"), fraction=0.3, seed=0)


def patients(images: LabeledImages, splits: Splits, name: str) -> set[str | None]:
    return {images.entries[row].patient for row in splits.rows(name)}


def covid(folders: Path) -> Path:
    """The same pictures as COVID-CT lists its own: names of a split and class each, in nested folders."""
    lists = folders.parent / "lists"
    for label in ("healthy", "ill"):
        names = sorted(path.name for path in (folders / label).iterdir())
        (lists / label).mkdir(parents=True)
        for part, chosen in (("train", names[:12]), ("val", names[12:16]), ("test", names[16:])):
            (lists / label / f"{part}{label}.txt").write_text("\n".join(chosen) + "\n\n")
    return lists
