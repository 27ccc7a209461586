"""Output of the commands that make, check, describe and export reductions."""

from __future__ import annotations

import re

from ctprune import _core
from ctprune.cli.schemas.parts import (
    Schema,
    array,
    count,
    fields_of,
    mapping,
    maybe,
    number,
    optional,
    options,
    record,
    text,
    whole,
)
from ctprune.exporting.export import Exported
from ctprune.reduction.config import ReduceConfig
from ctprune.reduction.shards import ShardRead
from ctprune.reduction.verify import Finding


def config() -> Schema:
    """The options of a reduction."""
    return options(ReduceConfig, "The options of `ctprune reduce` that decide the result.", deciding=True)


def summary() -> Schema:
    """A reduction's summary, as in `summary.json`."""
    reasons = mapping(
        "By code, such as `S-LOCALIZER`.", mapping("By reason, in words.", count("Number of files."))
    )
    by_reason = mapping("By reason, in words.", count("Number of slices."))
    return record(
        "What the reduction found, kept and dropped.",
        config=config(),
        sources=array("The sources, as they were named.", {"type": "string"}),
        threshold=maybe(
            number("The threshold that was used, in the unit of the method; null if the method has none.")
        ),
        manifest_version=count("Version of the manifest's layout."),
        ctprune_version=text("Version of ctprune."),
        files=count("Number of files that were found."),
        files_read=count("Number of files that were read now."),
        files_reused=count("Number of unchanged files that an earlier reduction read."),
        files_vanished=count("Number of files that an earlier reduction read and that are gone."),
        slices=count("Number of slices."),
        volumes=count("Number of volumes."),
        kept=count("Number of slices that were kept."),
        dropped=count("Number of slices that were dropped."),
        skipped={**reasons, "description": "Files without slices to select from: number by code and reason."},
        failed={**reasons, "description": "Files that could not be read: number by code and reason."},
        gaps_mm=maybe(
            record(
                "Distances along the body from dropped slices to their exemplars; null if no distance is known.",
                slices=count("Number of dropped slices whose distance is known."),
                median=number("Median distance in mm."),
                p90=number("90th percentile of the distances in mm."),
                p99=number("99th percentile of the distances in mm."),
                largest=number("Largest distance in mm."),
                far=count("Number of slices that are farther than 50 mm from their exemplar."),
            )
        ),
        ruled=record(
            "Slices whose gray is set by metal or padding.",
            slices=count("Number of slices in Hounsfield units."),
            metal=count("Number of slices that reach 3000 HU."),
            padding=count("Number of slices that go below -1024 HU."),
        ),
        volumes_with=record(
            "Number of volumes with an unusual geometry.",
            no_positions=count("Volumes whose slices have no positions."),
            duplicate_positions=count("Volumes with two slices at one position."),
            missing_slices=count("Volumes with gaps where slices are missing."),
            variable_spacing=count("Volumes whose slices are not evenly spaced."),
            gantry_tilt=count("Volumes with a tilted gantry."),
        ),
        label_volumes=record(
            "NIfTI volumes that look like label masks.",
            count=count("Number of these volumes."),
            first=maybe(text("File of the first one, relative to its source; null without any.")),
        ),
        bytes_read=count("Bytes of the files that were read now."),
        reading_seconds=number("Time from the start until the last file was read, in seconds."),
        slices_per_second=number("Slices that were read, per second of `reading_seconds`."),
        megabytes_per_second=number("Megabytes (10⁶ bytes) that were read, per second of `reading_seconds`."),
        machine=text("Operating system and processor."),
        comparisons=optional(
            record(
                "For methods that compare pixels: how the slices were compared.",
                pairs=count("Number of pairs of slices that were compared."),
                pairs_bounded=count("Number of pairs that a bound settled without reading all pixels."),
                not_compared_so_kept={
                    **by_reason,
                    "description": "Slices that could not be compared and are kept: number by reason.",
                },
            )
        ),
        changes=mapping(
            "Slices with a new status since the earlier reduction: `kept` or `dropped` now, by reason.",
            by_reason,
        ),
        seconds=number("Time of the whole reduction in seconds."),
        stage_seconds=mapping("Time of each stage in seconds, by its name.", number("Seconds.")),
        threads=count("Number of threads that were used."),
        embeddings=optional(
            record(
                "For methods that compare embeddings: how these were made; empty without any slice.",
                **{name: optional(one) for name, one in _embeddings(by_reason).items()},
            )
        ),
        retrieval=optional(_retrieval()),
        network=optional(
            record(
                "For remote sources: how they were read.",
                retries=count("Number of repeated requests."),
                bytes_not_read=count("Bytes of objects that did not have to be read."),
            )
        ),
        exported=optional(exported("With --export: what was exported.")),
    )


