"""Slices of a reduction with a table of labels, by path, or by SOP, Series or Study Instance UID.

Every slice that the reduction read counts, kept or dropped. Without a column `patient` in the table, the study
stands for the patient: a manifest holds no patient ID.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ctprune.errors import TaskError
from ctprune.manifest.manifest import Manifest
from ctprune.manifest.pseudonyms import hidden, is_pseudonym, original
from ctprune.manifest.slices import path_of
from ctprune.tasks.columns import Columns
from ctprune.tasks.label_table import classes_of, columns_there, frame_of, read_cells, read_table, split_of
from ctprune.tasks.listing import Entry, Listing, listing, patient_of

#: Columns of the table that can identify a slice, the most specific first.
KEYS = ("path", "sop_instance_uid", "series_instance_uid", "study_instance_uid")

#: Columns of the manifest that can be subgroups where the table has none of these names. None is about a patient.
SCANNER = ("manufacturer", "manufacturer_model_name", "convolution_kernel", "slice_thickness_mm")

_COLUMNS = ["source", "path", "frame", "status", "volume", *KEYS[1:], *SCANNER]


def list_archive(
    run: Path,
    labels: Path,
    patient_pattern: str | None,
    columns: Columns | None = None,
    subgroups: Sequence[str] = (),
    empty: bool = False,
) -> Listing:
    """Slices that the table labels; others are not used.

    Raises:
        TaskError: The table has none of the columns `KEYS`, or a row that no slice of the run belongs to.
    """
    manifest = Manifest.load(run)
    rows = read_table(labels, required=("label",), named=columns, empty=empty)
    key = next((name for name in KEYS if name in rows[0]), None)
    if key is None:
        raise TaskError(
            f"{labels}: expected a column {', '.join(KEYS[:-1])} or {KEYS[-1]}, found {', '.join(rows[0])}"
        )
    slices = _slices_by(manifest, key)
    of_table, of_manifest = _subgroups(labels, subgroups)
    entries, volumes = [], set()
    for number, (row, cells) in enumerate(zip(rows, read_cells(labels, of_table), strict=True), 1):
        frame = frame_of(labels, row)
        of_row = slices.get(row[key]) or slices.get(hidden(key, str(row[key]))) or []
        found = [line for line in of_row if frame is None or line["frame"] == frame]
        if not found:
            raise TaskError(f"{labels}: row {number} ({key} {row[key]}) belongs to no slice of {run}")
        volumes |= {line["volume"] for line in found}
        known = dict(zip(of_table, cells, strict=True))
        for line in found:
            values = known | {name: _shown(line[name]) for name in of_manifest}
            entry = _entry(line, row, labels, patient_pattern)
            entries.append(replace(entry, subgroups=tuple(values[name] for name in subgroups)))
    names = ("intensity", "modality", "max_slice_mb", "volume_pattern")
    reading = {name: manifest.config[name] for name in names}
    whole = (line for of_key in slices.values() for line in of_key if line["volume"] in volumes)
    files = tuple(dict.fromkeys(Path(path_of(line)) for line in whole))
    return listing(run, "a reduction with labels", entries, classes_of(entries), reading=reading, volumes=files)


def _slices_by(manifest: Manifest, key: str) -> dict[str | None, list[dict[str, Any]]]:
    found: dict[str | None, list[dict[str, Any]]] = {}
    for line in manifest.rows.select(list(_COLUMNS)).to_dicts():
        if line["status"] in ("kept", "dropped"):
            found.setdefault(line[key], []).append(line)
    return found


def _subgroups(labels: Path, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Which of the columns the table has, and which ones the manifest."""
    there = columns_there(labels, names)
    of_manifest = [name for name in names if name in SCANNER and name not in there]
    return [name for name in names if name not in of_manifest], of_manifest


def _shown(value: Any) -> str | None:
    return None if value in (None, "") else f"{value:g}" if isinstance(value, float) else str(value)


def _entry(line: dict[str, Any], row: dict[str, Any], labels: Path, pattern: str | None) -> Entry:
    patient = row.get("patient") or _patient_in_path(line, pattern) or line["study_instance_uid"] or None
    return Entry(
        name=line["path"],
        label=row["label"],
        split=split_of(labels, row),
        patient=patient,
        file=Path(path_of(line)),
        frame=line["frame"],
    )


def _patient_in_path(line: dict[str, Any], pattern: str | None) -> str | None:
    """What the pattern takes from the source's own path; of a pseudonym's, hidden again."""
    if pattern is None or not is_pseudonym(line["source"]):
        return patient_of(line["path"], pattern)
    patient = patient_of(original(line["source"], line["path"])[1], pattern)
    return patient and hidden("path", patient)
