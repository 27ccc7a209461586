"""Join reductions of different archives, or of parts of one, without reading files again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ctprune import _core
from ctprune.environment.progress import ProgressCallback
from ctprune.errors import ConfigError, ManifestError
from ctprune.manifest.local_run import whole_run
from ctprune.manifest.manifest import Manifest, manifest_path
from ctprune.manifest.parts import part_files
from ctprune.manifest.pseudonyms import is_pseudonym, revealed_key, revealed_sources
from ctprune.manifest.run_address import run_address, speaking_of
from ctprune.manifest.shards import READING, shard_folders, stages
from ctprune.reduction.config import ReduceConfig
from ctprune.reduction.reduction import Reduction
from ctprune.reduction.summary import load_summary
from ctprune.sources.addresses import as_address


def merge(
    runs: Sequence[str | os.PathLike[str]],
    *,
    out: str | os.PathLike[str],
    threads: int = 0,
    progress: ProgressCallback | None = None,
    note: Callable[[str], None] | None = None,
) -> Manifest:
    """Join reductions with the same configuration into one, as if all their sources had been reduced together.

    The selection is repeated among all slices. Fingerprints, embeddings, and rows of skipped and failed files are
    taken over, so the sources need not be available. Only methods that compare pixels read files again, if a
    volume has slices in several reductions.

    To join reductions with pseudonyms of one key, first name the key and the sources with `ctprune.reveal`. The
    files must still be there, since their names decide the order.

    If two reductions contain the same file, its later version wins. A source inside another source becomes part of
    it.

    Args:
        runs: Folders or addresses of reductions, two or more; their sources follow in this order.
        out: Folder or address of the new reduction; must differ from those in `runs`.
        threads: Number of threads, 0 for one per core.
        progress: As for `ctprune.reduce`.
        note: Called with a sentence when something that was saved before cannot be used.

    Returns:
        The manifest of all.

    Raises:
        ConfigError: Options differ, or a selection depends on an earlier one (`stable`).
        ManifestError: A folder holds no manifest, or it is damaged.
        OutputError: `out` cannot be written.
        InUseError: Another process writes to `out`.

    >>> import ctprune, tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("a", "b"):
    ...     _ = ctprune.phantom.write_archive(folder / name, patients=1, size=64, seed=ord(name))
    ...     _ = ctprune.reduce(folder / name, out=folder / f"run-{name}")
    >>> merged = merge([folder / "run-a", folder / "run-b"], out=folder / "both")
    >>> merged == ctprune.reduce([folder / "a", folder / "b"])
    True
    """
    reduction = prepare_merge(runs, out=out, threads=threads, progress=progress, note=note)
    with reduction.at_end:
        return reduction.carry_out()


def prepare_merge(
    runs: Sequence[str | os.PathLike[str]],
    *,
    out: str | os.PathLike[str],
    threads: int = 0,
    progress: ProgressCallback | None = None,
    note: Callable[[str], None] | None = None,
) -> Reduction:
    """Check that reductions can be joined, and prepare the joint reduction; raises as `merge` does."""
    if len(runs) < 2:
        raise ConfigError("expected two or more reductions to merge", field="runs")
    for run in runs:
        if _is_same(run, out):
            raise ConfigError(f"out {out} is one of the reductions to merge: name another folder", field="out")
    with ExitStack() as copies:
        folders = [copies.enter_context(whole_run(run)) for run in runs]
        reduction = _prepare(runs, folders, out, threads, progress, note)
        reduction.at_end.push(copies.pop_all())
    return reduction


def _prepare(
    runs: Sequence[str | os.PathLike[str]],
    folders: list[Path],
    out: str | os.PathLike[str],
    threads: int,
    progress: ProgressCallback | None,
    note: Callable[[str], None] | None,
) -> Reduction:
    names = {folder: address for folder, run in zip(folders, runs, strict=True) if (address := as_address(run))}
    with speaking_of(names):
        for folder in folders:
            _refuse_unfinished(folder)
        readers = [_core.ManifestReader(str(manifest_path(folder))) for folder in folders]
        abouts = [json.loads(reader.about) for reader in readers]
        _check_same(folders, abouts)
        config = ReduceConfig(
            **{**abouts[0]["config"], "exclude": tuple(abouts[0]["config"]["exclude"])}, threads=threads
        )
        sources = [source for run in zip(folders, readers, strict=True) for source in _sources(*run)]
        key = _key_of(sources)
        if key is not None:
            config = replace(config, pseudonymize=key)
            sources = revealed_sources(sources)
        sources = _outermost(sources)
    return Reduction(sources, config, out=out, progress=progress, note=note, runs=folders)


def _is_same(run: str | os.PathLike[str], out: str | os.PathLike[str]) -> bool:
    one, other = as_address(run), as_address(out)
    if one is None or other is None:
        return one == other and Path(run).resolve() == Path(out).resolve()
    return run_address(one) == run_address(other)


def _refuse_unfinished(folder: Path) -> None:
    """Refuse a run with parts or shards that are not in its manifest."""
    shards = stages(folder)
    if not shards and not part_files(folder):
        return
    done = ""
    if shards:
        read = sum(stage != READING for stage in shards.values())
        done = f"{read} of its {max(shard.of for shard in shard_folders(folder))} shards are read, and "
    raise ManifestError(
        f"{folder}: {done}its manifest lacks some of what was read: run 'ctprune reduce' again, then merge"
    )


def _check_same(folders: list[Path], abouts: list[dict[str, Any]]) -> None:
    first, config = folders[0], abouts[0]["config"]
    if config.get("stable"):
        raise ConfigError(
            f"{first}: a selection with `stable` depends on the one before: it cannot be merged; reduce both "
            "sources together"
        )
    for folder, about in zip(folders, abouts, strict=True):
        if about.get("kernels_version") != _core.KERNELS_VERSION:
            raise ConfigError(
                f"{folder} was read with readers other than those of ctprune {_core.__version__}: reduce its "
                "source again"
            )
        for name in sorted({*config, *about["config"]}):
            if about["config"].get(name) != config.get(name):
                raise ConfigError(
                    f"{folder} has `{name}` {about['config'].get(name)}, {first} has {config.get(name)}: reduce "
                    "one of them again with the options of the other"
                )


def _key_of(sources: list[str]) -> str | None:
    """File of the key that made these sources' pseudonyms; None if there are no pseudonyms."""
    hidden = [source for source in sources if is_pseudonym(source)]
    if not hidden:
        return None
    if len(hidden) < len(sources):
        raise ConfigError("some of the reductions hold pseudonyms, others names: reduce these with the key, too")
    return revealed_key()


def _sources(folder: Path, reader: _core.ManifestReader) -> list[str]:
    """The sources of a reduction, in the order in which they were given, as far as its rows tell."""
    there: dict[str, None] = {}
    for rows in reader.batches(["source"]):
        there |= dict.fromkeys(rows.labels("source")[0])
    given: list[str] = []
    with suppress(ManifestError):
        given = [str(source) for source in load_summary(folder).get("sources", [])]
    named = [source if source in there else str(Path(source).parent) for source in given]
    return list(dict.fromkeys([*(source for source in named if source in there), *there]))


def _outermost(sources: list[str]) -> list[str]:
    """Each source once, without those that lie inside another.

    >>> _outermost(["/a/b", "/c", "/a", "/c", "/ab"])
    ['/c', '/a', '/ab']
    """
    each = list(dict.fromkeys(sources))
    # A folder comes right before its content.
    inner, outer = set(), None
    for source in sorted(each, key=lambda source: Path(source).parts):
        if outer is not None and Path(source).is_relative_to(outer):
            inner.add(source)
        else:
            outer = source
    return [source for source in each if source not in inner]
