"""A verdict per series: what `ctprune check` shows, and what the gates of a reduction ask."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ctprune import _core
from ctprune.checking.codes import CHECK_CODES
from ctprune.checking.geometry import direction, geometry_findings, usual_distance
from ctprune.checking.identity import Others, identity_findings
from ctprune.checking.intensity import body_share, intensity_findings
from ctprune.checking.planes import PLANES
from ctprune.checking.series import COLUMNS, Columns, Finding, Series
from ctprune.files.atomic import replace_file
from ctprune.manifest.derived import SERIES_NAME
from ctprune.manifest.slices import has_status


@dataclass(frozen=True)
class SeriesCheck:
    """One series with what was found.

    Attributes:
        number: From 0, in the manifest's order.
        path: Its first file, relative to its source.
        series_instance_uid: Empty where the files have none.
        volumes: Numbers of its volumes.
        slices: Number of slices.
        plane: `axial`, `coronal`, `sagittal`, `mixed`, or empty where it is not known.
        distance_mm: Usual distance of slices; NaN where it is not known.
        thickness_mm: Slice Thickness of the first slice; NaN where there is none.
        direction: `up` or `down` where Instance Numbers run along the first volume's normal or against it.
        body_share: Median share of a slice that is denser than −500 HU; NaN where pixels were not read.
        findings: The worst first.
    """

    number: int
    path: str
    series_instance_uid: str
    volumes: list[int]
    slices: int
    plane: str
    distance_mm: float
    thickness_mm: float
    direction: str
    body_share: float
    findings: list[Finding]

    @property
    def verdict(self) -> str:
        """The worst severity, or `ok`."""
        return self.findings[0].severity if self.findings else "ok"

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: null where a number is not known."""
        plain = {name: value for name, value in asdict(self).items() if name != "findings"}
        plain = {
            name: None if isinstance(value, float) and value != value else value for name, value in plain.items()
        }
        findings = [
            {
                "code": one.code,
                "severity": one.severity,
                "count": one.count,
                "where": one.where,
                "meaning": CHECK_CODES[one.code].meaning,
                "action": CHECK_CODES[one.code].action,
            }
            for one in self.findings
        ]
        return {**plain, "verdict": self.verdict, "findings": findings}


def check_rows(rows: _core.Rows, threads: int = 0) -> list[SeriesCheck]:
    """Check the series of a manifest's rows, the worst first; `threads` read pixels again, 0 for all cores.

    >>> import ctprune
    >>> folder = __import__("tempfile").mkdtemp()
    >>> _ = ctprune.phantom.write_archive(folder, patients=1, size=64)
    >>> check_rows(ctprune.reduce(folder).rows)[0].plane
    'axial'
    """
    series = list(all_series(rows))
    others = Others(series[0].columns, sum(map(len, series)), threads) if series else None
    found = [_checked(number, one, others) for number, one in enumerate(series) if others is not None]
    worst = {code: rank for rank, code in enumerate(("error", "warning", "note", "ok"))}
    return sorted(found, key=lambda one: (worst[one.verdict], -len(one.findings), one.number))


def all_series(rows: _core.Rows) -> Iterator[Series]:
    """The series of a manifest's rows, in order; series without slices are none."""
    rows = rows.select([*COLUMNS, "transfer_syntax_uid"])
    is_slice = np.asarray(rows["volume"]) >= 0
    slices = rows.filter(is_slice)
    columns = Columns(slices)
    refused = rows.filter(~is_slice & has_status(rows, "skipped"))
    localizers: dict[str, int] = {}
    for uid, code in zip(refused["series_instance_uid"], refused["code"], strict=True):
        if code == "S-LOCALIZER" and uid:
            localizers[uid] = localizers.get(uid, 0) + 1
    members: dict[Any, list[int]] = {}
    volumes = np.asarray(slices["volume"]).tolist()
    for row, (uid, volume) in enumerate(zip(slices["series_instance_uid"], volumes, strict=True)):
        members.setdefault(uid or volume, []).append(row)
    for key, at in members.items():
        yield Series(columns, np.array(at, np.int64), localizers.get(key, 0))


def _checked(number: int, series: Series, others: Others) -> SeriesCheck:
    findings = [
        *geometry_findings(series),
        *intensity_findings(series),
        *identity_findings(series, others),
    ]
    first = next(series.volumes())
    planes = np.unique(series.plane)
    share = body_share(series)
    return SeriesCheck(
        number=number,
        path=str(series["path"][0]),
        series_instance_uid=str(series["series_instance_uid"][0]),
        volumes=np.unique(series["volume"]).tolist(),
        slices=len(series),
        plane="mixed" if len(planes) > 1 else PLANES[planes[0]] if planes[0] >= 0 else "",
        distance_mm=usual_distance(first),
        thickness_mm=float(series["slice_thickness_mm"][0]),
        direction=direction(first) if series.is_dicom else "",
        body_share=float(np.median(share)),
        findings=sorted(findings, key=lambda one: (one.rank, one.code, -one.count)),
    )


def write_series(series: list[SeriesCheck], folder: str | os.PathLike[str]) -> Path:
    """Write `series.parquet`: a row per series, in the manifest's order."""
    file = Path(folder) / SERIES_NAME
    ordered = sorted(series, key=lambda one: one.number)
    texts = ("path", "series_instance_uid", "plane", "direction", "verdict")
    columns: dict[str, Any] = {
        "number": np.array([one.number for one in ordered], np.int64),
        "slices": np.array([one.slices for one in ordered], np.int64),
        **{name: [getattr(one, name) for one in ordered] for name in texts},
        **{
            name: np.array([getattr(one, name) for one in ordered], np.float64)
            for name in ("distance_mm", "thickness_mm", "body_share")
        },
        "volumes": [" ".join(map(str, one.volumes)) for one in ordered],
        "codes": [" ".join(dict.fromkeys(found.code for found in one.findings)) for one in ordered],
        "findings": ["\n".join(f"{f.code}: {f.count}: {f.where}" for f in one.findings) for one in ordered],
    }
    with replace_file(file) as beside:
        _core.Rows.from_columns(columns).write(str(beside))
    return file
