"""Findings about where the slices of a series lie."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ctprune import _core
from ctprune.checking.planes import PLANES
from ctprune.checking.series import Finding, Floats, Integers, Series, listed

Steps = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]

#: At most this share of a series, and never more than half, is "a few slices".
_FEW = 0.1

#: Directions further apart than this are different, in degrees.
_DEGREES = 1.0

#: Thickness and distance that differ by less are alike.
_ALIKE = 0.1

#: Kinds of steps from slice to slice, as `_core.slice_spacing` numbers them.
_SAME, _GAP, _UNEVEN = 1, 2, 3


def geometry_findings(series: Series) -> Iterator[Finding]:
    """What is unusual about positions, orientation, matrix and thickness."""
    if not series.is_dicom:
        for volume in series.volumes():
            yield from _along(volume)
        return
    if series.localizers:
        # All slices are concerned: who leaves out by this code wants no such series.
        yield Finding("C-LOCALIZER", series.localizers, rows=series.rows)
    yield from _orientation(series)
    yield from _mixed(series)
    for volume in series.volumes():
        nowhere = np.isnan(np.asarray(volume["image_position_patient"], float).reshape(-1, 3)).any(axis=1)
        if np.isnan(volume["position_mm"]).any():
            # All slices are concerned, since none of them has a place among the others.
            where = "" if nowhere.all() or not nowhere.any() else volume.where(np.flatnonzero(nowhere))
            yield Finding("C-NO-POSITIONS", len(volume), where and f"none at {where}", volume.rows)
        else:
            yield from _along(volume)


def _orientation(series: Series) -> Iterator[Finding]:
    planes = series.plane
    known, counts = np.unique(planes[planes >= 0], return_counts=True)
    if not len(known):
        return
    main = known[np.argmax(counts)]
    reference = np.median(series.normal[planes == main], axis=0)
    angle = _angle(series.normal, reference)
    # A tilt of the whole series moves the median with it.
    odd = (angle > _DEGREES) & (planes >= 0)
    if 0 < odd.sum() <= max(1, int(_FEW * len(series))) and odd.sum() < len(series) / 2:
        yield series.finding("C-ODD-ORIENTATION", odd, f"up to {angle[odd].max():.0f}° off")
    elif len(known) > 1:
        yield _several(series, "C-MIXED-PLANE", planes, {int(plane): PLANES[plane] for plane in known})
    if main != PLANES.index("axial"):
        yield series.finding("C-NOT-AXIAL", planes == main, PLANES[main])


def _mixed(series: Series) -> Iterator[Finding]:
    matrix, of = np.unique(np.stack([series["rows"], series["columns"]], axis=1), axis=0, return_inverse=True)
    if len(matrix) > 1:
        yield _several(series, "C-MIXED-MATRIX", of, dict(enumerate(f"{one[0]} × {one[1]}" for one in matrix)))
    spacing = np.asarray(series["pixel_spacing_mm"], float).reshape(-1, 2)
    # In steps of 0.1 µm, as volumes are told apart.
    steps, of = np.unique(
        np.round(np.nan_to_num(spacing, nan=-1) * 1e4).astype(np.int64), axis=0, return_inverse=True
    )
    if len(steps) > 1:
        texts = ["none" if step[0] < 0 else f"{step[0] / 1e4:g} mm" for step in steps]
        yield _several(series, "C-MIXED-SPACING", of, dict(enumerate(texts)))
    kernels, of = np.unique(series["convolution_kernel"].astype(str), return_inverse=True)
    if len(kernels) > 1:
        yield _several(series, "C-MIXED-KERNEL", of, dict(enumerate(kernel or "none" for kernel in kernels)))


def _several(series: Series, code: str, of: Integers, texts: dict[int, str]) -> Finding:
    """A finding about all slices: how many have each value, and where those lie that lack the most usual one.

    Args:
        series: The slices.
        code: Of the finding.
        of: The value of each slice as a number, shape (n,).
        texts: The values in words, by their numbers, in order.
    """
    of = of.reshape(-1)
    counts = {value: int((of == value).sum()) for value in texts}
    usual = max(counts, key=lambda value: counts[value])
    note = listed([f"{text} ({counts[value]:,})" for value, text in texts.items()])
    where = series.where(np.flatnonzero((of != usual) & np.isin(of, list(texts))))
    return Finding(code, len(series), f"{note}; {where}", series.rows)


def usual_distance(volume: Series) -> float:
    """The median distance of slices at different positions, in mm; NaN where there is none."""
    ordered, along = _ordered(volume)
    return float("nan") if np.isnan(along).any() else _spacing(ordered, along)[0]


def _ordered(volume: Series) -> tuple[Series, Floats]:
    """The slices along their normal, and their positions in mm: those of pictures are in order of their paths."""
    along = np.asarray(volume["position_mm"], float)
    order = np.argsort(along, kind="stable")
    return Series(volume.columns, volume.rows[order]), along[order]


def _spacing(volume: Series, along: Floats) -> tuple[float, Steps, tuple[Floats, Flags] | None]:
    """What `_core.slice_spacing` says about slices in order."""
    positions = np.asarray(volume["image_position_patient"], float).reshape(-1, 3)
    thickness = np.nan_to_num(np.asarray(volume["slice_thickness_mm"], float), nan=0.0)
    normal = np.nan_to_num(volume.normal.mean(axis=0))
    length = np.linalg.norm(normal)
    return _core.slice_spacing(along, positions, thickness, list(normal / length if length else normal))


def _along(volume: Series) -> Iterator[Finding]:
    volume, along = _ordered(volume)
    if np.isnan(along).any() or len(along) < 2:
        return
    usual, steps, tilt = _spacing(volume, along)
    same = steps == _SAME
    if same.any():
        yield volume.finding("C-SAME-POSITION", np.flatnonzero(same) + 1)
    if same.all():
        return
    yield from _gaps(volume, steps, np.diff(along), usual)
    if volume.is_dicom:
        if tilt is not None:
            yield _tilt(volume, *tilt)
        yield from _thickness(volume, usual)
        yield from _instances(volume, same)


def _gaps(volume: Series, steps: Steps, mm: Floats, usual: float) -> Iterator[Finding]:
    gaps = np.flatnonzero(steps == _GAP)
    if len(gaps):
        missing = np.maximum(np.round(mm[gaps] / usual).astype(int) - 1, 1)
        along, numbers = volume["position_mm"], volume["slice_index"]
        texts = [
            f"{mm[gap]:.2f} mm instead of {usual:.2f} between slices {numbers[gap]} and {numbers[gap + 1]} "
            f"({along[gap]:.1f} to {along[gap + 1]:.1f} mm)".replace("-", "−")
            for gap in gaps
        ]
        rows = volume.rows[np.unique(np.concatenate([gaps, gaps + 1]))]
        yield Finding("C-MISSING-SLICES", int(missing.sum()), listed(texts), rows)
    uneven = np.flatnonzero(steps == _UNEVEN)
    if len(uneven):
        note = f"{mm[uneven].min():.2f} to {mm[uneven].max():.2f} mm instead of {usual:.2f}"
        yield volume.finding("C-UNEVEN-SPACING", uneven + 1, note)


def _tilt(volume: Series, degrees: Floats, changed: Flags) -> Finding:
    if changed.any():
        note = f"{np.nanmin(degrees):.1f}° to {np.nanmax(degrees):.1f}°"
        return volume.finding("C-CHANGING-TILT", np.flatnonzero(changed) + 1, note)
    return volume.finding("C-TILT", None, f"{np.nanmedian(degrees):.1f}°")


def _thickness(volume: Series, usual: float) -> Iterator[Finding]:
    thickness = np.asarray(volume["slice_thickness_mm"], float)
    known = np.nan_to_num(np.round(thickness, 3), nan=0.0)
    values = np.unique(known[known > 0])
    if len(values) > 1:
        texts = {number: f"{value:g} mm" for number, value in enumerate(values)}
        of = np.where(known > 0, np.searchsorted(values, known), -1)
        yield _several(volume, "C-MIXED-THICKNESS", of, texts)
    if len(values) != 1:
        return
    note = f"{values[0]:g} mm thick, {usual:.2f} mm apart"
    if values[0] < (1 - _ALIKE) * usual:
        yield volume.finding("C-THICKNESS-GAP", None, note)
    elif values[0] > (1 + _ALIKE) * usual:
        yield volume.finding("C-THICKNESS-OVERLAP", None, note)


def _instances(volume: Series, same: Flags) -> Iterator[Finding]:
    numbers = np.asarray(volume["instance_number"], np.int64)
    if (numbers <= np.iinfo(np.int32).min + 1).any() or (numbers < 0).any() or same.any():
        return
    steps = np.diff(numbers)
    falling = (steps < 0).sum() <= (steps > 0).sum()
    against = np.flatnonzero(steps < 0 if falling else steps > 0)
    if len(against):
        where = volume.where(against + 1)
        note = f"steps against the direction of most; {where}"
        yield Finding("C-INSTANCE-ORDER", len(against), note, volume.rows)


def direction(volume: Series) -> str:
    """How Instance Numbers run along the volume's normal: `up`, `down`, or empty where they do neither."""
    numbers = np.diff(np.asarray(volume["instance_number"], np.int64))
    if not len(numbers):
        return ""
    return "up" if (numbers > 0).all() else "down" if (numbers < 0).all() else ""


def _angle(normals: Floats, reference: Floats) -> Floats:
    """Between lines: a normal and its opposite are one orientation."""
    cosine = np.abs(normals @ reference) / np.linalg.norm(reference)
    angle: Floats = np.degrees(np.arccos(np.clip(np.nan_to_num(cosine, nan=1.0), 0, 1)))
    return angle