def _embeddings(by_reason: Schema) -> dict[str, Schema]:
    """Facts about embeddings."""
    return {
        "weights_sha256": text("SHA-256 of the file of weights, in hexadecimal."),
        "features": count("Length of an embedding."),
        "device": text("What computed them, such as `cpu` or `cuda`."),
        "slices_embedded": count("Number of slices that were embedded now."),
        "slices_reused": count("Number of slices whose embedding comes from an earlier reduction."),
        "not_embedded": {
            **by_reason,
            "description": "Slices that could not be embedded and so count as similar to none: number by reason.",
        },
        "slices_per_second": maybe(number("Slices that were embedded per second; null if none were.")),
    }


def _retrieval() -> Schema:
    """Facts about a selection by a target."""
    return record(
        "For `retrieval`: what the kept slices are closest to.",
        target_slices=count("Number of slices of the target."),
        target_digest=text("SHA-256, in hexadecimal, of what the target selected from which files."),
        target_not_embedded=optional(
            count("With embeddings: slices of the target that have none, so that nothing is compared with them.")
        ),
        farthest_kept=maybe(
            number("Hamming distance or cosine similarity of the kept slice that is least like the target.")
        ),
    )


def plan() -> Schema:
    """What a dry run found."""
    return record(
        "What a reduction would read; nothing was written.",
        files=count("Number of files that were found."),
        files_to_read=count("Number of files that are to be read."),
        bytes_to_read=count("Bytes of these files."),
        files_reused=count("Number of unchanged files that an earlier reduction read."),
        files_vanished=count("Number of files that an earlier reduction read and that are gone."),
        config=config(),
    )


def shard() -> Schema:
    """What one call read of a shard."""
    return record("What this call read.", **fields_of(ShardRead))


def verify() -> Schema:
    """The problems of a reduction."""
    problem = record("A problem.", **fields_of(Finding))
    return record(
        "The problems that were found.", findings=array("The problems; empty if there are none.", problem)
    )


def exported(about: str) -> Schema:
    """What an export did."""
    left_out = mapping("Slices that could not be exported: number by reason.", count("Number of slices."))
    return record(about, **fields_of(Exported, left_out=left_out))


def export() -> Schema:
    """The result of an export."""
    return exported("What was exported.")


def report() -> Schema:
    """The page that was written."""
    return record(
        "The page.",
        path=text("File of the page."),
        bytes=count("Size of the page in bytes."),
        pictures=count("Number of slices that the page shows."),
        pictures_missing=mapping("Slices that could not be shown: number by reason.", count("Number of slices.")),
    )


def phantom() -> Schema:
    """The synthetic archive that was written."""
    return record(
        "The archive.",
        path=text("Folder of the archive."),
        patients=count("Number of patients."),
        patients_with_lesion=count("Number of patients who have lesions."),
        series=count("Number of series of axial slices."),
        slices=count("Number of axial slices."),
        slices_with_lesion=count("Number of slices in which a lesion is seen."),
        files=count("Number of DICOM files."),
        bytes=count("Size of all files in bytes."),
        masks=count("Number of NIfTI masks; 0 without --masks."),
    )


def key() -> Schema:
    """The key that was made."""
    return record(
        "The key.",
        path=text("File of the key."),
        fingerprint=text("Fingerprint of the key, in hexadecimal; it does not reveal the key."),
    )


#: Columns of the manifest that only a reduction has: where the file lies, its volume, the selection.
_OF_REDUCTIONS = {"path", "source", "file_size", "file_version"} | {
    "volume",
    "slice_index",
    "position_mm",
    "exemplar",
    "similarity",
}

#: Columns that also a file without slices has.
_ALWAYS = {"frame", "status", "reader"}

_TYPES = {"string": "string", "int32": "integer", "int64": "integer", "float32": "number", "float64": "number"}


def file() -> Schema:
    """The slices of a file, in columns of the manifest."""
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+) \|$", _core.manifest_columns(), re.MULTILINE)
    found = {name: _column(name, kind, about) for name, kind, about in rows if name not in _OF_REDUCTIONS}
    found["status"] = text("`slice`, or why it is none: `skipped` or `failed`.", "slice", "skipped", "failed")
    found["fingerprint"] = optional(text("The fingerprint, in hexadecimal."))
    found["pixel_padding"] = maybe(whole("Stored value that means no measurement; null if there is none."))
    return record("What ctprune sees in the file.", slices=array("Its slices.", record("A slice.", **found)))


def _column(name: str, kind: str, about: str) -> Schema:
    scalar, _, length = kind.partition("[")
    if length:
        schema = array(about, {"type": ["number", "null"]}, int(length.rstrip("]")))
    else:
        schema = {"type": _TYPES.get(scalar, "string"), "description": about}
    return schema if name in _ALWAYS else optional(maybe(schema))
