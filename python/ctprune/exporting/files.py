"""Slices as files: links, copies, PNG pictures."""

from __future__ import annotations

import errno
import os
import shutil
from typing import Any

from ctprune import _core
from ctprune.errors import OutputError
from ctprune.exporting.config import ExportConfig
from ctprune.files.members import opens, visit_bytes
from ctprune.manifest.slices import GONE, path_of
from ctprune.sources.addresses import as_address
from ctprune.sources.ahead import FetchAhead

#: Suffixes that links and copies keep, the longer ones first.
_SUFFIXES = (".nii.gz", ".nii", ".png", ".jpeg", ".jpg", ".tiff", ".tif")

#: Errors of a full destination: its disk, the largest size of a file, a quota.
_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


def suffix_of(row: dict[str, Any], mode: str) -> str:
    """The suffix of the file that is written for a row; nothing else of its name is kept."""
    if mode == "png":
        return ".png"
    if row["reader"] in ("dicom", "pydicom"):
        return ".dcm"
    name = path_of(row).lower()
    return next((suffix for suffix in _SUFFIXES if name.endswith(suffix)), "")


def write_files(rows: list[dict[str, Any]], reduction: dict[str, Any], config: ExportConfig) -> list[str]:
    """Write the file `target` of each row, and say why if it could not be written.

    Args:
        rows: Rows of the manifest, with `target` and `is_one_of_several`.
        reduction: The manifest's configuration.
        config: Options of the export.

    Returns:
        For each row "", or an error.

    Raises:
        OutputError: A file cannot be written.
    """
    if config.mode == "png":
        return _write_pictures(rows, reduction, config)
    return _link_or_copy_all(rows, config.mode)


def _link_or_copy_all(rows: list[dict[str, Any]], mode: str) -> list[str]:
    """Link or copy these rows' files; copies of members of one container are made in one pass over it."""
    reasons = [""] * len(rows)
    members = []
    for index, row in enumerate(rows):
        if row["is_one_of_several"]:
            reasons[index] = "a single frame of a multi-frame file cannot be linked or copied: use `mode` png"
        elif opens(path_of(row)):
            reasons[index] = _link_or_copy(row, mode)
        elif mode == "link":
            what = "a member of an archive" if as_address(path_of(row)) is None else "an object on another machine"
            reasons[index] = f"{what} cannot be linked: use `mode` copy or png"
        else:
            # Until it is read.
            reasons[index] = GONE
            members.append(index)

    def take(number: int, content: bytes | str) -> None:
        index = members[number]
        if isinstance(content, str):
            reasons[index] = content
            return
        target = rows[index]["target"]
        try:
            with target.open("xb") as file:
                file.write(content)
        except OSError as error:
            raise OutputError(f"{target}: cannot be written: {error.strerror}") from None
        reasons[index] = ""

    if members:
        visit_bytes([path_of(rows[index]) for index in members], take)
    return reasons


def _link_or_copy(row: dict[str, Any], mode: str) -> str:
    origin, target = path_of(row), row["target"]
    try:
        if mode == "link":
            os.symlink(origin, target)
        else:
            shutil.copyfile(origin, target)
    except FileNotFoundError:
        return GONE
    except OSError as error:
        # Of a copy that has begun, the error names the origin even where the disk is full.
        if mode == "copy" and error.filename == origin and error.errno not in _FULL:
            target.unlink(missing_ok=True)
            return f"the file cannot be read: {error.strerror}"
        hint = "; copies work everywhere: use `mode` copy" if mode == "link" else ""
        raise OutputError(f"{target}: cannot be written: {error.strerror}{hint}") from None
    return ""


def _write_pictures(rows: list[dict[str, Any]], reduction: dict[str, Any], config: ExportConfig) -> list[str]:
    jobs = [(path_of(row), row["frame"], str(row["target"])) for row in rows]
    reading = {name: reduction[name] for name in ("intensity", "modality", "max_slice_mb")}
    try:
        with FetchAhead() as fetch:
            return _core.export_png(
                jobs, depth=config.png_depth or 8, threads=config.threads, fetch=fetch, **reading
            )
    except OSError as error:
        raise OutputError(str(error)) from None
