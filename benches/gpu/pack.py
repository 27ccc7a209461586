"""Pack what the run computes on, as small files: `python -m benches.gpu.pack --out DIR`, from the project's root.

By default that is a generated phantom. Of data of yours it takes small gray pictures and numbers: no file's name,
no patient's id and no DICOM header goes along, but for the series of the throughput, which is DICOM as it is.

Written are `series.tar.xz` (one CT series), `slices.zip` (slices to pre-train on, a folder for each volume, and
labeled images in `task/` with `labels.csv`) and `about.json`.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

import ctprune
from benches.series import about, series
from benches.settings import Settings
from ctprune.finetuning.fitting import read_fitted
from ctprune.finetuning.images import find_slices, read_images
from ctprune.tasks import list_task
from ctprune.tasks.listing import Entry

ABOUT, SERIES, SLICES = "about.json", "series.tar.xz", "slices.zip"

#: Seeds of the phantom's patients: those of the task are others than those that are pre-trained on.
_PRETRAINED, _TASK = 11, 12


def main() -> None:
    args = _arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ctprune-pack-") as work:
        pack(args, args.out, Path(work))


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be packed, and how much of it."""
    parser.add_argument("--series", default="", help="folder with a CT series in DICOM for the throughput")
    parser.add_argument("--slices", nargs="+", default=[], help="folders or files to pre-train on")
    parser.add_argument("--task", default="", help="labeled images, as `ctprune finetune` takes them")
    parser.add_argument("--split", help="of the task, likewise")
    parser.add_argument("--labels", help="of the task, likewise")
    parser.add_argument("--patient-pattern", help="of the task, likewise")
    parser.add_argument("--positive", default="1", help="of the task's two classes the positive one")
    parser.add_argument("--describe", default="slices of real CT", help="what these are, for the record")
    parser.add_argument("--side", type=int, default=96, help="the shorter side of packed slices")
    parser.add_argument("--series-slices", type=int, default=32, help="at most so many")
    parser.add_argument("--patients", type=int, default=48, help="of the phantom, half for each purpose")
    parser.add_argument("--patient-slices", type=int, default=40, help="of each of the phantom's series, at most")


def check_options(args: argparse.Namespace) -> None:
    """Refuse what cannot be packed, before anything is built."""
    if bool(args.slices) != bool(args.task):
        raise SystemExit("--slices and --task belong together: give both, or neither for a phantom")


def pack(args: argparse.Namespace, out: Path, work: Path) -> dict[str, Any]:
    """Write all files to `out`."""
    check_options(args)
    settings = Settings(work=str(work), data=args.series, slices=args.series_slices, describe="a real CT series")
    _pack_series(series(settings), out / SERIES)
    found: dict[str, Any] = {
        "series": about(settings),
        "data": args.describe if args.slices else _PHANTOM,
        # Data of several sources may hold an image twice; a phantom's patients are others by their making.
        "exclude_task": bool(args.slices),
    }
    with zipfile.ZipFile(out / SLICES, "w") as archive:
        sources, task = (args.slices, {**_task(args), "data": args.task}) if args.slices else _phantom(args, work)
        found["slices"], found["volumes"] = _pack_slices(sources, args.side, archive)
        found["labeled"] = _pack_task(task, args.positive, args.side, archive)
    (out / ABOUT).write_text(json.dumps(found, indent=1) + "\n")
    print(f"{found['slices']} slices, {found['labeled']} labeled images: {out}", file=sys.stderr)
    return found


_PHANTOM = "generated phantoms (ctprune phantom); the labeled ones are other patients"


