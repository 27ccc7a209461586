"""The dropped fraction by scanner, kernel, slice thickness and series."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctprune.report.run_slices import Integers, RunSlices

#: Most categories of an attribute that are shown; an archive can have thousands of series.
_SHOWN = 15

#: Most volumes of a series that are named.
_VOLUMES_NAMED = 4


@dataclass(frozen=True)
class Loss:
    """The losses of one category of slices."""

    label: str
    volumes: int
    slices: int
    kept: int

    @property
    def dropped_fraction(self) -> float:
        """Dropped slices as a fraction of all, 0 to 1."""
        return 1 - self.kept / self.slices


@dataclass(frozen=True)
class LossTable:
    """The losses by one attribute, the largest first; `total` counts the categories, shown or not."""

    attribute: str
    losses: list[Loss]
    total: int


def losses(slices: RunSlices) -> list[LossTable]:
    """Losses by scanner, kernel, slice thickness and series; attributes that no slice has are left out."""
    tables = [
        _table(slices, "Scanner", *scanner_labels(slices)),
        _table(slices, "Convolution kernel", *slices.labels("convolution_kernel")),
        _table(slices, "Slice thickness", *thickness_labels(slices)),
        _table(slices, "Series", *_series_labels(slices)),
    ]
    return [table for table in tables if table is not None]


def scanner_labels(slices: RunSlices) -> tuple[list[str], Integers]:
    """Manufacturer and model of each slice, as `RunSlices.labels` gives them.

    If the model begins with the manufacturer's name, the name is not repeated.
    """
    makers, maker = slices.labels("manufacturer")
    models, model = slices.labels("manufacturer_model_name")
    pairs, of = np.unique(np.stack([maker, model], axis=1), axis=0, return_inverse=True)
    names = []
    for i, j in pairs.tolist():
        first, second = makers[i].strip(), models[j].strip()
        names.append(
            second if second.lower().startswith(first.lower()) and second else f"{first} {second}".strip()
        )
    return names, of.reshape(-1).astype(np.int64)


def thickness_labels(slices: RunSlices) -> tuple[list[str], Integers]:
    """Slice thickness of each slice, as `RunSlices.labels` gives them."""
    thickness = np.nan_to_num(slices.rows["slice_thickness_mm"], nan=-1.0)
    values, of = np.unique(np.round(thickness, 3), return_inverse=True)
    return [f"{value:g} mm" if value > 0 else "" for value in values], of.reshape(-1).astype(np.int64)


def _series_labels(slices: RunSlices) -> tuple[list[str], Integers]:
    """Series, named by the numbers of their volumes, since UIDs could lead to a patient."""
    uids, of = slices.labels("series_instance_uid")
    firsts = slices.starts[:-1]
    volumes: list[list[int]] = [[] for _ in uids]
    for volume, series in zip(slices.volume[firsts].tolist(), of[firsts].tolist(), strict=True):
        volumes[series].append(volume)
    names = []
    for uid, numbers in zip(uids, volumes, strict=True):
        named = ", ".join(map(str, numbers[:_VOLUMES_NAMED]))
        more = f" and {len(numbers) - _VOLUMES_NAMED:,} more" if len(numbers) > _VOLUMES_NAMED else ""
        names.append(f"of volume{'s' if len(numbers) > 1 else ''} {named}{more}" if uid else "")
    return names, of


def _table(slices: RunSlices, attribute: str, labels: list[str], of: Integers) -> LossTable | None:
    if not any(labels):
        return None
    count = np.bincount(of, minlength=len(labels))
    kept = np.bincount(of[slices.kept], minlength=len(labels))
    # A volume counts in the category of its first slice.
    volumes = np.bincount(of[slices.starts[:-1]], minlength=len(labels))
    found = [
        Loss(label or "not given", volumes=int(volumes[i]), slices=int(count[i]), kept=int(kept[i]))
        for i, label in enumerate(labels)
        if count[i]
    ]
    found.sort(key=lambda loss: (-loss.dropped_fraction, -loss.slices, loss.label))
    return LossTable(attribute, found[:_SHOWN], total=len(found))
