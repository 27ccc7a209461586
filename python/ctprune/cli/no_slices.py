"""Why a reduction found no slice at all, and what to try."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctprune import _core
from ctprune.environment.words import counted
from ctprune.manifest.refused import Refused, lines, total
from ctprune.reading.modalities import IMAGING
from ctprune.sources.addresses import as_address

if TYPE_CHECKING:
    from ctprune.manifest.findings import Findings

#: First bytes of packed files that ctprune does not read, and their offsets.
_ARCHIVES = (
    ("a gzip archive", 0, b"\x1f\x8b"),
    ("a bzip2 archive", 0, b"BZh"),
    ("an xz archive", 0, b"\xfd7zXZ\x00"),
    ("a 7z archive", 0, b"7z\xbc\xaf\x27\x1c"),
    ("a rar archive", 0, b"Rar!\x1a\x07"),
)

#: Most reasons that are named; the table has all.
_REASONS = 3


def why_no_slices(summary: dict[str, Any], findings: Findings) -> str:
    """One sentence: what was found instead, and what to try."""
    sources = [sentence for source in map(Path, summary["sources"]) for sentence in _of_source(source)]
    skipped = summary["skipped"]
    gated = _gated(skipped)
    if gated:
        return f"no slice is left: {'; '.join(gated)}; loosen the options that leave these out"
    found = [
        *sources,
        *_archives(findings, sources),
        *_indices(skipped),
        *_modalities(skipped),
        *_failed(summary, findings),
    ]
    if not found:
        reasons = lines(skipped)[:_REASONS]
        found = [f"{counted(count, 'file')}: {reason} ({code})" for code, reason, count in reasons]
        found.append("'ctprune info FILE' says what ctprune sees in one file")
    return f"no slice was found: {'; '.join(found)}"


def _of_source(source: Path) -> list[str]:
    if as_address(source) is not None:
        return []
    if source.is_dir():
        return [] if any(file.is_file() for file in source.rglob("*")) else [f"{source}: no file is there"]
    kind = _archive(source)
    return [f"{source} is {kind}: unpack it and name the folder"] if kind else []


def _gated(skipped: Refused) -> list[str]:
    reasons = lines({code: skipped[code] for code in _core.gate_codes() if code in skipped})[:_REASONS]
    return [
        f"{reason} ({code}): {count:,} {'slice' if count == 1 else 'slices'}" for code, reason, count in reasons
    ]


def _archives(findings: Findings, sources: list[str]) -> list[str]:
    """The first archive among the files, if no source is an archive itself."""
    if sources:
        return []
    for source, path in findings.unknown:
        kind = _archive(Path(source, path))
        if kind:
            return [f"{Path(source, path)} is {kind}: unpack it and name the folder"]
    return []


def _archive(file: Path) -> str | None:
    if not file.is_file():
        # A FIFO would wait for a writer.
        return None
    try:
        with file.open("rb") as opened:
            head = opened.read(512)
    except OSError:
        return None
    return next((kind for kind, offset, mark in _ARCHIVES if head[offset:].startswith(mark)), None)


def _indices(skipped: Refused) -> list[str]:
    count = total(skipped, "S-DICOMDIR")
    is_index = "is a DICOMDIR, an index" if count == 1 else "are DICOMDIRs, indices"
    return (
        [f"{counted(count, 'file')} {is_index} of other files: name the folder that holds those"] if count else []
    )


def _modalities(skipped: Refused) -> list[str]:
    pattern = re.compile(r"modality (.+)")
    reasons = skipped.get("S-MODALITY", {})
    found = {match[1]: count for reason, count in reasons.items() if (match := pattern.fullmatch(reason))}
    sentences = []
    for modality, count in list(found.items())[:_REASONS]:
        has = "has" if count == 1 else "have"
        if modality == "missing":
            sentences.append(f"{counted(count, 'file')} {has} no modality: add --modality any")
        elif modality in IMAGING:
            sentences.append(f"{counted(count, 'file')} {has} modality {modality}: add --modality {modality}")
        else:
            sentences.append(f"{counted(count, 'file')} {has} modality {modality}, which is not read as slices")
    return sentences


def _failed(summary: dict[str, Any], findings: Findings) -> list[str]:
    count = total(summary["failed"])
    if not count:
        return []
    from ctprune.reading.reasons import shown_reason

    such_as = [f"{path}: {shown_reason(reason)} ({code})" for path, code, reason in findings.failed[:1]]
    return [": ".join([f"{counted(count, 'file')} could not be read", *such_as])]