def unpack_series(data: Path, folder: Path) -> list[Path]:
    """The series' files in order, as `benches.series.series` makes them."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(data / SERIES) as archive:
        # `extractall` needs a filter, which Python 3.10.0 and 3.11.2 do not know.
        for member in archive:
            content = archive.extractfile(member)
            assert content is not None, member.name
            (folder / member.name).write_bytes(content.read())
    return sorted(folder.iterdir())


def unpack_slices(data: Path, folder: Path) -> tuple[Path, Path]:
    """The folder of slices to pre-train on, and the table of the labeled ones."""
    with zipfile.ZipFile(data / SLICES) as archive:
        archive.extractall(folder)
    return folder / "slices", folder / "task" / "labels.csv"


def read_about(data: Path) -> dict[str, Any]:
    return dict(json.loads((data / ABOUT).read_text()))


def _task(args: argparse.Namespace) -> dict[str, Any]:
    return {"split": args.split, "labels": args.labels, "patient_pattern": args.patient_pattern}


def _phantom(args: argparse.Namespace, work: Path) -> tuple[list[str], dict[str, Any]]:
    made = {}
    for name, seed in (("pretrained", _PRETRAINED), ("task", _TASK)):
        made[name] = work / name
        ctprune.phantom.write_archive(
            made[name], patients=max(args.patients // 2, 1), seed=seed, size=args.side, slices=args.patient_slices
        )
    return [str(made["pretrained"])], {"data": made["task"] / ctprune.phantom.LABELS}


def _pack_series(files: Sequence[Path], target: Path) -> None:
    with tarfile.open(target, "w:xz") as archive:
        for file in files:
            archive.add(file, file.name)


def _pack_slices(sources: Sequence[str], side: int, archive: zipfile.ZipFile) -> tuple[int, int]:
    """The slices of each volume in order; how many there are, and of how many volumes."""
    rows = ctprune.reduce(sources, method="all").kept().to_dicts()
    volumes: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        volumes.setdefault((row["source"], row["volume"]), []).append(row)
    written = 0
    for number, members in enumerate(volumes.values()):
        members.sort(key=lambda row: row["slice_index"])
        for index, picture in enumerate(_whole_pictures(members, side)):
            _write_picture(archive, f"slices/{number:04}/{index:04}.png", picture)
            written += 1
    return written, len(volumes)


def _whole_pictures(rows: Sequence[dict[str, Any]], side: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Each slice that can be read, small: the shorter side becomes `side`.

    Nothing is cut off, as what is cut off tells slices apart: of squares from the middle the hash keeps more.
    """
    squeezed = np.empty((len(rows), 2 * side, 2 * side), np.uint8)
    for row, square, reason in zip(
        rows, squeezed, read_fitted(rows, squeezed, _READING, fit="squeeze"), strict=True
    ):
        if not reason:
            yield _unsqueezed(square, row["rows"], row["columns"], side)


def _unsqueezed(square: npt.NDArray[np.uint8], rows: int, columns: int, side: int) -> npt.NDArray[np.uint8]:
    """A picture of this shape again, its shorter side `side`."""
    factor = side / min(rows, columns)
    size = round(columns * factor), round(rows * factor)
    return np.asarray(Image.fromarray(square).resize(size, Image.Resampling.LANCZOS))


#: As slices are fingerprinted.
_READING = {"intensity": "minmax", "modality": "CT", "max_slice_mb": 512}


def _pack_task(task: dict[str, Any], positive: str, side: int, archive: zipfile.ZipFile) -> int:
    images = read_images(list_task(**task), side=2 * side, fit="squeeze")
    if positive not in images.classes or len(images.classes) != 2:
        raise SystemExit(f"--positive {positive}: expected one of two classes, found {', '.join(images.classes)}")
    # An image of no known patient stands for itself.
    patients = [entry.patient or entry.name for entry in images.entries]
    numbers = {patient: number for number, patient in enumerate(dict.fromkeys(patients))}
    shapes = _shapes(images.entries)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["path", "label", "split", "patient"])
    for index, entry in enumerate(images.entries):
        patient = numbers[patients[index]]
        name = f"{index:05}.png"
        _write_picture(archive, f"task/{name}", _unsqueezed(images.pixels[index], *shapes[index], side))
        writer.writerow([name, int(entry.label == positive), entry.split or _split(patient), patient])
    archive.writestr("task/labels.csv", table.getvalue())
    return len(images)


def _shapes(entries: Sequence[Entry]) -> list[tuple[int, int]]:
    """Rows and columns of each image; those of arrays are taken as equal."""
    files = list(dict.fromkeys(Path(entry.file).absolute() for entry in entries if entry.file is not None))
    found, _, _ = find_slices(files, intensity="minmax", modality="CT")
    shapes = []
    for entry in entries:
        lines = [one.line for one in found[Path(entry.file).absolute()]] if entry.file is not None else []
        line = next((line for line in lines if entry.frame in (None, line["frame"])), {"rows": 1, "columns": 1})
        shapes.append((line["rows"], line["columns"]))
    return shapes


def _split(patient: int) -> str:
    """Half of the patients train, a quarter chooses, a quarter is reported: neighbors go together.

    Of the phantom's patients each second one has lesions.
    """
    return ("train", "test", "train", "val")[patient // 2 % 4]


def _write_picture(archive: zipfile.ZipFile, name: str, pixels: npt.NDArray[np.uint8]) -> None:
    content = io.BytesIO()
    Image.fromarray(np.asarray(pixels)).save(content, "PNG", optimize=True)
    archive.writestr(name, content.getvalue())


def _arguments() -> argparse.Namespace:
    description = "Pack what the run computes on, as small files."
    parser = argparse.ArgumentParser(prog="python -m benches.gpu.pack", description=description)
    parser.add_argument("--out", type=Path, required=True, help="folder for the three files")
    add_options(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
