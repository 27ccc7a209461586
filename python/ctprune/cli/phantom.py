"""`ctprune phantom`: write a synthetic CT archive to try ctprune on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ctprune.phantom import ArchiveSummary


EXAMPLE = "ctprune phantom dicoms/ --patients 4 --seed 1"


def command(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write to; new or empty.")],
    patients: Annotated[int, typer.Option(min=1, max=9999, help="Number of patients.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 1,
    size: Annotated[int, typer.Option(min=64, max=2048, help="Rows and columns of a slice.")] = 256,
    slices: Annotated[int, typer.Option(min=1, max=440, help="Most slices in a series.")] = 40,
) -> None:
    """Write a small synthetic CT archive in DICOM: no data needed, no patient harmed.

    Bodies, scanners, kernels, slice distances and transfer syntaxes differ; each study has a scout and a dose
    report; half of the patients have lesions, listed in OUT/labels.csv.
    """
    from ctprune.phantom import write_archive

    typer.echo(_report(write_archive(out, patients=patients, seed=seed, size=size, slices=slices)))


def _report(summary: ArchiveSummary) -> str:
    from ctprune.phantom import LABELS

    return (
        f"{summary.path}: {summary.files} DICOM files, {summary.bytes / 1e6:.1f} MB; "
        f"{summary.patients} patients, {summary.series} series, {summary.slices} slices.\n"
        f"{summary.patients_with_lesion} patients have lesions, seen in {summary.slices_with_lesion} slices: "
        f"{summary.path / LABELS}\n"
        f"Next: ctprune reduce {summary.path} --method hash --out run/"
    )
