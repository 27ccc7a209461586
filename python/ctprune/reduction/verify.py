"""Check that a reduction is intact: its files are whole, its numbers agree, its sources are unchanged."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune import _core
from ctprune.embedding.saved import FOLDER_NAME as EMBEDDINGS_NAME
from ctprune.environment.progress import Operation, ProgressCallback
from ctprune.errors import ConfigError, CtpruneError, Interrupted, ManifestError
from ctprune.files.checksums import fits, unseal
from ctprune.manifest.local_run import whole_run
from ctprune.manifest.manifest import FILE_NAME, Manifest, manifest_path
from ctprune.manifest.parts import part_files
from ctprune.manifest.run_address import said, speaking_of
from ctprune.manifest.shards import READING, shard_folders, stages
from ctprune.manifest.slices import STAMP, Slices, batches_of_dicts, path_of, why_unusable
from ctprune.manifest.summary_file import SUMMARY_NAME, load_summary
from ctprune.manifest.tally import Tally
from ctprune.reduction.reduce import reduce
from ctprune.reduction.retrieving import retrieved_again
from ctprune.reduction.selected_again import exemplars_again, hamming_distances
from ctprune.selection.methods import method_of
from ctprune.sources.addresses import MARK, as_address, is_address, joined

#: Most files and rows that a finding names.
_NAMED = 3

#: Rows that are checked together, and files that are read again together.
_ROWS, _FILES = 1 << 14, 1 << 10

#: Positions along a volume are compared in whole micrometers.
_SAME_MM = 1e-3

#: JSON files with the checksums of the arrays beside them.
_SEALED = ("embeddings.json", "store.json")


@dataclass(frozen=True)
class Finding:
    """A problem that `verify` found in a reduction.

    Attributes:
        check: What was checked: `manifest`, `summary`, `exemplars`, `target`, `volumes`, `files`, `pixels`,
            `parts`, `embeddings` or `store`.
        sentence: What was found, and where.
        count: Number of files or rows that have the problem.
    """

    check: str
    sentence: str
    count: int = 1

    def to_dict(self) -> dict[str, Any]:
        """The attributes for JSON."""
        return asdict(self)


def verify(
    run: str | os.PathLike[str],
    *,
    pixels: float = 0.0,
    seed: int = 0,
    threads: int = 0,
    progress: ProgressCallback | None = None,
) -> list[Finding]:
    """Check a reduction: checksums, counts, selection, volumes, and whether the source files are unchanged.

    For methods that compare fingerprints, every distance is computed again and the selection is repeated; both
    must be the same. `retrieval` is repeated with its target, by fingerprints or embeddings; if that is not
    possible, a finding says why. The checksums of parts, embeddings and packed stores in the folder are also
    checked.

    Args:
        run: Folder or address of a reduction.
        pixels: Fraction of the slices, 0 to 1: a random sample of this size is read again, and fingerprints and
            value ranges must be the same.
        seed: Seed of the sample.
        threads: Number of threads, 0 for one per core.
        progress: Called with a `ctprune.Progress`. Stages: `checking` (files), with `pixels` also `reading`
            (files).

    Returns:
        The problems that were found; empty if there are none.

    Raises:
        ConfigError: `pixels` is not a fraction.
        ManifestError: The folder holds no reduction.
        Interrupted: Ctrl-C while slices are read again.

    >>> import ctprune, tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = ctprune.phantom.write_archive(folder / "dicoms", patients=1, size=64)
    >>> _ = ctprune.reduce(folder / "dicoms", out=folder / "run")
    >>> verify(folder / "run", pixels=0.1)
    []
    >>> next((folder / "dicoms").rglob("*.dcm")).unlink()
    >>> [finding.check for finding in verify(folder / "run")]
    ['files']
    """
    if not 0 <= pixels <= 1:
        raise ConfigError(f"pixels {pixels:g}: expected a fraction, 0 to 1", field="pixels")
    with whole_run(run) as folder:
        # Sentences name the run as the user did, not its copy.
        names = {folder: as_address(run) or str(folder)}
        with speaking_of(names):
            found = _findings(folder, pixels, seed, threads, progress)
        return [replace(one, sentence=said(one.sentence, names)) for one in found]


def _findings(
    folder: Path, pixels: float, seed: int, threads: int, progress: ProgressCallback | None
) -> list[Finding]:
    parts = part_files(folder)
    if not parts and not stages(folder):
        manifest_path(folder)
    operation = Operation(progress)
    findings = [*_damaged_parts(parts), *_damaged_arrays(folder)]
    if not (folder / FILE_NAME).is_file():
        return [*findings, Finding("manifest", _how_far(folder))]
    try:
        manifest = Manifest.load(folder)
    except ManifestError as error:
        return [*findings, Finding("manifest", str(error))]
    slices = manifest.slices()
    summary, findings_of_summary = _summary(folder, manifest, slices)
    findings += findings_of_summary
    findings += _wrong_exemplars(slices, summary, threads)
    if slices.config.get("target") is not None and len(slices):
        findings += _wrong_retrieval(slices, summary, folder, threads)
    findings += _wrong_volumes(slices)
    findings += _wrong_files(manifest, operation)
    if pixels:
        findings += _wrong_pixels(slices, pixels, seed, threads, operation)
    return findings


def _how_far(folder: Path) -> str:
    """Why a reduction has no manifest yet, and what to do."""
    shards = stages(folder)
    if not shards:
        return f"{folder}: the reduction was interrupted before its manifest: run 'ctprune reduce' again to resume"
    read = sum(stage != READING for stage in shards.values())
    of = max(shard.of for shard in shard_folders(folder))
    return (
        f"{folder}: there is no manifest yet, {read} of its {of} shards are read: read the others, or run "
        "'ctprune reduce' for all together"
    )


def _damaged_parts(parts: list[Path]) -> Iterator[Finding]:
    for file in parts:
        try:
            for _ in _core.ManifestReader(str(file)).batches():
                pass
        except ManifestError as error:
            yield Finding("parts", f"{error}; the next 'ctprune reduce' reads its files again")


def _damaged_arrays(folder: Path) -> Iterator[Finding]:
    """Embeddings and packed stores whose files do not match their checksums."""
    for file in sorted(file for name in _SEALED for file in folder.glob(f"*/{name}")):
        check = "embeddings" if file.parent.name == EMBEDDINGS_NAME else "store"
        try:
            checksums = unseal(file.read_text(encoding="utf-8"))["checksums"]
            wrong = [name for name, expected in checksums.items() if not fits(file.parent / name, expected)]
        except (OSError, ValueError, KeyError):
            wrong = [file.name]
        for name in wrong:
            yield Finding(
                check,
                f"{file.parent / name} is damaged (its checksum does not match): delete the folder {file.parent}; "
                "it is made again when it is needed",
            )


def _summary(folder: Path, manifest: Manifest, slices: Slices) -> tuple[dict[str, Any], list[Finding]]:
    """The summary, and where it disagrees with the rows."""
    try:
        summary = load_summary(folder)
    except ManifestError as error:
        return {}, [Finding("summary", f"{error}: run 'ctprune reduce' again")]
    tally = Tally()
    tally.add(manifest.rows)
    rows = tally.rows
    expected = {
        "slices": rows["kept"] + rows["dropped"],
        "kept": rows["kept"],
        "dropped": rows["dropped"],
        "volumes": slices.volumes,
        "skipped": rows["skipped"],
        "failed": rows["failed"],
    }
    found = {name: _total(summary.get(name)) for name in expected}
    file = folder / SUMMARY_NAME
    findings = [
        Finding("summary", f"{file}: {name}: expected {count}, as in the manifest, found {found[name]}")
        for name, count in expected.items()
        if found[name] != count
    ]
    if summary.get("config") != manifest.config:
        findings.append(Finding("summary", f"{file}: its configuration differs from the manifest's"))
    return summary, findings


def _total(value: Any) -> Any:
    return sum(_total(part) for part in value.values()) if isinstance(value, dict) else value


def _wrong_exemplars(slices: Slices, summary: dict[str, Any], threads: int) -> list[Finding]:
    """Dropped slices without a kept one within reach and, if fingerprints decide, differences in the selection."""
    config = slices.config
    method = method_of(config)
    exemplar, kept = slices.exemplar, slices.kept
    covered = exemplar >= 0
    checks = {
        "are dropped, and no kept slice covers them": ~kept & ~covered if method.decides else np.zeros_like(kept),
        "have an exemplar that is not kept": covered & ~kept[np.where(covered, exemplar, 0)]
        if len(kept)
        else np.zeros_like(kept),
    }
    inside = covered & (exemplar < len(slices))
    target = np.where(inside, exemplar, 0)
    if len(slices) and config["scope"] == "volume":
        checks["have an exemplar in another volume"] = inside & (slices.volume[target] != slices.volume)
    threshold = config["threshold"] if config["threshold"] is not None else summary.get("threshold")
    if len(slices) and method.compares == "fingerprints" and method.recorded:
        distance = hamming_distances(slices.fingerprints, target)
        checks["have a distance to their exemplar other than that of their fingerprints"] = inside & (
            distance != slices.similarity
        )
        if method.decides and threshold is not None:
            checks[f"lie farther than {threshold:g} bits from their exemplar"] = inside & (distance > threshold)
    elif len(slices) and method.decides and threshold is not None:
        checks[f"are less similar to their exemplar than {threshold:g}"] = (
            inside & ~kept & ~(slices.similarity.astype(np.float64) >= threshold)
        )
    findings = [_rows_finding("exemplars", what, wrong) for what, wrong in checks.items() if wrong.any()]
    again = None if findings or not len(slices) else exemplars_again(slices, threshold, threads)
    if again is not None:
        differs = again != exemplar
        if differs.any():
            findings.append(
                _rows_finding(
                    "exemplars", "have an exemplar other than the one that their fingerprints give", differs
                )
            )
    return findings


def _wrong_retrieval(slices: Slices, summary: dict[str, Any], folder: Path, threads: int) -> list[Finding]:
    """Slices that the target of a retrieval would decide differently."""
    try:
        wrong = retrieved_again(slices, summary, folder, threads) != slices.kept
    except CtpruneError as error:
        return [Finding("target", f"the selection was not compared with its target: {error}")]
    what = "are kept or dropped other than by how close they are to the target"
    return [_rows_finding("exemplars", what, wrong)] if wrong.any() else []


def _wrong_volumes(slices: Slices) -> list[Finding]:
    """Volumes whose slices are not numbered in order, or whose positions are not in order."""
    if not len(slices):
        return []
    first = np.diff(slices.volume, prepend=-1) != 0
    start = np.flatnonzero(first)[np.cumsum(first) - 1]
    checks = {
        "are not numbered in order within their volume": slices.slice_index != np.arange(len(slices)) - start
    }
    if slices.config["order"] == "position":
        step = np.diff(slices.position_mm, prepend=np.nan)
        checks["have a position before that of the preceding slice"] = ~first & (step < -_SAME_MM)
    return [_rows_finding("volumes", what, wrong) for what, wrong in checks.items() if wrong.any()]


def _rows_finding(check: str, what: str, wrong: npt.NDArray[np.bool_]) -> Finding:
    rows = np.flatnonzero(wrong)
    named = ", ".join(str(row) for row in rows[:_NAMED].tolist())
    more = ", …" if len(rows) > _NAMED else ""
    which = f"row{'' if len(rows) == 1 else 's'} {named}{more}"
    return Finding(check, f"slices that {what}: {len(rows):,}, {which}", len(rows))


def _wrong_files(manifest: Manifest, operation: Operation) -> list[Finding]:
    """Files that are gone or have changed since they were read."""
    found: dict[str, list[str]] = {}
    count = operation.counter("checking", len(manifest), "files")
    looked_at, done = None, 0
    columns = ["source", "path", *STAMP]
    for dicts in batches_of_dicts(manifest.rows.select(columns), _ROWS):
        rows = []
        for row in dicts:
            file = path_of(row)
            # A folder that could not be listed, for example, has no size and time.
            if file != looked_at and any(row[name] for name in STAMP):
                rows.append(row)
            looked_at = file
        for row, reason in zip(rows, why_unusable(rows), strict=True):
            if reason:
                found.setdefault(reason, []).append(_shown(row))
        done += len(dicts)
        count(done)
    return [_files_finding("files", reason, files) for reason, files in found.items()]


def _shown(row: dict[str, Any]) -> str:
    """A row's file as the manifest names it, possibly by a pseudonym."""
    return joined(str(row["source"]), str(row["path"]))


