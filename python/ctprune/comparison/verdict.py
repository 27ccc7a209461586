"""Verdicts: whether a difference is larger than the noise, and the sentence that says so."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ctprune.comparison.decisive import Decisive

#: Probability of a false positive over all comparisons together (with Holm's correction).
ALPHA = 0.05

#: Smallest number of pre-trainings of each kind, with different seeds, for the verdict "better". With two, the
#: interval is two to four times as wide as with five, and with fewer than five nobody can see whether they scatter
#: as the t distribution assumes.
LEAST_PRETRAININGS = 5

#: Smallest number of patients of each class, with and without each label, or of all where labels are levels or
#: numbers, for a verdict (images, if patients are not known). The estimate of the variance over patients assumes
#: many of them. With ten, 95 to 97 % of the 95 % intervals contain the truth, however unequally images are spread
#: over patients (`benches/calibration.py`); with fewer, they are too wide.
LEAST_PATIENTS = 10

#: Verdicts for differences that are larger than the noise, whatever its source.
SHOWN = ("larger", "smaller", "likely", "backbones")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A difference in the measure that decides, and the numbers that decide about it.

    Attributes:
        run: Name of the first model.
        other: Name of the second.
        decisive: The measure.
        value: Measure of the first model minus that of the second.
        low: Lower end of the difference's interval, at the level of the decision.
        high: Upper end of the difference's interval, at the level of the decision.
        corrected: p-value of the difference, corrected for all comparisons.
        detectable: The smallest difference that would have been shown with a probability of 80 %.
        pretrainings: Number of pre-trainings of the first model, and of the second.
        patients: Number of patients that a verdict counts (images where patients are not known), such as those of
            the rarest class.
        patients_of: Which patients these are, such as `of class ill`; empty if they are all.
        unit: `patient` or `image`.
    """

    run: str
    other: str
    decisive: Decisive
    value: float
    low: float
    high: float
    corrected: float
    detectable: float
    pretrainings: tuple[int, int]
    patients: int
    patients_of: str
    unit: str

    @property
    def verdict(self) -> str:
        """`larger`, `smaller`, `likely`, `backbones`, `noise`, `few`, `unclear` or `undefined`."""
        if math.isnan(self.value):
            return "undefined"
        if self.patients < LEAST_PATIENTS:
            return "few"
        if math.isnan(self.corrected):
            return "unclear"
        if self.corrected >= ALPHA:
            return "noise"
        if min(self.pretrainings) == 1:
            return "backbones"
        if min(self.pretrainings) < LEAST_PRETRAININGS:
            return "likely"
        return "larger" if self.value > 0 else "smaller"

    @property
    def sentence(self) -> str:
        """The verdict as a sentence with its numbers; if a difference is shown, the better model comes first.

        >>> from ctprune.comparison.decisive import DECISIVE
        >>> found = Finding(
        ...     run="hash", other="all", decisive=DECISIVE["classes"], value=0.01, low=-0.02, high=0.04,
        ...     corrected=0.5, detectable=0.06, pretrainings=(5, 5), patients=60, patients_of="of class ill",
        ...     unit="patient",
        ... )
        >>> found.verdict, "+0.010 [−0.020, +0.040], is within the noise (corrected p = 0.50)" in found.sentence
        ('noise', True)
        """
        found = self._better_first() if self.verdict in SHOWN else self
        return _SENTENCES[self.verdict](found)

    def _better_first(self) -> Finding:
        if self.decisive.is_better(self.value):
            return self
        return replace(
            self,
            run=self.other,
            other=self.run,
            value=-self.value,
            low=-self.high,
            high=-self.low,
            pretrainings=self.pretrainings[::-1],
        )

    @property
    def _numbers(self) -> str:
        if math.isnan(self.low):
            return signed(self.value)
        return f"{signed(self.value)} [{signed(self.low)}, {signed(self.high)}]"

    @property
    def _p(self) -> str:
        return f"corrected p {p_text(self.corrected)}"

    @property
    def _more(self) -> str:
        """How many pre-trainings are missing for `better`."""
        missing = [
            f"{LEAST_PRETRAININGS - count} more of {name}"
            for name, count in zip((self.run, self.other), self.pretrainings, strict=True)
            if count < LEAST_PRETRAININGS
        ]
        return f"{' and '.join(missing)}, with other seeds"


