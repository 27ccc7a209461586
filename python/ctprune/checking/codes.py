"""Stable codes of what `ctprune check` finds. Each is described once, here; `docs/codes.md` is made from it."""

from __future__ import annotations

from dataclasses import dataclass

#: The worst first. An error spoils training; a warning may; a note is worth knowing.
SEVERITIES = ("error", "warning", "note")


@dataclass(frozen=True)
class CheckCode:
    """A code: its name, severity, what it means and what to do, each in one sentence."""

    name: str
    severity: str
    meaning: str
    action: str


_GEOMETRY = (
    (
        "C-ODD-ORIENTATION",
        "error",
        "A few slices are oriented differently from the rest of the series.",
        "Leave them out: `ctprune reduce --skip-codes C-ODD-ORIENTATION`.",
    ),
    (
        "C-NO-POSITIONS",
        "warning",
        "Some slices have no position: they are ordered by Instance Number and path.",
        "Do not trust their order or distance.",
    ),
    (
        "C-MISSING-SLICES",
        "warning",
        "Slices are missing: a distance is at least 1.5 times the usual one.",
        "Request the series again, or do not use it as a volume.",
    ),
    (
        "C-SAME-POSITION",
        "warning",
        "Several slices lie at one position, such as two phases or a copy.",
        "Split the series, or take one of each with `ctprune reduce --skip-codes C-SAME-POSITION`.",
    ),
    (
        "C-UNEVEN-SPACING",
        "warning",
        "Apart from gaps, slice distances differ by more than a tenth of the usual one.",
        "Resample along positions, not by slice number.",
    ),
    (
        "C-CHANGING-TILT",
        "warning",
        "The gantry's tilt changes by more than one degree within the volume.",
        "Split the series where it changes.",
    ),
    (
        "C-TILT",
        "note",
        "The slices are shifted against each other: the gantry was tilted.",
        "Shear the volume before it is used in 3-D.",
    ),
    (
        "C-MIXED-PLANE",
        "warning",
        "One series has slices of several planes.",
        "`ctprune reduce --plane axial` takes one of them.",
    ),
    (
        "C-MIXED-MATRIX",
        "warning",
        "One series has slices of several matrix sizes.",
        "Nothing for single slices: each size is a volume.",
    ),
    (
        "C-MIXED-SPACING",
        "warning",
        "One series has slices of several pixel spacings.",
        "Nothing for single slices: each spacing is a volume.",
    ),
    ("C-MIXED-KERNEL", "warning", "One series has slices of several convolution kernels.", "Split the series."),
    ("C-MIXED-THICKNESS", "warning", "One volume has slices of several thicknesses.", "Split the series."),
    (
        "C-LOCALIZER",
        "note",
        "The series contains a localizer; ctprune skips it.",
        "Nothing here, but other readers take it for a slice. "
        "`ctprune reduce --skip-codes C-LOCALIZER` leaves out such series.",
    ),
    (
        "C-NOT-AXIAL",
        "note",
        "The slices are coronal or sagittal.",
        "`ctprune reduce --plane axial` leaves them out.",
    ),
    (
        "C-INSTANCE-ORDER",
        "note",
        "Instance Numbers go back and forth along the volume.",
        "Order by position, as ctprune does.",
    ),
    (
        "C-THICKNESS-GAP",
        "warning",
        "The slices are thinner than their distance: there are gaps between them.",
        "Do not interpolate between them.",
    ),
    (
        "C-THICKNESS-OVERLAP",
        "note",
        "The slices are thicker than their distance: they overlap.",
        "Nothing; neighbors are more alike.",
    ),
)