def _may_be_there(file: str) -> bool:
    """Whether a file exists to read again; for members and remote files, only reading tells."""
    return MARK in file or is_address(file) or Path(file).exists()


def _files_finding(check: str, reason: str, files: list[str]) -> Finding:
    more = f" and {len(files) - _NAMED:,} more" if len(files) > _NAMED else ""
    return Finding(check, f"{', '.join(files[:_NAMED])}{more}: {reason}", len(files))


def _wrong_pixels(slices: Slices, share: float, seed: int, threads: int, operation: Operation) -> list[Finding]:
    """Slices of a sample that differ when they are read again."""
    count = max(1, round(share * len(slices))) if len(slices) else 0
    sample = np.sort(np.random.default_rng(seed).choice(len(slices), count, replace=False))
    columns = ["source", "path", "frame", "fingerprint", "min_hu", "max_hu"]
    files: dict[str, list[dict[str, Any]]] = {}
    for row in slices.take(sample, columns):
        files.setdefault(path_of(row), []).append(row)
    config = slices.config
    reading = ("fingerprint", "hash_size", "intensity", "modality", "max_slice_mb")
    options = {name: config[name] for name in reading}
    advance = operation.counter("reading", len(files), "files")
    found: dict[str, list[str]] = {}
    names = list(files)
    for start in range(0, len(names), _FILES):
        some = [name for name in names[start : start + _FILES] if _may_be_there(name)]
        again = _read_again(some, options, threads) if some else {}
        for name in some:
            for row in files[name]:
                reason = _difference(row, again.get((name, row["frame"])))
                if reason:
                    found.setdefault(reason, []).append(f"{_shown(row)} frame {row['frame']}")
        advance(min(start + _FILES, len(names)))
    return [_files_finding("pixels", reason, slices_) for reason, slices_ in found.items()]


def _read_again(files: list[str], options: dict[str, Any], threads: int) -> dict[tuple[str, int], dict[str, Any]]:
    try:
        manifest = reduce(files, method="all", threads=threads, **options)
    except Interrupted:
        raise Interrupted("interrupted") from None
    except CtpruneError:
        # A file is gone since: halve the list until the others can be read.
        if len(files) == 1:
            return {}
        half = len(files) // 2
        return _read_again(files[:half], options, threads) | _read_again(files[half:], options, threads)
    columns = ["source", "path", "frame", "fingerprint", "min_hu", "max_hu"]
    return {(path_of(row), row["frame"]): row for row in manifest.kept().select(columns).to_dicts()}


def _difference(row: dict[str, Any], again: dict[str, Any] | None) -> str:
    if again is None:
        return "the slice can no longer be read"
    if row["fingerprint"] != again["fingerprint"]:
        return "the fingerprint differs when the slice is read again"
    if json.dumps([row["min_hu"], row["max_hu"]]) != json.dumps([again["min_hu"], again["max_hu"]]):
        return "the range of values differs when the slice is read again"
    return ""
