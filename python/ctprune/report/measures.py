"""What the manifest's column `similarity` holds under each method, in words and figures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """How two slices were compared.

    Attributes:
        name: The quantity, in the field's words.
        unit: Its unit after a figure; empty for a pure number.
        larger_is_closer: True for similarities, False for distances.
        decides: Whether the method drops by it; else it was only measured, or not even that.
    """

    name: str
    unit: str
    larger_is_closer: bool
    decides: bool

    def text(self, value: float) -> str:
        """One value as a reader wants to see it.

        >>> MEASURES["hash"].text(6.0), MEASURES["deep"].text(0.98765)
        ('6 bits', '0.98765')
        """
        if self.unit == "bits":
            return f"{value:.0f} {'bit' if value == 1 else 'bits'}"
        return f"{value:.6g}"

    def condition(self, threshold: float) -> str:
        """When two slices are near-duplicates.

        >>> MEASURES["hash"].condition(6)
        'Hamming distance ≤ 6 bits'
        """
        return f"{self.name} {'≥' if self.larger_is_closer else '≤'} {self.text(threshold)}"


_HAMMING = ("Hamming distance", "bits", False)

#: By the reduction's method; None where slices are not compared.
MEASURES: dict[str, Measure | None] = {
    "hash": Measure(*_HAMMING, decides=True),
    "deep": Measure("cosine similarity", "", True, decides=True),
    "ssim": Measure("mean SSIM", "", True, decides=True),
    "mi": Measure("normalised mutual information", "", True, decides=True),
    "every-n": Measure(*_HAMMING, decides=False),
    "all": None,
    "random": None,
}