_INTENSITY = (
    (
        "C-NO-RESCALE",
        "error",
        "The values are stored values, not Hounsfield units: none is negative, and tissue lies near 1024.",
        "Subtract 1024, or ask for the file with its Rescale Intercept.",
    ),
    (
        "C-RESCALED-TWICE",
        "error",
        "The rescaling was applied twice: air lies far below −1000 HU, and there is no soft tissue.",
        "Undo one of them before use.",
    ),
    (
        "C-NOT-HU",
        "warning",
        "The values are not CT numbers: none is negative.",
        "Leave the series out, or say how to rescale it.",
    ),
    (
        "C-LABELS",
        "warning",
        "The values are those of a label mask: few small whole numbers.",
        "Leave it out with `ctprune reduce --exclude`.",
    ),
    (
        "C-CLIPPED",
        "warning",
        "Values are cut off at a limit inside the range of the body.",
        "Ask for the series with its whole range.",
    ),
    (
        "C-PADDING",
        "note",
        "Pixels outside the field of view have a value far below air.",
        "`ctprune reduce --intensity hu:-1000,400` keeps it from dominating the gray values.",
    ),
    (
        "C-METAL",
        "note",
        "Values reach 3000 HU or more, as metal does.",
        "`ctprune reduce --intensity hu:-1000,400` keeps it from dominating the gray values.",
    ),
    (
        "C-CONSTANT",
        "warning",
        "All pixels of a slice have one value.",
        "Leave them out: `ctprune reduce --skip-codes C-CONSTANT`.",
    ),
    (
        "C-EMPTY",
        "note",
        "Less than 1 % of a slice is denser than −500 HU: the slice is nearly empty.",
        "Leave them out: `ctprune reduce --skip-codes C-EMPTY`.",
    ),
    ("C-LOSSY", "warning", "The pixels were once compressed lossily.", "Ask for the original."),
    ("C-FEW-BITS", "warning", "Fewer than 12 bits are stored.", "Ask for the original."),
)

_IDENTITY = (
    (
        "C-SAME-UID",
        "error",
        "Slices with the same SOP Instance UID have different pixels.",
        "Find out which is right: one was changed without a new UID.",
    ),
    (
        "C-MIXED-PATIENT",
        "error",
        "One study has several patients.",
        "Do not split by patient until this is resolved.",
    ),
    ("C-MIXED-STUDY", "error", "One series is in several studies.", "Ask where the files come from."),
    (
        "C-MIXED-FRAME-OF-REFERENCE",
        "warning",
        "One volume has several frames of reference: positions cannot be compared.",
        "Split the series.",
    ),
    (
        "C-BURNED-IN",
        "error",
        "The header says that the pixels show text that may identify the patient.",
        "Look at the pixels before you use or share them.",
    ),
    (
        "C-SAME-PIXELS",
        "warning",
        "Slices with different UIDs have the same pixels.",
        "Keep one of them: the archive holds copies.",
    ),
    (
        "C-REFORMATTED",
        "warning",
        "The slices were computed from others: reformatted, projected or averaged.",
        "`ctprune reduce --skip-derived` leaves them out.",
    ),
    (
        "C-DERIVED",
        "note",
        "Image Type says DERIVED: the pixels were computed from others.",
        "`ctprune reduce --skip-derived` leaves them out.",
    ),
    (
        "C-SECONDARY",
        "note",
        "Image Type says SECONDARY: made after the examination.",
        "`ctprune reduce --skip-derived` leaves derived ones out.",
    ),
)

#: All codes by name.
CHECK_CODES = {one[0]: CheckCode(*one) for one in (*_GEOMETRY, *_INTENSITY, *_IDENTITY)}


def documentation() -> str:
    """The codes as tables in Markdown."""
    parts = []
    for title, codes in (("Geometry", _GEOMETRY), ("Intensity", _INTENSITY), ("Identity", _IDENTITY)):
        lines = [f"| `{name}` | {severity} | {meaning} | {action} |" for name, severity, meaning, action in codes]
        head = ["| code | severity | what was found | what to do |", "|---|---|---|---|"]
        parts.append("\n".join([f"### {title}", "", *head, *lines, ""]))
    return "\n".join(parts)
