"""Folders that are taken for classes, but are patients: what an archive's own layout looks like."""

from __future__ import annotations

import csv
from pathlib import Path

from ctprune.errors import TaskError
from ctprune.reading.pydicom_reader import PydicomRefusal, read_attributes
from ctprune.tasks.listing import Entry

#: Files of a class that are looked at, spread evenly: enough to see a second patient.
_LOOKED_AT = 16

#: A DICOM file has these letters after a preamble of 128 bytes (PS3.10, 7.1).
_MAGIC = b"DICM"
_PREAMBLE = 128


def check_no_patient_folders(root: Path, entries: list[Entry]) -> list[str]:
    """Refuse class folders of which most hold DICOM of one patient each; sentences about what is merely odd.

    Patients are identified by Patient ID, or where that is empty by Study Instance UID. Neither is kept or shown.

    Raises:
        TaskError: The folders are patients.
    """
    patients = {name: found for name, files in _by_class(entries).items() if (found := _patients(files))}
    if len(patients) < 2:
        return []
    table = _label_table(root)
    alone = [name for name, found in patients.items() if len(found) == 1]
    distinct = len({next(iter(patients[name])) for name in alone}) == len(alone)
    if distinct and len(alone) > len(patients) / 2:
        mend = (
            f"give its table of labels instead: {table}"
            if table
            else "give a table with the columns path and label instead, or a folder per class with several "
            "patients in each"
        )
        raise TaskError(
            f"{root}: expected a folder per class, but {len(alone)} of {len(patients)} folders hold DICOM of a "
            f"single patient each, as an archive does: {mend}"
        )
    notes = []
    if table:
        notes.append(f"{table} is beside the class folders and is not used: to use its labels, give it instead")
    if alone and distinct:
        notes.append(f"class {alone[0]} has one patient only: the class cannot be told from the patient")
    return notes


def _by_class(entries: list[Entry]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for entry in entries:
        if entry.file is not None:
            found.setdefault(entry.label, []).append(entry.file)
    return found


def _patients(files: list[Path]) -> set[str]:
    """What tells the patients of DICOM files apart; empty where there is no DICOM."""
    step = max(1, len(files) // _LOOKED_AT)
    return {patient for file in files[::step] if (patient := _patient(file))}


def _patient(file: Path) -> str | None:
    try:
        with file.open("rb") as opened:
            if opened.read(_PREAMBLE + len(_MAGIC))[_PREAMBLE:] != _MAGIC:
                return None
        found = read_attributes(file, ["PatientID", "StudyInstanceUID"])
        return found["PatientID"] or found["StudyInstanceUID"] or None
    except (OSError, PydicomRefusal):
        # Whatever is wrong with it, the reader says so later, in the file's own row.
        return None


def _label_table(root: Path) -> Path | None:
    """A CSV file in the folder that has the columns `path` and `label`."""
    for file in sorted(root.glob("*.csv")):
        try:
            with file.open(newline="", encoding="utf-8") as opened:
                columns = next(csv.reader(opened), [])
        except (OSError, UnicodeDecodeError, csv.Error):
            continue
        if {"path", "label"} <= set(columns):
            return file
    return None
