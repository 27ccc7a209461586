"""Results lie outside of sources: an archive stays as it is, and no later reduction finds them in it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ctprune import _core
from ctprune.errors import ConfigError, ManifestError
from ctprune.manifest.manifest import manifest_path
from ctprune.manifest.pseudonyms import named_sources
from ctprune.manifest.summary_file import load_summary


def check_outside(
    out: str | os.PathLike[str],
    sources: Iterable[str | os.PathLike[str]],
    *,
    field: str = "out",
    kind: str = "folder",
) -> None:
    """Refuse a result inside a source.

    Args:
        out: Where the result is to be written.
        sources: Folders, files, addresses and pseudonyms; only folders have an inside, and a file is not replaced.
        field: The option that names `out`, for the error.
        kind: What `out` is, for the error: `folder` or `file`.

    Raises:
        ConfigError: `out` is a source or lies in one.
    """
    place = Path(out).resolve()
    for source in map(Path, sources):
        if place == source.resolve() or (source.is_dir() and place.is_relative_to(source.resolve())):
            raise ConfigError(
                f"{field} {out} lies inside the source {source}: name a {kind} outside of it", field=field
            )


def check_outside_run(out: str | os.PathLike[str], run: str | os.PathLike[str]) -> None:
    """Refuse a folder for results inside a source of a reduction; the reduction's own folder always does.

    Raises:
        ConfigError: `out` lies inside a source.
        ManifestError: There is no reduction.
    """
    if Path(out).resolve() != Path(run).resolve():
        check_outside(out, given_sources(run))


def given_sources(run: str | os.PathLike[str]) -> list[str]:
    """The sources of a reduction as they were named, and those that are named with a key.

    Rows do not tell a folder from files in it that were sources themselves, so the summary is asked first.

    Raises:
        ManifestError: There is no reduction.
    """
    with suppress(ManifestError):
        given = load_summary(manifest_path(run).parent).get("sources")
        if isinstance(given, list):
            return [*map(str, given), *named_sources()]
    there: dict[str, None] = {}
    for rows in _core.ManifestReader(str(manifest_path(run))).batches(["source"]):
        there |= dict.fromkeys(rows.labels("source")[0])
    return [*there, *named_sources()]
