"""`ctprune phantom`: write a synthetic CT archive to try ctprune on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ctprune.cli.generate import OptionsOf
from ctprune.cli.output import print_json, say
from ctprune.environment.words import counted

if TYPE_CHECKING:
    from ctprune.phantom import ArchiveSummary


EXAMPLE = "ctprune phantom dicoms/ --patients 4 --seed 1"


def command(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write to; new or empty.")],
    *,
    options: Annotated[dict[str, Any], OptionsOf(config="ctprune.phantom.config:PhantomConfig")],
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """Write a small synthetic CT archive in DICOM, without any patient data.

    Bodies, scanners, kernels, slice distances and transfer syntaxes differ; each study has a scout and a dose
    report; half of the patients have lesions, listed in OUT/labels.csv.
    """
    from ctprune.phantom import write_archive

    summary = write_archive(out, **options)
    if as_json:
        print_json("phantom", vars(summary) | {"path": str(summary.path)})
    else:
        say(_report(summary))


def _report(summary: ArchiveSummary) -> str:
    from ctprune.phantom import LABELS

    with_lesion = summary.patients_with_lesion
    have = "patient has" if with_lesion == 1 else "patients have"
    return (
        f"{summary.path}: {counted(summary.files, 'DICOM file')}, {summary.bytes / 1e6:.1f} MB; "
        f"{counted(summary.patients, 'patient')}, {summary.series:,} series, {counted(summary.slices, 'slice')}.\n"
        f"{with_lesion} {have} lesions, seen in {counted(summary.slices_with_lesion, 'slice')}: "
        f"{summary.path / LABELS}\n"
        f"Next: {_next(summary)}"
    )


def _next(summary: ArchiveSummary) -> str:
    if summary.masks:
        from ctprune.phantom.masks import TABLE

        return f"ctprune segment {summary.path / TABLE} --out segmentation/"
    return f"ctprune reduce {summary.path} --method hash --out reduction/"
