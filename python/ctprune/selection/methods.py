"""The reduction methods, as options, help, errors, sweeps, reports and the tables of the documentation need them.

Each is described once, in Rust beside its code (`rust/ctprune-archive/src/methods/`); this is Python's view.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ctprune import _core


@dataclass(frozen=True, kw_only=True)
class Measure:
    """How two slices are compared.

    Attributes:
        name: The quantity, in the terms of the field.
        unit: The unit after a value; empty for a pure number.
        larger_is_closer: True for similarities, False for distances.
        low: Smallest value.
        high: Largest value; None means the number of bits of a fingerprint.
        example: A threshold, to show what one looks like.
        grid: The thresholds to try for a fraction to keep, ascending; empty means every whole number.
        strictest_drops: What even the strictest threshold drops.
    """

    name: str
    unit: str
    larger_is_closer: bool
    low: float
    high: float | None
    example: float
    grid: tuple[float, ...]
    strictest_drops: str

    def text(self, value: float) -> str:
        """A value as text, with its unit.

        >>> METHODS["hash"].measure.text(6.0), METHODS["deep"].measure.text(0.98765)
        ('6 bits', '0.98765')
        """
        if self.unit == "bits":
            return f"{value:.0f} {'bit' if value == 1 else 'bits'}"
        return f"{value:.6g}"

    def condition(self, threshold: float) -> str:
        """When two slices are near-duplicates.

        >>> METHODS["hash"].measure.condition(6)
        'Hamming distance ≤ 6 bits'
        """
        return f"{self.name} {'≥' if self.larger_is_closer else '≤'} {self.text(threshold)}"

    @property
    def bound(self) -> str:
        """A description of the threshold.

        >>> METHODS["hash"].measure.bound, METHODS["ssim"].measure.bound
        ('largest Hamming distance (bits)', 'smallest mean SSIM')
        """
        unit = f" ({self.unit})" if self.unit else ""
        return f"{'smallest' if self.larger_is_closer else 'largest'} {self.name}{unit}"

    def wrong(self, threshold: float, bits: int) -> str | None:
        """None if a threshold is valid for fingerprints of this many bits, else what is expected.

        >>> METHODS["hash"].measure.wrong(6.5, bits=64)
        'a whole number of bits, 0 to 64'
        """
        high = bits if self.high is None else self.high
        if self.low <= threshold <= high and (self.high is not None or threshold == int(threshold)):
            return None
        what = f"a whole number of {self.unit}" if self.high is None else f"a {self.name}"
        return f"{what}, {self.low:g} to {high:g}"

    def plain(self, threshold: float) -> float:
        """A threshold for JSON: whole numbers of bits are integers."""
        return int(threshold) if self.high is None else threshold

    def thresholds(self, bits: int) -> list[float]:
        """The thresholds to try for a fraction to keep, with fingerprints of this many bits, ascending."""
        return list(self.grid) or [float(distance) for distance in range(bits + 1)]

    @property
    def strictest(self) -> float:
        """The threshold that drops the fewest slices."""
        return self.low if self.high is None else self.high

    @property
    def loosest(self) -> float | None:
        """The threshold in the grid that drops the most slices; None if there is no grid."""
        if not self.grid:
            return None
        return self.grid[0] if self.larger_is_closer else self.grid[-1]


@dataclass(frozen=True, kw_only=True)
class Method:
    """A reduction method.

    Attributes:
        name: The name, as in `ctprune.ReduceConfig`.
        drops: When a slice is dropped, in a few words.
        citation: The reduction in a paper's methods section; `{bits}`, `{n}`, `{seed}`, `{features}` and
            `{clusters}` stand for a run's values.
        source: Where the method comes from; empty for the controls.
        fingerprint: The kind of fingerprint that the method compares; None if it compares any kind, or none.
        measure: The measure that its threshold limits, or that the manifest's `similarity` holds.
        on_embeddings: The measure on embeddings, if the option `features` can choose these.
        role: What the measure is for: `decides`, `recorded` (only stands in the manifest), `sizes` (only sets the
            number of slices), or empty.
        options: The options of selection that it takes, with their defaults.
        compares: `fingerprints`, `pixels`, `embeddings`, or nothing.
        by_points: Whether it can take either fingerprints or embeddings, as points.
    """

    name: str
    drops: str
    citation: str
    source: str
    fingerprint: str | None
    measure: Measure | None
    on_embeddings: Measure | None
    role: str
    options: dict[str, Any]
    compares: str
    by_points: bool

    @property
    def decides(self) -> bool:
        """Whether the measure decides which slices are dropped."""
        return self.role == "decides"

    @property
    def recorded(self) -> Measure | None:
        """The measure in the manifest's column `similarity`; None if slices are not compared."""
        return self.measure if self.role in ("decides", "recorded") else None

    def on(self, features: str | None) -> Method:
        """The method for this value of the option `features`.

        >>> METHODS["kcenter"].on("embeddings").measure.name
        'cosine similarity'
        """
        if features != "embeddings" or self.on_embeddings is None:
            return self
        return replace(self, compares=features, measure=self.on_embeddings)

    def default_threshold(self, bits: int) -> int | None:
        """The default threshold for fingerprints of this many bits; None if one must be given.

        It is the same share of the bits as for 64 bits.

        >>> METHODS["hash"].default_threshold(256), METHODS["ssim"].default_threshold(64)
        (24, None)
        """
        default = self.options.get("threshold")
        return None if default is None else round(default * bits / 64)


