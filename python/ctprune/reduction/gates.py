"""Gates: read slices that a reduction leaves out by headers and findings, with code and reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune import _core
from ctprune.checking.check import all_series, check_rows
from ctprune.checking.planes import PLANES
from ctprune.checking.series import Columns
from ctprune.duplicates.scans import stand_ins
from ctprune.manifest.manifest import batches
from ctprune.manifest.slices import Slices
from ctprune.reduction.config import GATES, ReduceConfig

#: Code, reason, and the numbers of the slices in order.
Refused = dict[tuple[str, str], npt.NDArray[np.uint32]]

_COLUMNS = ["volume", "position_mm", "image_orientation_patient", "image_type", "slice_thickness_mm", "reader"]

_ROWS_PER_BATCH = 1 << 16


def gates(config: ReduceConfig) -> Iterator[Callable[[_core.Archive], Refused]]:
    """The steps of the gates; after each step that leaves slices out, volumes are grouped again."""
    of_gate = GATES.get(config.gate or "")
    if config.skip_codes:
        yield partial(_by_findings, config)
    if config.plane is not None or config.skip_derived or (config.thickness is not None and of_gate is None):
        yield partial(_by_headers, config)
    if of_gate is not None:
        yield partial(_by_series, config.thickness or of_gate[0], config.min_slices or of_gate[1])
    elif config.min_slices is not None:
        yield partial(_by_number, config.min_slices)
    if config.one_per_scan:
        yield partial(_by_scan, config)


def _rows(archive: _core.Archive, columns: list[str] | None = None) -> _core.Rows:
    parts = batches(archive, archive.volume_starts()[-1], size=_ROWS_PER_BATCH)
    return _core.Rows.concat([part if columns is None else part.select(columns) for part in parts])


def _by_findings(config: ReduceConfig, archive: _core.Archive) -> Refused:
    # Localizers are among the refused rows, which follow the slices.
    every = batches(archive, archive.manifest_rows(), size=_ROWS_PER_BATCH)
    found: dict[str, list[Any]] = {}
    for series in check_rows(_core.Rows.concat(list(every)), config.threads):
        for finding in series.findings:
            if finding.code in config.skip_codes:
                found.setdefault(finding.code, []).append(finding.rows)
    seen = np.zeros(archive.volume_starts()[-1], np.bool_)
    refused: Refused = {}
    for code in config.skip_codes:
        if code in found:
            chosen = np.zeros(len(seen), np.bool_)
            chosen[np.concatenate(found[code])] = True
            _add(refused, "S-FINDING", f"{code} is among the codes to skip", chosen & ~seen)
            seen |= chosen
    return refused


def _by_headers(config: ReduceConfig, archive: _core.Archive) -> Refused:
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
    if config.thickness is not None and config.gate is None:
        low, high = config.thickness
        value = np.round(np.asarray(columns["slice_thickness_mm"], float), 6)
        unknown = np.isnan(value)
        _add(refused, "S-THICKNESS", "no Slice Thickness", unknown & left)
        outside = ~unknown & ((value < low) | (value > high))
        _add(refused, "S-THICKNESS", f"slice thickness outside of {low:g} to {high:g} mm", outside & left)
    return refused


def _by_series(thickness: tuple[float, float], fewest: int, archive: _core.Archive) -> Refused:
    """Whole series, as CT-FM chose them: a fault in one slice leaves out the whole series."""
    every = _core.Rows.concat(list(batches(archive, archive.manifest_rows(), size=_ROWS_PER_BATCH)))
    refused: Refused = {}
    of_code: dict[tuple[str, str], list[Any]] = {}
    low, high = thickness
    for series in all_series(every):
        value = np.round(np.asarray(series["slice_thickness_mm"], float), 6)
        known = value[~np.isnan(value)]
        positions = np.asarray(series["image_position_patient"], float).reshape(-1, 3)
        if not len(known):
            key = "S-THICKNESS", "no Slice Thickness"
        elif known.min() < low or known.max() > high:
            key = "S-THICKNESS", f"series with a slice thickness outside of {low:g} to {high:g} mm"
        elif len(series) < fewest:
            key = "S-FEW-SLICES", f"series of fewer than {fewest} slices"
        elif np.isnan(positions).any() or len(np.unique(positions, axis=0)) < len(series):
            key = "S-SAME-POSITION", "series with several slices at one position, or without positions"
        elif series.localizers:
            key = "S-FINDING", "C-LOCALIZER: a localizer is in the series"
        else:
            continue
        of_code.setdefault(key, []).append(series.rows)
    for key, rows in of_code.items():
        refused[key] = np.sort(np.concatenate(rows)).astype(np.uint32)
    return refused


def _by_scan(config: ReduceConfig, archive: _core.Archive) -> Refused:
    slices = Slices(_rows(archive), config.to_dict())
    of_volume = {
        one.volume: one.why for one in stand_ins(slices, prefer=str(config.prefer), threads=config.threads)
    }
    refused: Refused = {}
    for why in sorted(set(of_volume.values())):
        chosen = np.isin(slices.volume, [volume for volume, found in of_volume.items() if found == why])
        _add(refused, "S-SAME-SCAN", f"another volume of the scan is taken: {why}", chosen)
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
