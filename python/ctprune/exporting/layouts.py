"""Layouts of exported files and their lists: one class for each layout.

Each takes a slice after its file was written, so that lists hold only files that exist.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

from ctprune.exporting.config import NNSSL_FOLDER, ExportConfig
from ctprune.exporting.files import suffix_of
from ctprune.exporting.index import Index, facts_of

INDEX_NAME = "index.csv"


class Layout(Protocol):
    """The interface of a layout; it is a context, and lists are complete when it ends."""

    def __enter__(self) -> Layout: ...
    def __exit__(self, *_: object) -> None: ...
    def target(self, row: dict[str, Any]) -> Path:
        """The file for a slice, or for its volume; its folder exists."""

    def take(self, rows: Sequence[dict[str, Any]]) -> None:
        """Take rows whose file `target` has been written."""


class Folders:
    """A folder per volume, or a file per volume, beside a table.

    Args:
        folder: Where the files go.
        config: What is exported.
        index: Name of the table.
        first: Name of the table's column of files.
    """

    def __init__(
        self, folder: Path, config: ExportConfig, *, index: str = INDEX_NAME, first: str = "path"
    ) -> None:
        self._folder = folder
        self._mode = config.mode
        self._open = ExitStack()
        self._index = self._open.enter_context(Index(folder / index, first))

    def __enter__(self) -> Folders:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def target(self, row: dict[str, Any]) -> Path:
        """`00003/00017.png`: volume and slice; `00003.nii.gz` for whole volumes."""
        volume = self._folder / f"{row['volume']:05d}"
        if self._mode == "nifti":
            return volume.with_suffix(".nii.gz")
        volume.mkdir(exist_ok=True)
        suffix = ".nii.gz" if self._mode == "nifti-slices" else suffix_of(row, self._mode)
        return volume / f"{row['slice_index']:05d}{suffix}"

    def take(self, rows: Sequence[dict[str, Any]]) -> None:
        """Put the rows into the table."""
        for row in rows:
            self._index.add(self.path(row), facts_of(row))

    def path(self, row: dict[str, Any]) -> str:
        """The row's file below the folder."""
        path: Path = row["target"].relative_to(self._folder)
        return path.as_posix()


class ImageFolder(Folders):
    """For `load_dataset("imagefolder")` of Hugging Face: the table is `metadata.csv`."""

    def __init__(self, folder: Path, config: ExportConfig) -> None:
        super().__init__(folder, config, index="metadata.csv", first="file_name")


class Monai(Folders):
    """For `monai.data.load_decathlon_datalist`: `datalist.json` lists all files under `training`."""

    def __init__(self, folder: Path, config: ExportConfig) -> None:
        super().__init__(folder, config)
        self._list = self._open.enter_context((folder / "datalist.json").open("x", encoding="utf-8"))
        self._list.write('{"training": [')
        self._open.callback(self._list.write, "\n]}\n")
        self._last: Path | None = None

    def take(self, rows: Sequence[dict[str, Any]]) -> None:
        """List the rows' files, each once."""
        super().take(rows)
        names = ["volume", "study"] if self._mode == "nifti" else ["row", "volume", "slice_index", "study"]
        for row in rows:
            if row["target"] == self._last:
                continue
            # MONAI's batches cannot hold None.
            known = {name: row[name] for name in names if row[name] is not None}
            self._list.write("\n" if self._last is None else ",\n")
            self._list.write(json.dumps({"image": self.path(row)} | known))
            self._last = row["target"]


class Nnssl(Folders):
    """For nnssl, below `nnssl_raw`: `pretrain_data.json` has a subject with one session for each study.

    A manifest has no patients, so two studies of one patient are two subjects.
    """

    def __init__(self, folder: Path, config: ExportConfig) -> None:
        super().__init__(folder, config)
        self._name = config.folder.name
        self._subjects: dict[str, Any] = {}
        self._open.callback(self._write)

    def take(self, rows: Sequence[dict[str, Any]]) -> None:
        """Put the volume of these rows under its study."""
        super().take(rows)
        row = rows[0]
        kind, number = ("volume", row["volume"]) if row["study"] is None else ("study", row["study"])
        name = f"{kind}-{number:05d}"
        empty: dict[str, Any] = {"session_id": "ses-1", "session_info": None, "images": []}
        new = {"subject_id": name, "subject_info": None, "sessions": {"ses-1": empty}}
        facts = facts_of(row)
        self._subjects.setdefault(name, new)["sessions"]["ses-1"]["images"].append(
            {
                "name": row["target"].name,
                "image_path": f"$nnssl_raw/{self._name}/{self.path(row)}",
                "modality": row["modality"] or "CT",
                "image_info": {
                    name: facts[name]
                    for name in ("volume", "slice_thickness_mm", "manufacturer", "convolution_kernel")
                },
                "associated_masks": None,
            }
        )

    def _write(self) -> None:
        found = NNSSL_FOLDER.fullmatch(self._name)
        about = {
            "collection_index": int(found[1]) if found else 0,
            "collection_name": self._name,
            "datasets": {
                "ctprune": {
                    "dataset_index": "ctprune",
                    "name": self._name,
                    "dataset_info": None,
                    "subjects": self._subjects,
                }
            },
        }
        (self._folder / "pretrain_data.json").write_text(json.dumps(about, indent=2), encoding="utf-8")