def _method(facts: dict[str, Any]) -> Method:
    measures = {
        name: None if facts[name] is None else Measure(**(facts[name] | {"grid": tuple(facts[name]["grid"])}))
        for name in ("measure", "on_embeddings")
    }
    return Method(**(facts | measures))


#: All methods by name, in the order in which they are listed.
METHODS: dict[str, Method] = {facts["name"]: _method(facts) for facts in _core.methods()}

#: Kinds of fingerprints.
FINGERPRINTS: tuple[str, ...] = tuple(method.fingerprint for method in METHODS.values() if method.fingerprint)


#: Features that methods on points can compare.
FEATURES = ("fingerprints", "embeddings")


def method_of(config: Mapping[str, Any]) -> Method:
    """The method of a reduction, from its configuration."""
    return METHODS[config["method"]].on(config.get("features"))


def taking(option: str) -> list[str]:
    """Names of the methods that take an option.

    >>> taking("window")
    ['ssim']
    """
    return [name for name, method in METHODS.items() if option in method.options]


def deciding() -> list[str]:
    """Names of the methods that drop slices by a measure, so that their thresholds can be swept."""
    return [name for name, method in METHODS.items() if method.decides]


def swept() -> list[str]:
    """Names of the methods that can be swept: by thresholds, or else by fractions to keep."""
    return [name for name, method in METHODS.items() if method.decides or method.by_points]


def comparing(*what: str) -> list[str]:
    """Names of the methods that decide by comparing one of these kinds of data.

    >>> comparing("pixels")
    ['ssim', 'mi']
    """
    return [name for name in deciding() if METHODS[name].compares in what]


def threshold_help() -> str:
    """A description of the threshold of each method that has one."""
    distances, similarities = comparing("fingerprints"), comparing("pixels", "embeddings")
    defaults = [(name, METHODS[name].default_threshold(64)) for name in distances]
    known = ", ".join(f"{name} {default} of 64" for name, default in defaults if default is not None)
    return (
        f"{', '.join(distances)}: largest Hamming distance of near-duplicates in bits (default: {known}); "
        f"{', '.join(similarities)}: smallest similarity."
    )


def choices(names: Iterable[str]) -> str:
    """Names, as help shows them.

    >>> choices(["volume", "dataset"])
    '[volume|dataset]'
    """
    return f"[{'|'.join(names)}]"
