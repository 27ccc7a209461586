"""Consistency of a reduction's options, and the defaults that its method sets."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from ctprune import _core
from ctprune.checking.codes import CHECK_CODES
from ctprune.duplicates.config import PREFERENCES
from ctprune.errors import ConfigError
from ctprune.files.globs import glob_pattern
from ctprune.options.check import canonical_intensity, canonical_modality, check_one_group
from ctprune.reduction.failing import check_max_failed
from ctprune.selection.methods import METHODS, comparing, taking

#: A `ReduceConfig`, which imports this module.
ReduceConfig = Any


def complete(config: ReduceConfig) -> None:
    """Give options their canonical form and their defaults by method, in place.

    Raises:
        ConfigError: Options contradict each other.
    """
    method = METHODS[config.method]
    _refuse_foreign_options(config)
    if "features" in method.options and config.features is None:
        _set(config, "features", method.options["features"])
    if "target" in method.options and config.target is None:
        raise ConfigError(
            f"method {config.method} needs `target`: name the reduction that the kept slices should resemble",
            field="target",
        )
    _refuse_network(config)
    _choose_fingerprint(config)
    _choose_threshold(config)
    for name, default in method.options.items():
        if name != "threshold" and getattr(config, name) is None:
            _set(config, name, default)
    _check_scope(config)
    _check_stable(config)
    _set(config, "intensity", canonical_intensity("intensity", config.intensity))
    _set(config, "modality", canonical_modality(config.modality))
    _set(config, "exclude", tuple(dict.fromkeys(config.exclude)))
    _set(config, "include", tuple(dict.fromkeys(config.include)))
    for glob in (*config.exclude, *config.include):
        glob_pattern(glob)
    _complete_gates(config)
    _check_volume_pattern(config.volume_pattern)
    if config.address is not None and config.engine != "ray":
        raise ConfigError("address belongs to `engine` ray", field="address")
    check_max_failed(config.max_failed)
    if config.pseudonyms_to is not None and config.pseudonymize is None:
        raise ConfigError("pseudonyms_to needs `pseudonymize`: name the key", field="pseudonyms_to")


def _set(config: ReduceConfig, name: str, value: Any) -> None:
    object.__setattr__(config, name, value)


def _refuse_foreign_options(config: ReduceConfig) -> None:
    for name in (field.name for field in fields(config)):
        takers = taking(name)
        if takers and getattr(config, name) not in (None, False) and config.method not in takers:
            raise ConfigError(f"{name} belongs to `method` {_either(takers)}, not to {config.method}", field=name)
    given = [name for name in ("threshold", "keep", "budget") if getattr(config, name) is not None]
    if len(given) > 1:
        raise ConfigError(f"`{given[0]}` and `{given[1]}` are mutually exclusive: give only one")


def _refuse_network(config: ReduceConfig) -> None:
    """Refuse options of a network if no slice is embedded."""
    if config.compares == "embeddings":
        if config.download and config.weights is not None:
            raise ConfigError("download belongs to `method` deep without `weights`", field="download")
        return
    for name in ("weights", "download"):
        if getattr(config, name) and "features" in METHODS[config.method].options:
            raise ConfigError(f"{name} belongs to `features` embeddings, not to {config.features}", field=name)
    if config.download:
        raise ConfigError("download belongs to `method` deep without `weights`", field="download")


def _choose_fingerprint(config: ReduceConfig) -> None:
    own = METHODS[config.method].fingerprint
    if config.fingerprint == "auto":
        _set(config, "fingerprint", own or _core.DEFAULT_FINGERPRINT)
    if own not in (None, config.fingerprint):
        raise ConfigError(
            f"fingerprint {config.fingerprint}: `method` {config.method} compares {own}", field="fingerprint"
        )


def _choose_threshold(config: ReduceConfig) -> None:
    method, bits = config.on_features, config.hash_size**2
    measure = method.measure
    has_share = config.keep is not None or config.budget is not None
    if "threshold" not in method.options and "keep" in method.options and not has_share:
        raise ConfigError(
            f"method {config.method} needs `keep` (such as 0.1) or `budget` (such as 1000)", field="method"
        )
    if measure is None or "threshold" not in method.options:
        return
    if config.threshold is None and not has_share:
        default = method.default_threshold(bits)
        if default is None:
            raise ConfigError(
                f"method {config.method} needs `threshold` (a {measure.name}, such as {measure.example:g}) "
                "or `keep` (such as 0.1) or `budget` (such as 1000)",
                field="method",
            )
        _set(config, "threshold", default)
    if config.threshold is not None:
        expected = measure.wrong(config.threshold, bits)
        if expected is not None:
            raise ConfigError(f"threshold {config.threshold:g}: expected {expected}", field="threshold")
        _set(config, "threshold", measure.plain(config.threshold))


def _check_scope(config: ReduceConfig) -> None:
    method = METHODS[config.method]
    if config.scope == "volume":
        if "clusters" in method.options:
            raise ConfigError(
                f"method {config.method} needs `scope` dataset: it clusters the slices of all volumes",
                field="method",
            )
        return
    if method.compares == "pixels":
        raise ConfigError(
            f"scope dataset: `method` {config.method} would need the pixels of the whole archive in memory; "
            f"compare within volumes, or use `method` {_either(comparing('fingerprints', 'embeddings'))} for "
            "the dataset",
            field="scope",
        )
    if config.method == "random-per-volume":
        raise ConfigError(
            "scope dataset: `method` random-per-volume takes the same number from every volume; for a sample "
            "of the dataset take `method` random",
            field="scope",
        )
    if config.max_gap_mm is not None:
        raise ConfigError(
            "max_gap_mm needs `scope` volume: positions in different volumes have no distance",
            field="max_gap_mm",
        )


def _check_stable(config: ReduceConfig) -> None:
    if config.stable and (config.keep is not None or config.budget is not None):
        raise ConfigError(
            f"stable needs `threshold` in place of `{'keep' if config.budget is None else 'budget'}`: a "
            "fraction to keep asks for another threshold each time the archive grows",
            field="stable",
        )


def _complete_gates(config: ReduceConfig) -> None:
    codes = tuple(dict.fromkeys(code for text in config.skip_codes for code in text.upper().split(",") if code))
    for code in codes:
        if code not in CHECK_CODES:
            raise ConfigError(
                f"skip_codes {code}: expected codes of 'ctprune check', such as C-EMPTY; see docs/codes.md",
                field="skip_codes",
            )
    _set(config, "skip_codes", codes)
    if config.prefer is not None and not config.one_per_scan:
        raise ConfigError("prefer needs `one_per_scan`", field="prefer")
    if config.one_per_scan and config.prefer is None:
        _set(config, "prefer", PREFERENCES[0])


def _check_volume_pattern(pattern: str | None) -> None:
    check_one_group("volume_pattern", pattern)
    if pattern is None:
        return
    try:
        # Rust supports fewer expressions than Python.
        _core.check_pattern(pattern)
    except ValueError as error:
        raise ConfigError(f"volume_pattern {pattern}: {error}", field="volume_pattern") from None


def _either(names: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
