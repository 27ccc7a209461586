"""From a finished run to one self-contained HTML page."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ctprune.environment.progress import Operation, ProgressCallback
from ctprune.errors import ConfigError, Interrupted
from ctprune.files.atomic import replace_file
from ctprune.files.globs import EXCLUDED
from ctprune.manifest.derived import REPORT_MARK, REPORT_NAME
from ctprune.manifest.findings import Findings
from ctprune.manifest.gaps import FAR_MM, WORTH_A_WORD
from ctprune.manifest.local_run import folder_to_write
from ctprune.manifest.outside import check_outside
from ctprune.manifest.refused import Refused, by_code, lines, total
from ctprune.manifest.ruled import STEADY_INTENSITY
from ctprune.options.configure import configure
from ctprune.options.file import save_options
from ctprune.pages import environment_of, style_of
from ctprune.reading.thumbnails import Pictures, make_pictures
from ctprune.report import figures
from ctprune.report.borderline import Pair, dropped_pairs, kept_pairs
from ctprune.report.citation import BIBTEX, PAPER, command_line, method_sentence, shown_config
from ctprune.report.config import ReportConfig, ReportOptions
from ctprune.report.diversity import SAMPLE as DIVERSITY_SAMPLE
from ctprune.report.diversity import DiversityTable, diversity_of
from ctprune.report.findings import SameAnatomy, SeriesFindings
from ctprune.report.groups import Group, choose_groups
from ctprune.report.losses import losses
from ctprune.report.nearest import MOST_PAIRS, Nearest, nearest_kept_before
from ctprune.report.ranges import Ranges, ranges
from ctprune.report.run_slices import Integers, RunSlices, load_run
from ctprune.report.volume_table import (
    STRIP_COLUMNS,
    extreme_volumes,
    listed_volumes,
    spread,
    volume_lines,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: Most bytes of all pictures, of a report's 5 MB.
_PICTURE_BYTES = 2_400_000

_PAIRS, _EXTREMES, _STRIP_PICTURES, _RANGE_EXAMPLES = 6, 3, 8, 4

#: Most pictures of groups: about what fits besides the others.
_GROUP_PICTURES = 480


@dataclass(frozen=True)
class Report:
    """A written report.

    Attributes:
        path: The report's file.
        bytes: Size of the report's file.
        pictures: Number of pictures that the report shows.
        pictures_missing: Number of pictures that could not be shown, by reason.
    """

    path: Path
    bytes: int
    pictures: int
    pictures_missing: dict[str, int] = field(default_factory=dict)


def write_report(
    reduction: str | os.PathLike[str],
    config: ReportConfig | None = None,
    /,
    *,
    out: str | os.PathLike[str] | None = None,
    progress: ProgressCallback | None = None,
    **options: Unpack[ReportOptions],
) -> Report:
    """Write one HTML page about a reduction: below 5 MB, without patients' names, readable without a network.

    Args:
        reduction: Folder of a reduction.
        config: What the page shows; cannot be combined with single options.
        out: The file to write; by default `report.html` in the reduction's folder. The options are written beside
            it, as `report.html.yaml`.
        progress: Called a few times a second with a `ctprune.Progress`. Stage: `reading` (pictures).
        options: Those of `ctprune.ReportConfig`, such as `intensity="lung"`.

    Raises:
        ManifestError: The folder holds no finished reduction, or the reduction has no slice.
        ConfigError: An option cannot be used.
        OutputError: The file cannot be written.
        Interrupted: Ctrl-C; nothing is left behind.

    >>> import ctprune, tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = ctprune.phantom.write_archive(folder / "dicoms", patients=1, size=64, slices=4)
    >>> _ = ctprune.reduce(folder / "dicoms", out=folder / "run")
    >>> ctprune.write_report(folder / "run").path.name
    'report.html'
    """
    config = configure(ReportConfig, config, options)
    try:
        # Checked before a remote run is copied.
        file = Path(out) if out is not None else folder_to_write(reduction, None, "report.html") / REPORT_NAME
        slices = load_run(reduction)
        _check_out(file, slices)
        contents = _Contents(slices, config.threads)
        pictures = make_pictures(
            slices,
            contents.rows(),
            config.intensity,
            most_bytes=_PICTURE_BYTES,
            threads=config.threads,
            operation=Operation(progress),
        )
        # The effect of metal and padding shows in comparison with the slice in a window.
        ruled = contents.ruled_rows() if slices.config["intensity"] == "minmax" else []
        as_compared = make_pictures(
            slices,
            ruled,
            "minmax",
            most_bytes=_PICTURE_BYTES // 10,
            threads=config.threads,
            operation=Operation(),
        )
        page = _render(contents, pictures, as_compared, config.intensity).encode()
        with replace_file(file) as beside:
            beside.write_bytes(page)
        save_options(config, file.with_name(f"{file.name}.yaml"))
    except KeyboardInterrupt:
        raise Interrupted("interrupted; no report was written") from None
    shown = sum(bool(picture.uri) for made in (pictures, as_compared) for picture in made.of.values())
    return Report(path=file, bytes=len(page), pictures=shown, pictures_missing=pictures.missing)


def _check_out(file: Path, slices: RunSlices) -> None:
    if file.is_dir():
        raise ConfigError(
            f"out {file}: expected a file, such as {file / REPORT_NAME}, found a folder", field="out"
        )
    check_outside(file, slices.summary["sources"], kind="file")


class _Contents:
    """The content of the page, without pictures."""

    def __init__(self, slices: RunSlices, threads: int) -> None:
        self.slices = slices
        self.nearest: Nearest | None = nearest_kept_before(slices)
        self.dropped_pairs: list[Pair] = dropped_pairs(slices, _PAIRS)
        self.kept_pairs: list[Pair] = kept_pairs(slices, self.nearest, _PAIRS)
        self.lowest, self.highest = extreme_volumes(slices, _EXTREMES)
        self.strips = {
            int(volume): self._strip(int(volume)) for volume in [*self.lowest.tolist(), *self.highest.tolist()]
        }
        self.ranges: Ranges = ranges(slices, _RANGE_EXAMPLES)
        self.series = SeriesFindings(slices, threads)
        self.same = SameAnatomy(slices)
        self.diversity: DiversityTable | None = diversity_of(slices)
        self.groups: list[Group] = choose_groups(slices, _GROUP_PICTURES)

    def rows(self) -> Iterator[int]:
        """Rows of all slices that are shown, the most important ones first."""
        for pair in [*self.dropped_pairs, *self.kept_pairs]:
            yield from (pair.row, pair.earlier)
        for rows in self.strips.values():
            yield from rows
        for _, aligned in self.same.shown:
            for both in aligned:
                yield from both
        yield from self.ruled_rows()
        for group in self.groups:
            yield group.exemplar
        for group in self.groups:
            yield from group.shown

    def ruled_rows(self) -> list[int]:
        """Rows of the examples of metal and padding."""
        return [row for ruled in self.ranges.ruled for row in ruled.examples]

    def _strip(self, volume: int) -> list[int]:
        """A few slices of a volume, evenly spread."""
        rows: Integers = self.slices.starts[volume] + spread(
            int(self.slices.slices_in_volume[volume]), _STRIP_PICTURES
        )
        return list(map(int, rows))


def _render(contents: _Contents, pictures: Pictures, as_compared: Pictures, window: str) -> str:
    slices, summary = contents.slices, contents.slices.summary
    environment = environment_of("ctprune.report")
    environment.filters["seconds"] = _duration
    lines = volume_lines(slices, listed_volumes(slices))
    extremes = [
        (title, list(zip(volumes.tolist(), volume_lines(slices, volumes), strict=True)))
        for title, volumes in (
            ("Most redundant" if slices.volumes > 1 else "The volume", contents.lowest),
            ("Least redundant", contents.highest),
        )
    ]
    return environment.get_template("report.html").render(
        mark=REPORT_MARK,
        style=style_of("ctprune.report"),
        script=environment.get_template("script.js").render(),
        slices=slices,
        summary=summary,
        measure=slices.measure,
        threshold=slices.threshold,
        config=shown_config(slices.config),
        contents=contents,
        digest=slices.manifest.digest(),
        sentence=method_sentence(slices),
        command=command_line(slices.config),
        paper=PAPER,
        bibtex=BIBTEX,
        figures=_figures(contents),
        lines=lines,
        extremes=extremes,
        losses=losses(slices),
        diversity_sample=DIVERSITY_SAMPLE,
        label_volumes=_label_volumes(slices),
        reasons={status: _without_patterns(summary[status]) for status in ("failed", "skipped")},
        refused={status: total(summary[status]) for status in ("failed", "skipped")},
        slice_name=_SliceNames(slices).text,
        pictures=pictures,
        index_of=lambda row: slices.slice_index[row],
        as_compared=as_compared,
        comparable=slices.method.decides and slices.method.compares in MOST_PAIRS,
        has_positions=bool(np.isfinite(slices.position_mm).any()),
        window=window,
        far_mm=FAR_MM,
        are_far=_are_far(slices),
        steady_intensity=STEADY_INTENSITY,
        strip_columns=STRIP_COLUMNS,
    )


def _without_patterns(refused: Refused) -> list[tuple[str, str, int]]:
    """Codes, reasons and numbers, without patterns of paths, since paths often hold patients' names."""
    shown = (
        (code, EXCLUDED.strip() if reason.startswith(EXCLUDED) else reason, count)
        for code, reason, count in lines(refused)
    )
    return lines(by_code(shown))


