"""Join reductions of different archives, or of parts of one, without reading files again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ctprune import _core
from ctprune.environment.progress import ProgressCallback
from ctprune.errors import ConfigError, ManifestError
from ctprune.manifest.local_run import whole_run
from ctprune.manifest.manifest import Manifest, manifest_path
from ctprune.manifest.parts import part_files
from ctprune.manifest.pseudonyms import is_pseudonym, named_sources, revealed_key, revealed_sources
from ctprune.manifest.run_address import run_address, speaking_of
from ctprune.manifest.shards import READING, shard_folders, stages
from ctprune.manifest.summary_file import load_summary
from ctprune.reduction.config import ReduceConfig
from ctprune.reduction.finding import Runs
from ctprune.reduction.folder import check_merged_out
from ctprune.reduction.reduction import Reduction
from ctprune.sources.addresses import as_address, is_address


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
        check_merged_out(out, [source.given for source in sources])
        key = _key_of([source.name for source in sources])
        if key is not None:
            config = replace(config, pseudonymize=key)
            revealed = revealed_sources([source.name for source in sources])
            folders_given = {source.rstrip("/") for source in named_sources()}
            # Files that were sources have their folder as the name of their source.
            sources = [_Source(name, name, name in folders_given) for name in revealed]
        sources = _outermost(sources)
        runs_of = Runs(
            folders,
            sources=list(dict.fromkeys(source.name for source in sources)),
            shown=list(dict.fromkeys(source.given for source in sources)),
        )
    return Reduction((), config, out=out, progress=progress, note=note, runs=runs_of)


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


class _Source(NamedTuple):
    """A source of a reduction.

    Attributes:
        name: What its rows name: a folder or an address.
        given: What the user named: the same, or a file in it.
        is_whole: Whether the user named the folder: then all below it belongs to it.
    """

    name: str
    given: str
    is_whole: bool


def _sources(folder: Path, reader: _core.ManifestReader) -> list[_Source]:
    """The sources of a reduction, in the order in which they were given, as far as its rows and summary tell."""
    there: dict[str, None] = {}
    for rows in reader.batches(["source"]):
        there |= dict.fromkeys(rows.labels("source")[0])
    given: list[str] = []
    with suppress(ManifestError):
        given = [str(source) for source in load_summary(folder).get("sources", [])]
    named = [_Source(_name_of(source, there), source, source in there) for source in given]
    known = [source for source in named if source.name in there]
    names = {source.name for source in known}
    return [*known, *(_Source(source, source, True) for source in there if source not in names)]


def _name_of(source: str, there: Collection[str]) -> str:
    """What rows name the source that the user named: itself, or the folder in which the file lies.

    >>> _name_of("/a/b.zip", ["/a", "/c"]), _name_of("/a/b.zip!/DICOMDIR", ["/a"]), _name_of("s3://a/b.zip", ["s3://a"])
    ('/a', '/a', 's3://a')
    """
    return next((name for name in (source, *_around(source)) if name in there), source)


def _outermost(sources: list[_Source]) -> list[_Source]:
    """The sources without those that lie inside another, in the order of a reduction: those on this machine first.

    >>> folder, file = _Source("/a", "/a", True), _Source("/a", "/a/b.zip", False)
    >>> inner, other = _Source("/a/b", "/a/b", True), _Source("s3://c", "s3://c", True)
    >>> [source.given for source in _outermost([other, inner, file])]
    ['/a/b', '/a/b.zip', 's3://c']
    >>> [source.given for source in _outermost([inner, file, folder])]
    ['/a']
    """
    whole = {source.name for source in sources if source.is_whole}
    outer = [
        source
        for source in dict.fromkeys(sources)
        if not any(around in whole for around in _around(source.name))
        and (source.is_whole or source.name not in whole)
    ]
    return sorted(outer, key=lambda source: is_address(source.name))


def _around(name: str) -> Iterator[str]:
    """The folders around a folder or address, from the inside out.

    >>> list(_around("/a/b/c"))
    ['/a/b', '/a', '/']
    >>> list(_around("s3://a/b"))
    ['s3://a', 's3:/', 's3:']
    """
    if not is_address(name):
        yield from map(str, Path(name).parents)
        return
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name
