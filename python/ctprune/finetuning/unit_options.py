"""Options for the unit of a label, and for pooling its images into one prediction. Needs no torch."""

from __future__ import annotations

from ctprune.errors import ConfigError

#: What a label and a prediction can belong to.
UNITS = ("image", "volume", "patient")

#: How the images of a unit become one prediction; `ctprune.finetuning.pooling` does it.
POOLS = ("mean", "top-k", "attention")

#: Default of `top_k`.
DEFAULT_TOP_K = 5


def pooling_options(unit: str, pool: str | None, top_k: int | None, mode: str) -> tuple[str | None, int | None]:
    """`pool` and `top_k` with their defaults.

    Raises:
        ConfigError: One of them does not fit the others.

    >>> pooling_options("volume", "top-k", None, "knn"), pooling_options("image", None, None, "knn")
    (('top-k', 5), (None, None))
    """
    if unit == "image":
        if pool is not None:
            raise ConfigError(f"pool {pool}: belongs to `unit` volume or patient, not to image", field="pool")
    elif pool is None:
        pool = "mean"
    if pool == "attention" and mode != "linear":
        raise ConfigError(
            f"pool attention belongs to `mode` linear, as it is trained on frozen features, not to {mode}",
            field="pool",
        )
    if pool == "top-k":
        return pool, DEFAULT_TOP_K if top_k is None else top_k
    if top_k is not None:
        raise ConfigError(f"top_k {top_k}: belongs to `pool` top-k, not to {pool or 'none'}", field="top_k")
    return pool, None


def check_volume_pattern(unit: str, pattern: str | None) -> None:
    """Refuse a pattern of volumes if the unit is not a volume.

    Raises:
        ConfigError: A pattern is given for another unit.
    """
    if pattern is not None and unit != "volume":
        raise ConfigError(
            f"volume_pattern {pattern}: belongs to `unit` volume, not to {unit}", field="volume_pattern"
        )
