"""From a folder of uncompressed DICOM to the kept slices, files in the page cache."""

from __future__ import annotations

import multiprocessing
import statistics
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ctprune
from benches import series
from benches.measure import Contender, Table, compare
from benches.published import kept_slices
from benches.settings import Settings
from benches.stages import stages


def run(settings: Settings, threads: int) -> dict[str, Any]:
    folders = series.copies(settings)
    pictures = Path(settings.work) / "pictures"
    _check(folders, pictures)
    files = [path for folder in folders for path in sorted(folder.iterdir())]
    with ProcessPoolExecutor(threads, mp_context=multiprocessing.get_context("spawn")) as pool:
        contenders = [
            *_ctprune(folders, len(files), threads),
            *_published(folders[:threads], pictures, pool),
            *_bare_reading(files, threads),
        ]
        title = f"{len(files):,} files, selection within each of {len(folders)} series"
        table = compare(title, contenders, rounds=settings.rounds, unit="slices")
    table.notes.append(_share_of_reading(table, threads))
    return {
        "input": f"{series.about(settings)}, {len(folders)} copies as series of their own, uncompressed",
        "about": "Goal: 100 times as fast as the published way (PNG written at the fastest level).",
        "tables": [table, stages(folders, pictures, threads, settings.rounds)],
    }


def _check(folders: list[Path], pictures: Path) -> None:
    """Each series keeps what the published way keeps of it."""
    expected = kept_slices(folders[0], pictures / "0")
    kept = ctprune.reduce(folders[0].parent).kept()["path"]
    wanted = {f"{folder.name}/{name}" for folder in folders for name in expected}
    if set(kept) != wanted:
        raise AssertionError(f"ctprune keeps {len(kept)} slices, the published way {len(wanted)}, or others")


def _ctprune(folders: list[Path], files: int, threads: int) -> list[Contender]:
    root = folders[0].parent
    return [
        Contender(
            name=_label("ctprune.reduce", count),
            run=lambda count=count: ctprune.reduce(root, threads=count),
            items=files,
            note="the same slices kept",
        )
        for count in dict.fromkeys((threads, 1))
    ]


def _published(folders: list[Path], pictures: Path, pool: ProcessPoolExecutor) -> list[Contender]:
    """As published it runs in one process; several are what a user could do about that."""
    slices = len(list(folders[0].iterdir()))
    own = [pictures / str(number) for number in range(len(folders))]
    return [
        Contender(
            name="published way, 1 process",
            run=lambda: kept_slices(folders[0], own[0]),
            items=slices,
            loops=1,
            note="on one of the series",
        ),
        Contender(
            name=f"published way, {len(folders)} processes",
            run=lambda: list(pool.map(kept_slices, folders, own)),
            items=slices * len(folders),
            note="a series each",
        ),
    ]


def _bare_reading(files: list[Path], threads: int) -> list[Contender]:
    def read_with(count: int) -> None:
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(_read, [files[first::count] for first in range(count)]))

    return [
        Contender(
            name=_label("bare reading", count),
            run=lambda count=count: read_with(count),
            items=len(files),
            note="bytes of whole files into one buffer, nothing else",
        )
        for count in dict.fromkeys((threads, 1))
    ]


def _read(paths: list[Path]) -> None:
    buffer = bytearray(1 << 20)
    for path in paths:
        with open(path, "rb", buffering=0) as stream:
            while stream.readinto(buffer):
                pass


def _share_of_reading(table: Table, threads: int) -> str:
    medians = {row["tool"]: statistics.median(row["seconds"]) for row in table.raw}
    shares = [
        f"{100 * medians[_label('bare reading', count)] / medians[_label('ctprune.reduce', count)]:.0f} % "
        f"({_label('', count).strip(', ')})"
        for count in dict.fromkeys((threads, 1))
    ]
    return f"Bare reading of the same bytes takes this share of ctprune's time: {', '.join(shares)}."


def _label(tool: str, threads: int) -> str:
    return f"{tool}, {threads} thread{'s' * (threads > 1)}"
