"""What `ctprune sweep` prints."""

from __future__ import annotations

from ctprune.cli.schemas.parts import (
    Schema,
    array,
    count,
    flag,
    mapping,
    maybe,
    number,
    optional,
    record,
    share,
    text,
)


def sweep() -> Schema:
    """How many slices each threshold keeps."""
    method = text("Name of the method.")
    keep = share("Fraction of the slices to keep.")
    threshold = number("Threshold, in the unit of the method.")
    kept = count("Number of slices that are kept.")
    fraction = share("Kept slices as a fraction of all.")
    return record(
        "The sweep.",
        sweep_version=count("Version of the layout of `sweep.parquet`."),
        ctprune_version=text("Version of ctprune."),
        manifest_digest=text("Digest of the manifest, in hexadecimal."),
        slices_digest=text("Digest of the slices, in hexadecimal."),
        scope=text("Whether slices were compared within each `volume` or over the whole `dataset`."),
        slices=count("Number of slices."),
        volumes=count("Number of volumes."),
        methods=array(
            "The methods.",
            record(
                "A method.",
                name=method,
                measure=text("The measure that its threshold limits."),
                not_compared_so_kept=mapping(
                    "Slices that could not be compared and are always kept: number by reason.",
                    count("Number of slices."),
                ),
                window=optional(text("For SSIM: its window.")),
                weights_sha256=optional(maybe(text("For embeddings: SHA-256 of the weights, in hexadecimal."))),
            ),
        ),
        targets=array(
            "For each method and fraction the threshold that comes nearest.",
            record(
                "A threshold.", method=method, keep=keep, threshold=threshold, kept=kept, kept_fraction=fraction
            ),
        ),
        agreement=array(
            "Agreement of the kept slices of two methods, at each fraction.",
            record(
                "Two methods.",
                keep=keep,
                a=text("Name of the first method."),
                b=text("Name of the second, or the control `every-n` or `random`."),
                kept_a=count("Number of slices that the first keeps."),
                kept_b=count("Number of slices that the second keeps."),
                jaccard=share("Jaccard index of the two sets; with `random`, the expected one."),
            ),
        ),
        diversity_on=text("The features on which diversity is measured.", "embeddings", "fingerprints"),
        diversity_sample=count("Largest number of kept slices on which diversity is measured."),
        diversity=array("Diversity of the kept slices, for each method and fraction.", _diversity(method, keep)),
        curve=array(
            "Every threshold of every method, from the one that drops least to the one that drops most.",
            record("A threshold.", method=method, threshold=threshold, kept=kept, kept_fraction=fraction),
        ),
    )


def _diversity(method: Schema, keep: Schema) -> Schema:
    """How diverse the kept slices of a method are."""

    def estimate(about: str) -> Schema:
        # A bootstrap of few volumes can leave an end undefined.
        return array(f"{about}: the value, then both ends of its 95 % interval.", {"type": ["number", "null"]}, 3)

    return record(
        "A method and fraction.",
        method=method,
        keep=keep,
        is_control=flag("Whether it is a control: `every-n` or `random`."),
        kept=count("Number of slices that are kept."),
        effective_rank=estimate("Effective rank of the slices' features"),
        vendi_score=estimate("Vendi score of the slices' features"),
        nearest=estimate("Median distance, 1 - cosine, of a slice to the nearest other one"),
        coverage=mapping(
            "By `scanner`, `kernel`, `thickness` and `body position`: share of the archive's values that is kept.",
            estimate("Share, 0 to 1"),
        ),
    )
