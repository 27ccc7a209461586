"""Reading an archive with many processes or machines: each reads a shard, and the last call joins them all.

Any task engine can use this: `read_shard` is a task that returns less than a kilobyte, `missing_shards` says which
tasks to run again, and `ctprune.reduce` joins the parts and selects. Tasks share only the run's folder.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctprune import _core
from ctprune.environment.progress import ProgressCallback
from ctprune.errors import ConfigError
from ctprune.files.atomic import check_writable
from ctprune.files.run_lock import sole_writer
from ctprune.manifest.local_run import stages_folder
from ctprune.manifest.shards import (
    READ,
    READING,
    SELECTED,
    Shard,
    check_claims,
    read_claim,
    remove_shard,
    shard_folders,
    stages,
    write_claim,
)
from ctprune.options.configure import configure
from ctprune.reduction.config import ReduceConfig, ReduceOptions
from ctprune.reduction.reduction import Reduction
from ctprune.reduction.selecting import select_in_parts
from ctprune.sources.plan import Sources

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ctprune.manifest.parts import Parts

#: Most shards that a sentence names.
_NAMED = 10

_SAME = ("of", "kernels_version", "config", "sources")


@dataclass(frozen=True, kw_only=True)
class ShardRead:
    """The result of one call of `read_shard`.

    Attributes:
        shard: The shard, such as `3/8`.
        stage: `read`; or `selected` if the method compares pixels or embeddings and the shard's volumes are done.
        files: Number of files of the shard, read now or by an earlier call.
        files_read: Number of files that were read now.
        slices_read: Number of slices that were read now.
        digest: SHA-256 of the digests of the shard's parts, in hexadecimal.
        missing: Numbers of the missing shards.
        begins_next: Whether the missing shards must be called for the next stage: all shards are read, and their
            volumes must be compared.
    """

    shard: str
    stage: str
    files: int
    files_read: int
    slices_read: int
    digest: str
    missing: tuple[int, ...]
    begins_next: bool = False

    @property
    def can_be_joined(self) -> bool:
        """Whether this was the last call, so that `ctprune.reduce` now joins all shards."""
        return not self.missing

    def sentence(self) -> str:
        """A sentence about what was done and what is missing."""
        done = "read" if self.stage == READ else "compared"
        count = len(self.missing)
        if not count:
            return f"shard {self.shard} is {done}, and so are all others: they are joined now"
        if not self.begins_next:
            are = "shard is" if count == 1 else "shards are"
            return f"shard {self.shard} is {done}; {count} {are} missing: {_listed(self.missing)}"
        return (
            f"shard {self.shard} is read, and so are all others: call each once more to compare its volumes, or "
            "run 'ctprune reduce' without `shard` to do that here"
        )

    def to_dict(self) -> dict[str, Any]:
        """The attributes for JSON."""
        return asdict(self) | {"missing": list(self.missing)}


def read_shard(
    sources: Sources,
    config: ReduceConfig | None = None,
    /,
    *,
    shard: Shard | str,
    from_list: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str],
    progress: ProgressCallback | None = None,
    note: Callable[[str], None] | None = None,
    **options: Unpack[ReduceOptions],
) -> ShardRead:
    """Read one share of an archive's files into a reduction's folder: on any machine, in any order, repeatedly.

    A file's address alone decides which shard it belongs to, so all machines must see the sources and `out` under
    the same paths. Once all shards are read, `ctprune.reduce` with the same arguments joins them and selects.

    For methods that compare pixels (with a threshold) or embeddings, call each shard a second time once all shards
    are read: the second call compares whole volumes. Without it, the join compares everything alone.

    Args:
        sources: As for `ctprune.reduce`.
        config: As for `ctprune.reduce`; the same for all shards.
        shard: Which share, such as `"3/8"`.
        from_list: As for `ctprune.reduce`.
        out: The reduction's folder, the same for all shards.
        progress: As for `ctprune.reduce`.
        note: Called with a sentence when something that an earlier call read cannot be used.
        options: Those of `ctprune.ReduceConfig`.

    Raises:
        ConfigError: An option cannot be used, or other shards were read with different options.
        InUseError: Another process reads this shard.
        SourceError: A source does not exist.
        OutputError: `out` cannot be written.
        Interrupted: Ctrl-C; progress is saved.

    >>> import ctprune, tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = ctprune.phantom.write_archive(folder / "dicoms", patients=1, size=64)
    >>> read_shard(folder / "dicoms", shard="1/2", out=folder / "run").missing
    (2,)
    >>> read_shard(folder / "dicoms", shard="2/2", out=folder / "run").can_be_joined
    True
    >>> ctprune.reduce(folder / "dicoms", out=folder / "run") == ctprune.reduce(folder / "dicoms")
    True
    """
    config = configure(ReduceConfig, config, options)
    shard = Shard.parse(shard) if isinstance(shard, str) else shard
    run = Reduction(sources, config, from_list=from_list, out=out, progress=progress, note=note, shard=shard)
    return carry_out_shard(run)


def carry_out_shard(run: Reduction) -> ShardRead:
    """Read the shard of a reduction, or compare its volumes once all shards are read."""
    if run.out is None or run.shard is None or run.parts is None:
        raise ConfigError("out is missing: name a folder for the manifest", field="out")
    with run.at_end, run.speaking_of_out():
        return _carry_out(run, run.out, run.shard, run.parts)


def _carry_out(run: Reduction, out: Path, shard: Shard, parts: Parts) -> ShardRead:
    remote = run.remote
    if remote is not None:
        remote.fetch(shard=shard)
    folder = shard.folder(out)
    claim = run.claim() | {"shard": shard.number, "of": shard.of}
    check_claims(out, claim, names=_SAME)
    check_writable(folder)
    with sole_writer(folder), run.keeping_parts():
        known = read_claim(folder)
        if known is None:
            write_claim(folder, claim | {"stage": READING})
            if remote is not None:
                remote.agree(claim, _SAME)
            _withdraw_unless_agreed(out, folder, claim)
        if _compares(run.config) and known is not None and _all_read(out, shard):
            if remote is not None:
                remote.fetch()
            if known["stage"] != SELECTED:
                _compare(run)
            stage, done = SELECTED, run.progress()
        else:
            found = run.find()
            parts.remove_unusable()
            run.read_files()
            parts.save()
            stage, done = READ, run.progress() | {"files_found": found["files_to_read"] + found["files_reused"]}
        digest = hashlib.sha256("".join(sorted(parts.digests.values())).encode()).hexdigest()
        about: dict[str, Any] = {"stage": stage, "files": done["files_found"], "digest": digest}
        if stage == SELECTED:
            about = {**(known or {}), "stage": stage}
        write_claim(folder, claim | about)
        if remote is not None:
            remote.parts.save()
            remote.end_stage(shard)
            remote.fetch_stages(shard)
    # If another call has joined them in the meantime, no shard is missing.
    missing = () if remote is not None and remote.is_joined() else calls_missing(out, shard.of, run.config)
    return ShardRead(
        begins_next=stage == READ and bool(missing) and _all_read(out, shard),
        shard=str(shard),
        stage=stage,
        files=int(about.get("files", 0)),
        files_read=done["files_read"],
        slices_read=done["slices_read"],
        digest=str(about["digest"]),
        missing=missing,
    )


def missing_shards(out: str | os.PathLike[str]) -> tuple[int, ...]:
    """Numbers of the shards of a reduction that have not been read yet; empty if no shard has begun.

    Args:
        out: The reduction's folder or address.

    >>> missing_shards("/nonexistent")
    ()
    """
    with stages_folder(out) as folder:
        found = stages(folder)
        of = max((shard.of for shard in shard_folders(folder)), default=0)
    return tuple(number for number in range(1, of + 1) if found.get(number, READING) == READING)


def _listed(numbers: tuple[int, ...]) -> str:
    shown = ", ".join(map(str, numbers[:_NAMED]))
    return f"{shown}, …" if len(numbers) > _NAMED else shown


def calls_missing(out: Path, of: int, config: ReduceConfig) -> tuple[int, ...]:
    """Numbers of the shards that must still be called, to read or then to compare, before the join."""
    found = stages(out)
    unread = [number for number in range(1, of + 1) if found.get(number, READING) == READING]
    if unread or not _compares(config):
        return tuple(unread)
    return tuple(number for number in range(1, of + 1) if found[number] != SELECTED)


def _compares(config: ReduceConfig) -> bool:
    """Whether shards compare whole volumes in a second call."""
    compares, has_share = config.compares, config.keep is not None or config.budget is not None
    # A fraction to keep needs the similarities of all volumes before the threshold is known.
    return compares == "embeddings" or (compares == "pixels" and not has_share)


def _all_read(out: Path, shard: Shard) -> bool:
    found = stages(out)
    return all(found.get(number, READING) != READING for number in range(1, shard.of + 1))


def _withdraw_unless_agreed(out: Path, folder: Path, claim: dict[str, Any]) -> None:
    """Check again: another shard may have begun at the same time, with other options."""
    try:
        check_claims(out, claim, names=_SAME)
    except ConfigError:
        remove_shard(folder)
        raise


def _compare(run: Reduction) -> None:
    """Compare the slices of the shard's volumes, and save the results for the join."""
    assert run.shard is not None
    assert run.out is not None
    assert run.parts is not None
    deep = run.load_network()
    run.find(read_here=False)
    # Files that have changed since they were read, and members of containers that are read in one pass.
    run.read_files()
    run.group()
    archive = run.archive
    volumes = archive.volumes_of(run.shard.number, run.shard.of)
    if deep is None:
        count = run.counter("comparing", volumes)
        select_in_parts(archive, run.parts, run.select_in, count, only=volumes, save_all=True)
        return

    def batches(size: int) -> Iterator[_core.Rows]:
        for volume in volumes:
            _, rows = archive.volume_rows([volume], 0, 0)
            for start in range(0, len(rows), size):
                yield rows.slice(start, min(start + size, len(rows)))

    deep.embed(batches, run.shard.folder(run.out), run.counter("embedding", volumes))
