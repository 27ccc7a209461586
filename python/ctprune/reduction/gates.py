"""What a reduction leaves out of what it has read, by headers and findings, with code and reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune import _core
from ctprune.checking.check import check_rows
from ctprune.checking.planes import PLANES
from ctprune.checking.series import Columns
from ctprune.manifest.manifest import batches
from ctprune.reduction.config import GATES, ReduceConfig

#: Code and reason, and the slices by their numbers in order.
Refused = dict[tuple[str, str], npt.NDArray[np.uint32]]

_COLUMNS = ["volume", "position_mm", "image_orientation_patient", "image_type", "slice_thickness_mm", "reader"]

_ROWS_PER_BATCH = 1 << 16

#: Positions closer than this are the same, in mm.
_SAME_MM = 1e-3


def gates(config: ReduceConfig) -> Iterator[Callable[[_core.Archive], Refused]]:
    """The steps of these options' gates; volumes are grouped anew after each that leaves something out."""
    of_gate = GATES.get(config.gate or "")
    thickness = config.thickness or (of_gate[0] if of_gate else None)
    fewest = config.min_slices or (of_gate[1] if of_gate else None)
    if config.skip_codes:
        yield partial(_by_findings, config.skip_codes)
    if config.plane is not None or config.skip_derived or thickness is not None:
        yield partial(_by_headers, config, thickness)
    if of_gate is not None:
        yield _by_position
    if fewest is not None:
        yield partial(_by_number, fewest)


def _rows(archive: _core.Archive, columns: list[str] | None = None) -> _core.Rows:
    parts = batches(archive, archive.volume_starts()[-1], size=_ROWS_PER_BATCH)
    return _core.Rows.concat([part if columns is None else part.select(columns) for part in parts])


def _by_findings(codes: tuple[str, ...], archive: _core.Archive) -> Refused:
    # Localizers are among the refused rows, which stand behind the slices.
    every = batches(archive, archive.manifest_rows(), size=_ROWS_PER_BATCH)
    found: dict[str, list[Any]] = {}
    for series in check_rows(_core.Rows.concat(list(every))):
        for finding in series.findings:
            if finding.code in codes:
                found.setdefault(finding.code, []).append(finding.rows)
    seen = np.zeros(archive.volume_starts()[-1], np.bool_)
    refused: Refused = {}
    for code in codes:
        if code in found:
            chosen = np.zeros(len(seen), np.bool_)
            chosen[np.concatenate(found[code])] = True
            _add(refused, "S-FINDING", f"{code} is among the codes to skip", chosen & ~seen)
            seen |= chosen
    return refused


def _by_headers(config: ReduceConfig, thickness: tuple[float, float] | None, archive: _core.Archive) -> Refused:
    columns = Columns(_rows(archive, _COLUMNS))
    refused: Refused = {}
    left = np.ones(len(columns["volume"]), np.bool_)
    if config.plane is not None:
        plane = columns.plane
        for number, name in enumerate((*PLANES, "unknown")):
            here = plane == (number if name in PLANES else -1)
            if name != config.plane:
                _add(refused, "S-PLANE", f"plane {name}, not {config.plane}", here & left)
                left &= ~here
    if config.skip_derived:
        derived = np.array([text.split("\\")[0] == "DERIVED" for text in columns["image_type"]], np.bool_)
        _add(refused, "S-DERIVED", "derived by Image Type", derived & left)
        left &= ~derived
    if thickness is not None:
        low, high = thickness
        value = np.round(np.asarray(columns["slice_thickness_mm"], float), 6)
        unknown = np.isnan(value)
        _add(refused, "S-THICKNESS", "no Slice Thickness", unknown & left)
        outside = ~unknown & ((value < low) | (value > high))
        _add(refused, "S-THICKNESS", f"slice thickness outside of {low:g} to {high:g} mm", outside & left)
    return refused


def _by_position(archive: _core.Archive) -> Refused:
    """The first slice of each position is taken: of the first acquisition, by the order of slices."""
    rows = _rows(archive, _COLUMNS)
    volume, along = np.asarray(rows["volume"]), np.asarray(rows["position_mm"], float)
    order = np.lexsort((np.arange(len(along)), along, volume))
    again = np.zeros(len(along), np.bool_)
    same = (np.diff(volume[order]) == 0) & (np.diff(along[order]) <= _SAME_MM)
    again[order[1:]] = same
    refused: Refused = {}
    _add(refused, "S-SAME-POSITION", "another slice at the same position", again)
    return refused


def _by_number(fewest: int, archive: _core.Archive) -> Refused:
    starts = np.asarray(archive.volume_starts())
    few = np.repeat(np.diff(starts) < fewest, np.diff(starts))
    refused: Refused = {}
    _add(refused, "S-FEW-SLICES", f"volume of fewer than {fewest} slices", few)
    return refused


def _add(refused: Refused, code: str, reason: str, chosen: npt.NDArray[np.bool_]) -> None:
    if chosen.any():
        refused[code, reason] = np.flatnonzero(chosen).astype(np.uint32)
