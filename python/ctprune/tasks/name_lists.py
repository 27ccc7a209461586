"""Lists of file names, one text file per split and class, as COVID-CT was published with.

`trainCT_COVID.txt` holds names of files in the folder `CT_COVID`; the lists may lie in folders of their own.
Source: X. Yang et al., COVID-CT-Dataset: A CT Scan Dataset about COVID-19 (2020), its folder `Data-split`.
"""

from __future__ import annotations

from pathlib import Path

from ctprune.errors import SourceError, TaskError
from ctprune.tasks.class_folders import files_below, names, subfolders
from ctprune.tasks.listing import SPLIT_NAMES, Entry, Listing, listing, patient_of


def list_named_images(root: Path, split_folder: Path, patient_pattern: str | None) -> Listing:
    """Images that the lists name; others in the class's folders are not used.

    Raises:
        SourceError: There is no list.
        TaskError: A list of an unknown split or class, or a name without a file.
    """
    if not split_folder.is_dir():
        raise SourceError(f"`split` {split_folder}: expected a folder of text files, found none")
    lists = [file for file in files_below(split_folder) if file.suffix.lower() == ".txt"]
    if not lists:
        raise SourceError(f"`split` {split_folder}: holds no text file")
    folders = names(subfolders(root))
    named = [(file, *_split_and_class(file, folders, root)) for file in lists]
    entries = [
        entry for file, split, label in named for entry in _entries(root, file, split, label, patient_pattern)
    ]
    return listing(root, "lists of names", entries, sorted({label for _, _, label in named}))


def _split_and_class(file: Path, folders: list[str], root: Path) -> tuple[str, str]:
    stem = file.stem
    unknown = ""
    # The longest name first: `training…` is not `train` and a class `ing…`.
    for name in sorted(SPLIT_NAMES, key=len, reverse=True):
        if stem.lower().startswith(name):
            label = stem[len(name) :].lstrip("_-. ")
            if label in folders:
                return SPLIT_NAMES[name], label
            unknown = unknown or label
    if unknown:
        raise TaskError(f"{file}: {unknown} is not a folder of {root}{_did_you_mean(root, unknown, folders)}")
    raise TaskError(
        f"{file}: expected a name of split and class, such as train{folders[0] if folders else 'CLASS'}.txt, "
        f"where the class is a folder of {root}"
    )


def _did_you_mean(root: Path, label: str, folders: list[str]) -> str:
    """Where the folder of the class is: in a folder of the data, or in the data's own folder's parent."""
    candidates = [root / folder for folder in folders]
    candidates += [below for candidate in candidates for below in subfolders(candidate)]
    for candidate in [*candidates, root.parent]:
        if (candidate / label).is_dir():
            return f"; did you mean {candidate}?"
    return f": its folders are {', '.join(folders)}" if folders else ": it has no folder"


def _entries(root: Path, file: Path, split: str, label: str, pattern: str | None) -> list[Entry]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise TaskError(f"{file}: expected a text file of names in UTF-8") from None
    found = []
    for name in (line.strip() for line in lines):
        if not name:
            continue
        image = root / label / name
        if not image.is_file():
            raise TaskError(f"{file}: names {name}, but there is no such file in {root / label}")
        found.append(
            Entry(
                name=image.relative_to(root).as_posix(),
                label=label,
                split=split,
                patient=patient_of(name, pattern),
                file=image,
            )
        )
    if not found:
        raise TaskError(f"{file}: names no image: class {label} would be empty in {split}")
    return found
