"""Overlap of a set B, such as a test set, with a set A: by slice and by volume, with a table and a page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ctprune.duplicates.duplicates import with_correlation
from ctprune.duplicates.evidence import correlation, read_small
from ctprune.duplicates.pairs import Pair, find_pairs
from ctprune.environment.progress import Operation, ProgressCallback
from ctprune.errors import Interrupted, SourceError
from ctprune.files.atomic import folder_for_results
from ctprune.manifest.manifest import Manifest
from ctprune.manifest.outside import check_outside, check_outside_run
from ctprune.manifest.slices import Floats, Integers
from ctprune.options.configure import configure
from ctprune.overlapping.both import Both
from ctprune.overlapping.config import OverlapConfig, OverlapOptions
from ctprune.overlapping.near import TURNS, Near, find_near, near_threshold
from ctprune.overlapping.page import write_page
from ctprune.overlapping.result import PAGE_NAME, TABLE_NAME, WHERE, Overlap, Part
from ctprune.overlapping.sets import PathLike, SliceSet, is_run, open_set
from ctprune.reduction.config import ReduceConfig

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: Most slices with a correlation: reading more would take longer than everything else.
_MOST_READ = 2000

#: Most slices of A with one fingerprint that are compared by pixels with a slice of B.
_SAME = 32


def find_overlap(
    a: PathLike,
    b: PathLike,
    config: OverlapConfig | None = None,
    /,
    *,
    labels: PathLike | None = None,
    out: PathLike | None = None,
    progress: ProgressCallback | None = None,
    **options: Unpack[OverlapOptions],
) -> Overlap:
    """Find the part of a set B that is in a set A: slices by their fingerprints, volumes by aligned sequences.

    Args:
        a: Folder of a reduction, or images as for `b`.
        b: Folder of a reduction, folder or zip or tar file of images, MedMNIST file, or a table of labels.
        config: What counts as overlap; cannot be combined with single options.
        labels: The part of B to use, with class and split: for a folder of images, the folder of lists of names,
            as in COVID-CT; for a reduction, the table of its labels.
        out: Folder for `overlap.parquet` and the page `overlap.html`; None writes nothing.
        progress: Called a few times a second with a `ctprune.Progress`.
        options: Those of `ctprune.OverlapConfig`, such as `split="test"`.

    Raises:
        ManifestError: Fingerprints of two reductions were made differently.
        SourceError: A set does not exist, or has no slice.
        TaskError: The labels do not fit B.
        ConfigError: An option cannot be used, or `out` lies inside a source.
        OutputError: A file cannot be written.
        Interrupted: Ctrl-C; nothing is left behind.

    >>> import ctprune, tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = ctprune.phantom.write_archive(folder / "dicoms", patients=1, size=64)
    >>> found = find_overlap(folder / "dicoms", folder / "dicoms")
    >>> found.found + found.one_value == found.slices, found.volumes_found == found.volumes
    (True, True)
    """
    config = configure(OverlapConfig, config, options)
    try:
        with ExitStack() as stack:
            if out is not None:
                for source in (a, b):
                    if is_run(source):
                        check_outside_run(out, source)
                    else:
                        check_outside(out, [source])
                stack.enter_context(folder_for_results(Path(out)))
            like = _like(a, b)
            first = open_set(stack, a, like, threads=config.threads)
            second = _part(open_set(stack, b, like, labels=labels, threads=config.threads), config.split, b)
            both = Both(first.slices, second.slices)
            operation = Operation(progress)
            near = _near(both, config)
            alike, unread = _correlations(both, near, config, operation)
            if config.min_correlation is not None:
                # What cannot be compared may be a copy: a guard must not pass it.
                _forget(near, ~((alike >= config.min_correlation) | unread))
            pairs = _pairs(both, config, operation)
            found = _found(both, second, near, alike, pairs, config)
            found = replace(found, unread=int(unread.sum()), failed_of_a=first.failed, failed_of_b=second.failed)
            if out is not None:
                found.write(Path(out) / TABLE_NAME)
                write_page(Path(out) / PAGE_NAME, found, both, near, pairs, config, operation)
    except KeyboardInterrupt:
        raise Interrupted("interrupted; nothing was written") from None
    return found


def _like(a: PathLike, b: PathLike) -> dict[str, Any]:
    """The options of fingerprints: those of the reduction, if one of the sets is one."""
    for source in (a, b):
        if is_run(source):
            return Manifest.load(source).config
    return ReduceConfig(method="all").to_dict()


def _part(found: SliceSet, split: str | None, source: PathLike) -> SliceSet:
    if split is None:
        return found
    part = found.part(split)
    if not len(part.slices):
        splits = ", ".join(sorted({name for name in found.split if name})) or "none"
        raise SourceError(f"{source}: expected slices of split {split}, found those of {splits}")
    return part


def _near(both: Both, config: OverlapConfig) -> Near:
    """For each slice of B the nearest slice of A; constant slices occur in every archive and are no copies."""
    own, others = both.fingerprints[both.of_a :], both.fingerprints[: both.of_a]
    near = find_near(
        own,
        others,
        near_threshold(both.config, config.threshold),
        turned=config.turned and both.config["fingerprint"] == "dhash",
        hash_size=int(both.config["hash_size"]),
        threads=config.threads,
    )
    _forget(near, _one_value(both))
    return near


def _forget(near: Near, which: np.ndarray[Any, Any]) -> None:
    near.row[which], near.bits[which] = -1, np.iinfo(np.uint16).max


def _correlations(
    both: Both, near: Near, config: OverlapConfig, operation: Operation
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Correlation of each slice of B with the nearest slice of A, shape (n,); NaN if unknown.

    If correlation decides, of several slices with the same fingerprint the one that correlates most is the
    nearest. The second array says, then, which slices could be copies of one whose file can no longer be read, or
    have no file themselves.
    """
    at = np.flatnonzero(near.found)
    if config.min_correlation is None:
        at = at[:: max(1, -(-len(at) // _MOST_READ))]
        candidates = {row: [int(near.row[row])] for row in at.tolist()}
    else:
        same = _same_fingerprints(both, near.row[at])
        candidates = {row: same[int(near.row[row])] for row in at.tolist()}
    rows = (other for row, others in candidates.items() for other in (both.of_a + row, *others))
    small = read_small(both, map(int, rows), threads=config.threads, operation=operation)
    found = np.full(len(near.row), np.nan)
    unread = np.zeros(len(near.row), np.bool_)
    for row, others in candidates.items():
        turn, own = TURNS[near.turn[row]], int(both.of_a + row)
        values = [(correlation(small, [(other, own)], turn), -other) for other in others]
        known = [(value, other) for value, other in values if value is not None]
        if known:
            found[row], other = max(known)
            near.row[row] = -other
        if config.min_correlation is not None and not found[row] >= config.min_correlation:
            unread[row] = any(one not in small for one in (own, *others))
    return found, unread


def _same_fingerprints(both: Both, rows: Integers) -> dict[int, list[int]]:
    """For each of these slices of A, some slices with the same fingerprint, itself included."""
    of_fingerprint: dict[bytes, list[int]] = {}
    prints = np.ascontiguousarray(both.fingerprints[: both.of_a])
    wanted = {row: prints[row].tobytes() for row in np.unique(rows).tolist()}
    needed = set(wanted.values())
    for row, one in enumerate(prints):
        if (key := one.tobytes()) in needed:
            of_fingerprint.setdefault(key, []).append(row)
    found = {}
    for row, key in wanted.items():
        members = of_fingerprint[key]
        found[row] = sorted({row, *members[:: max(1, -(-len(members) // _SAME))]})
    return found


def _one_value(both: Both) -> np.ndarray[Any, Any]:
    """Whether all pixels of each slice of B have one value, shape (n,)."""
    return np.asarray(both.min_hu[both.of_a :] == both.max_hu[both.of_a :])


def _pairs(both: Both, config: OverlapConfig, operation: Operation) -> list[Pair]:
    """Pairs of volumes that show the same anatomy, one from each set, by their numbers in `both`."""
    pairs = find_pairs(
        both,
        min_overlap=config.min_overlap,
        turned=config.turned,
        between=both.volumes_of_a,
        threads=config.threads,
        progress=operation.counter("comparing", both.volumes, "volumes"),
    )
    return with_correlation(both, pairs, threads=config.threads, operation=operation)


def _found(
    both: Both, second: SliceSet, near: Near, alike: Floats, pairs: list[Pair], config: OverlapConfig
) -> Overlap:
    sizes = np.diff(both.starts)[both.volumes_of_a :]
    return Overlap(
        among=both.of_a,
        slices=len(near.row),
        found=int(near.found.sum()),
        equal=int(((near.bits == 0) & (near.turn == 0) & near.found).sum()),
        one_value=int(_one_value(both).sum()),
        threshold=near_threshold(both.config, config.threshold),
        parts=list(_parts(second, near)),
        volumes=int((sizes >= 3).sum()),
        volumes_found=len({pair.b for pair in pairs}),
        pairs=[replace(pair, a=both.number_of_volume(pair.a), b=both.number_of_volume(pair.b)) for pair in pairs],
        rows=_rows(both, second, near, alike),
    )


def _parts(second: SliceSet, near: Near) -> Iterator[Part]:
    keys = list(zip(second.split, second.label, strict=True))
    if not any(any(key) for key in keys):
        return
    for key in sorted(set(keys)):
        chosen = np.array([one == key for one in keys], np.bool_)
        yield Part(*key, slices=int(chosen.sum()), found=int((near.found & chosen).sum()))


def _rows(both: Both, second: SliceSet, near: Near, alike: Floats) -> list[dict[str, Any]]:
    at = np.flatnonzero(near.found)
    here, there = (both.take(rows, WHERE) for rows in (both.of_a + at, near.row[at]))
    return [
        {f"b_{name}": own[name] for name in WHERE}
        | {"split": second.split[row] or None, "label": second.label[row] or None}
        | {f"a_{name}": other[name] for name in WHERE}
        | {
            "bits": int(near.bits[row]),
            "turn": TURNS[near.turn[row]] or None,
            "correlation": None if np.isnan(alike[row]) else float(alike[row]),
        }
        for row, own, other in zip(at.tolist(), here, there, strict=True)
    ]
