"""The folder of a reduction: where it may lie, and whether a selection can continue from it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctprune import _core
from ctprune.errors import ConfigError, ManifestError, OutputError, SourceError
from ctprune.manifest.manifest import FILE_NAME
from ctprune.manifest.outside import check_outside
from ctprune.manifest.parts import part_files
from ctprune.manifest.summary_file import SUMMARY_NAME, load_summary
from ctprune.reduction.config import ReduceConfig
from ctprune.sources.addresses import as_address, is_address, parse_address

if TYPE_CHECKING:
    from ctprune.manifest.remote_run import RemoteRun
    from ctprune.sources.plan import Plan

CONFIG_NAME = "config.yaml"


def check_out(out: Path, sources: list[Path]) -> None:
    """Check that a reduction can be written to a folder without touching a source or foreign files.

    Raises:
        ConfigError: The folder is a file, or lies inside a source.
        OutputError: The folder holds other results.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"out {out}: expected a folder, found a file", field="out")
    for name in (CONFIG_NAME, SUMMARY_NAME):
        if (out / name).exists() and not _is_of_reduction(out):
            raise OutputError(
                f"{out / name} does not belong to a reduction and would be replaced: choose another folder"
            )
    check_outside(out, sources)


def check_sources(sources: list[Path]) -> None:
    """Check that no source is a reduction, whose plots would be read as slices.

    Raises:
        ConfigError: One is.
    """
    for source in sources:
        folder = source.parent if source.name == FILE_NAME else source
        if (folder / FILE_NAME).is_file() and (folder / SUMMARY_NAME).is_file():
            raise ConfigError(f"{source} is a reduction: name the folder of the images")


def _is_of_reduction(out: Path) -> bool:
    """Whether the files in a folder are those of a reduction, perhaps one that was killed before its manifest."""
    if (out / FILE_NAME).exists():
        return True
    try:
        return "manifest_version" in load_summary(out)
    except ManifestError:
        return False


def remote_run(out: str | os.PathLike[str], sources: Plan, note: Callable[[str], None]) -> RemoteRun | None:
    """The run at an address in an object store; None for a folder on this machine.

    Raises:
        ConfigError: The address cannot be that of a run, or lies inside a source.
        MissingExtraError: The extra `cloud` is not installed.
    """
    text = as_address(out)
    if text is None:
        return None
    # Imported here, since it needs an extra.
    from ctprune.manifest.remote_run import RemoteRun
    from ctprune.manifest.run_address import run_address

    address = run_address(text)
    for one in sources.elsewhere:
        source = one.address
        inside = f"{address.path}/".startswith(source.path if source.every else f"{source.path}/")
        if source.root == address.root and inside:
            raise ConfigError(f"out {address} lies inside the source {source}: name another prefix", field="out")
    return RemoteRun(text, note)


def check_merged_out(out: str | os.PathLike[str], sources: Iterable[str]) -> None:
    """Check that a merged reduction is not put below a remote source of those that are merged.

    Summaries name sources without wildcards, and those of a list by their bucket: a whole bucket is not refused,
    since a list may have named it.

    Raises:
        ConfigError: The address cannot be that of a run, or lies inside a source.
    """
    text = as_address(out)
    if text is None:
        return
    from ctprune.manifest.run_address import run_address

    address = str(run_address(text))
    for source in filter(is_address, sources):
        parsed = parse_address(source)
        if parsed.path.strip("/") and f"{address}/".startswith(f"{str(parsed).rstrip('/')}/"):
            raise ConfigError(f"out {address} lies inside the source {source}: name another prefix", field="out")


def check_stable(out: Path, config: ReduceConfig, earlier: Mapping[str, Any] | None) -> None:
    """With `stable`, check that the earlier reduction had the same options.

    Args:
        out: Folder of the reduction.
        config: The present options.
        earlier: Metadata of the manifest in `out`; None if it cannot be taken over.

    Raises:
        ConfigError: The options differ.
    """
    if not config.stable or not (out / FILE_NAME).exists():
        return
    if earlier is None:
        raise ConfigError(f"stable: {out} was read with different options: omit `stable`", field="stable")
    mine = config.to_dict()
    for name in mine.keys() - {"stable", "exclude"}:
        if earlier["config"].get(name) != mine[name]:
            raise ConfigError(
                f"stable: {out} was made with `{name}` {earlier['config'].get(name)}, not {mine[name]}: "
                "give the same options or omit `stable`",
                field="stable",
            )


def check_no_disk_is_missing(out: Path, sources: Mapping[Path, str]) -> None:
    """Refuse to replace what was read of folders that are empty now, as they are if their disk is not mounted.

    Args:
        out: Folder of the reduction.
        sources: Folders and files to read, with their names in rows.

    Raises:
        SourceError: A folder is empty, but the reduction, or a part of it, has rows of its files.
    """
    empty = {name: source for source, name in sources.items() if is_empty_folder(source)}
    if not empty:
        return
    for file in (out / FILE_NAME, *part_files(out)):
        # What is damaged is another's concern.
        with suppress(ManifestError):
            for rows in _core.ManifestReader(str(file)).batches(["source"]):
                for name in empty.keys() & set(rows.labels("source")[0]):
                    raise SourceError(
                        f"{empty[name]}: the folder is empty, but {out} has rows of its files: mount their disk, "
                        f"or delete {out} to start over"
                    )


def is_empty_folder(source: str | os.PathLike[str]) -> bool:
    """Whether a source is an empty folder."""
    try:
        with os.scandir(source) as entries:
            return next(entries, None) is None
    except OSError:
        # Not a folder, or one about which the walk will report.
        return False