def _are_far(slices: RunSlices) -> bool:
    """Whether so many exemplars are far away along the body that the page suggests a limit."""
    gaps = slices.gaps
    return bool("max_gap_mm" in slices.method.options and gaps and gaps["far"] >= WORTH_A_WORD * gaps["slices"])


def _label_volumes(slices: RunSlices) -> list[int]:
    """Numbers of NIfTI volumes that look like label masks."""
    findings = Findings()
    findings.add(slices.rows)
    return [volume.number for volume in findings.label_volumes()]


def _figures(contents: _Contents) -> dict[str, Any]:
    return {
        "volumes": figures.volumes_figure(contents.slices),
        "body": figures.body_figure(contents.slices),
        "similarity": figures.similarity_figure(contents.slices, contents.nearest),
    }


class _SliceNames:
    """The place of slices, in words."""

    def __init__(self, slices: RunSlices) -> None:
        self._slices = slices

    def text(self, row: int) -> str:
        """Index of a slice and its position, if known."""
        index, position = self._slices.slice_index[row], self._slices.position_mm[row]
        return f"slice {index}" + (f", {position:.1f} mm".replace("-", "−") if position == position else "")


def _duration(seconds: float) -> str:
    """A time in readable units.

    >>> _duration(0.31), _duration(75), _duration(7300)
    ('0.31 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
