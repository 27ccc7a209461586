"""Sentences of `ctprune reduce` besides its table: unexpected findings, and what to try."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ctprune.environment.words import counted
from ctprune.files.globs import EXCLUDED
from ctprune.manifest.derived import DUPLICATES_NAME, REPORT_NAME, SERIES_NAME, SWEEP_NAME
from ctprune.manifest.gaps import FAR_MM, WORTH_A_WORD
from ctprune.manifest.refused import total
from ctprune.manifest.ruled import STEADY_INTENSITY
from ctprune.selection.methods import method_of

if TYPE_CHECKING:
    from ctprune.manifest.findings import Findings

#: Relative difference from the requested fraction up to which nothing is said, since thresholds are steps.
_CLOSE_ENOUGH = 0.1

#: The commands that make what is removed.
_MAKERS = {REPORT_NAME: "report", SWEEP_NAME: "sweep", SERIES_NAME: "check", DUPLICATES_NAME: "duplicates"}

#: How the name of a mask ends if it lies beside its images, as `ctprune segment` reads it.
_MASK_NAME = re.compile(r"(?:^|[._-])(?:mask|seg|label)s?\.nii(?:\.gz)?$")

#: From this share of the slices on, the user is told that metal or padding sets their gray.
_MANY_RULED = 0.05


def hints(summary: dict[str, Any], findings: Findings, *, removed: Sequence[Path] = ()) -> list[str]:
    """Sentences about a reduction with slices."""
    return [
        *_counted(summary),
        *_failed(summary, findings),
        *_labels(findings),
        *_exclusions(summary),
        *_keep(summary),
        *_ruled(summary),
        *_far(summary),
        *export_hints(summary.get("exported", {}), "--export"),
        *map(_removed, removed),
    ]


def _counted(summary: dict[str, Any]) -> list[str]:
    parts = (
        ("not embedded, so similar to none", "slices", summary.get("embeddings", {}).get("not_embedded", {})),
        ("kept without comparing", "slices", summary.get("comparisons", {}).get("not_compared_so_kept", {})),
    )
    return [
        f"{what}: {count:,} {unit}: {reason}" for what, unit, counts in parts for reason, count in counts.items()
    ]


def _failed(summary: dict[str, Any], findings: Findings) -> list[str]:
    """The first files that could not be read, since the table has only reasons."""
    count = total(summary["failed"])
    if not count:
        return []
    from ctprune.reading.reasons import shown_reason

    named = [f"{path}: {shown_reason(reason)} ({code})" for path, code, reason in findings.failed]
    if count > len(named):
        named.append(f"… and {count - len(named):,} more: rows of status 'failed' in the manifest")
    return [f"not read: {sentence}" for sentence in named]


def export_hints(exported: dict[str, Any], mode_flag: str) -> list[str]:
    """What an export left out, and a warning that files named by numbers are not anonymous."""
    found = [
        f"not exported: {counted(count, 'slice')}: {reason}"
        for reason, count in exported.get("left_out", {}).items()
    ]
    if exported.get("mode") in ("copy", "link") and exported["written"]:
        found.append(
            f"{exported['folder']} is not anonymous: the files have numbers as names but keep every header, "
            f"patients' names and IDs included; {mode_flag} png has pixels only"
        )
    if exported.get("burned_in"):
        found.append(
            f"{exported['burned_in']:,} of these slices say that text which may identify the patient is in their "
            "pixels: look at them before you share them, or reduce with --skip-codes C-BURNED-IN"
        )
    return found


def _removed(file: Path) -> str:
    command = _MAKERS[file.name]
    return (
        f"{file} described the earlier reduction and was removed: 'ctprune {command} {file.parent}' "
        "writes it again"
    )


def _labels(findings: Findings) -> list[str]:
    """Label masks that were read as volumes, as in folders for nnU-Net."""
    found = findings.label_volumes()
    if not found:
        return []
    high = max(volume.high for volume in found)
    looks, was = (
        ("1 NIfTI volume looks like a label mask", "was")
        if len(found) == 1
        else (f"{len(found):,} NIfTI volumes look like label masks", "were")
    )
    first = PurePosixPath(found[0].path)
    glob = _glob_of_masks(first, whole_folder=not findings.has_images_in(first.parent))
    return [
        f"{looks} (values from 0 to {high}) but {was} read as slices; the first is {first}: leave such files out "
        f"with --exclude {shlex.quote(glob)}"
    ]


def _glob_of_masks(first: PurePosixPath, *, whole_folder: bool) -> str:
    """A pattern for files such as this mask that leaves the images beside it."""
    named = _MASK_NAME.search(first.name)
    if named:
        return f"**/*{named[0]}" if named.start() else f"**/{first.name}"
    return f"{first.parent}/*" if whole_folder and first.parent.name else str(first)


def _exclusions(summary: dict[str, Any]) -> list[str]:
    """Patterns without effect, such as misspelled ones."""
    return [
        f"--exclude {glob}: no file matches, or earlier patterns exclude all that match"
        for glob in summary["config"]["exclude"]
        if f"{EXCLUDED}{glob}" not in summary["skipped"].get("S-EXCLUDED", {})
    ]


def _keep(summary: dict[str, Any]) -> list[str]:
    """The nearest fraction that `--keep` could reach, and why."""
    config, slices, kept = summary["config"], summary["slices"], summary["kept"]
    budget = config["budget"]
    if (config["keep"] is None and budget is None) or not method_of(config).decides or not slices:
        return []
    wanted = config["keep"] * slices if budget is None else min(budget, slices)
    if abs(kept - wanted) <= _CLOSE_ENOUGH * wanted:
        return []
    why = _why(summary, is_too_few=kept < wanted)
    asked, reached = ("budget", f"{kept:,} slices") if budget is not None else ("keep", f"{kept / slices:.1%}")
    return [
        f"--{asked} {config[asked]:g}: the nearest that can be reached is {reached}, at threshold "
        f"{summary['threshold']:.6g}: {why}"
    ]


def _ruled(summary: dict[str, Any]) -> list[str]:
    """If metal or padding sets the gray of many slices: an intensity that they do not affect."""
    ruled = summary.get("ruled")
    if not ruled or not ruled["slices"] or summary["config"]["intensity"] != "minmax":
        return []
    causes = (("padding below −1024 HU", ruled["padding"]), ("metal from 3000 HU on", ruled["metal"]))
    found = [
        f"{cause} sets the gray of {count / ruled['slices']:.1%} of the slices"
        for cause, count in causes
        if count >= _MANY_RULED * ruled["slices"]
    ]
    if not found:
        return []
    return [
        f"{' and '.join(found)}: --intensity {STEADY_INTENSITY} gives each HU the same gray in all slices, but "
        "reads the files again and departs from the published method"
    ]


def _far(summary: dict[str, Any]) -> list[str]:
    """Advice if many exemplars lie in another part of the body."""
    gaps = summary.get("gaps_mm")
    method = method_of(summary["config"])
    if not gaps or "max_gap_mm" not in method.options or gaps["far"] < WORTH_A_WORD * gaps["slices"]:
        return []
    return [
        f"{gaps['far'] / gaps['slices']:.1%} of the dropped slices have an exemplar more than {FAR_MM:g} mm away "
        f"along the body, up to {gaps['largest']:.0f} mm: --max-gap-mm {FAR_MM:g} keeps slices without an "
        f"exemplar "
        "within that distance; the published method has no such limit"
    ]


def _why(summary: dict[str, Any], *, is_too_few: bool) -> str:
    config, threshold = summary["config"], summary["threshold"]
    method = method_of(config)
    measure = method.measure
    if is_too_few and measure is not None and threshold == measure.strictest:
        finer = ", which a larger --hash-size can tell apart" if method.compares == "fingerprints" else ""
        return f"even this threshold, the strictest, drops {measure.strictest_drops}{finer}; --method all keeps "
        "every slice"
    if not is_too_few and config["scope"] == "volume" and summary["kept"] == summary["volumes"]:
        wider = "" if method.compares == "pixels" else "; --scope dataset compares across volumes"
        return f"every one of {counted(summary['volumes'], 'volume')} keeps at least one slice{wider}"
    if not is_too_few and measure is not None and threshold == measure.loosest:
        return "this is the loosest threshold that is tried"
    return "the neighboring thresholds keep fractions that are farther away"