def _better(found: Finding) -> str:
    return (
        f"{found.run} is better than {found.other}: the difference in {found.decisive.title}, "
        f"{found._numbers}, is larger than the noise ({found._p})."
    )


def _likely(found: Finding) -> str:
    few = " and ".join(str(count) for count in found.pretrainings)
    return (
        f"{found.run} is ahead of {found.other}: the difference in {found.decisive.title}, "
        f"{found._numbers}, is larger than the noise that {few} pre-trainings show ({found._p}). “Better” needs "
        f"{LEAST_PRETRAININGS} pre-trainings of each: {found._more}."
    )


def _backbones(found: Finding) -> str:
    return (
        f"{found.run} and {found.other}: with these backbones the {found.decisive.title} differs by "
        f"{found._numbers} ({found._p}). This holds for these backbones alone: another seed gives another "
        f"backbone. A statement about kinds of pre-training needs {LEAST_PRETRAININGS} of each: {found._more}."
    )


def _noise(found: Finding) -> str:
    of = " with these backbones" if min(found.pretrainings) == 1 else ""
    size = "no difference" if found.detectable >= found.decisive.widest else f"{found.detectable:.3f} or more"
    return (
        f"{found.run} and {found.other}: the difference in {found.decisive.title}{of}, {found._numbers}, is "
        f"within the noise ({found._p}); detectable with a probability of 80 %: {size}."
    )


def _few(found: Finding) -> str:
    whose = f"{found.unit}{'' if found.patients == 1 else 's'} {found.patients_of}".rstrip()
    return (
        f"{found.run} and {found.other}: no verdict on the difference in {found.decisive.title}, "
        f"{found._numbers}, from {found.patients} {whose}; it needs {LEAST_PATIENTS}{found.decisive.needed}."
    )


def _unclear(found: Finding) -> str:
    return (
        f"{found.run} and {found.other}: unclear. The difference in {found.decisive.title}, {found._numbers}, "
        "cannot be tested, because its noise cannot be estimated: more images or more trainings are needed."
    )


def _undefined(found: Finding) -> str:
    return (
        f"{found.run} and {found.other}: the {found.decisive.title} is not defined, because "
        f"{found.decisive.undefined}."
    )


_SENTENCES = {
    "larger": _better,
    "smaller": _better,
    "likely": _likely,
    "backbones": _backbones,
    "noise": _noise,
    "few": _few,
    "unclear": _unclear,
    "undefined": _undefined,
}


def equivalence_sentence(finding: Finding, margin: float, corrected: float) -> str:
    """Whether a difference is shown to be smaller than a margin.

    Args:
        finding: The difference.
        margin: Largest difference, in either direction, that counts as equivalent.
        corrected: The p-value of both one-sided tests, corrected for all comparisons.
    """
    if finding.verdict in ("undefined", "few", "unclear") or math.isnan(corrected):
        return ""
    if finding.verdict in SHOWN and abs(finding.value) >= margin:
        # A difference that is shown and as large as the margin answers the question.
        return ""
    p = f"corrected p {p_text(corrected)}"
    if corrected >= ALPHA:
        return f"It is not shown that the difference is smaller than ± {margin:.3f} ({p})."
    if min(finding.pretrainings) < LEAST_PRETRAININGS:
        return (
            f"The difference is smaller than ± {margin:.3f} for these pre-trainings ({p}). A statement about "
            f"kinds of pre-training needs {LEAST_PRETRAININGS} of each: {finding._more}."
        )
    return f"The difference is smaller than ± {margin:.3f}: for this margin the two are equivalent ({p})."


def signed(value: float) -> str:
    """Three decimals with a sign, as in print.

    >>> signed(-0.0123), signed(0.5), signed(-0.0001)
    ('−0.012', '+0.500', '0.000')
    """
    text = f"{value:+.3f}"
    return "0.000" if text in ("-0.000", "+0.000") else text.replace("-", "−")


def p_text(p: float) -> str:
    """A p-value with its relation.

    >>> p_text(0.0321), p_text(0.4567), p_text(0.0001)
    ('= 0.032', '= 0.46', '< 0.001')
    """
    if math.isnan(p):
        return "not defined"
    if p < 0.001:
        return "< 0.001"
    return f"= {p:.3f}" if p < 0.1 else f"= {p:.2f}"
