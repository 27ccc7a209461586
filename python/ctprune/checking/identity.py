"""Findings about what the slices of a series are, and whose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ctprune.checking.intensity import body_share
from ctprune.checking.series import Columns, Finding, Integers, Series, listed
from ctprune.reading.digests import NEEDED, pixel_digests

#: Words in Image Type of slices that were computed from other slices.
_COMPUTED = {"MPR", "MIP", "MINIP", "MNIP", "REFORMATTED", "RESAMPLED", "AVERAGE", "MEAN", "VRT", "CPR", "CURVED",
             "PROJECTION IMAGE", "MAX_IP", "MIN_IP", "MAXIMUM", "MINIMUM", "SUBTRACTION"}  # fmt: skip

#: A slice with less in it may well equal another one.
_SOME_BODY = 0.02


def identity_findings(series: Series, others: Others) -> Iterator[Finding]:
    """What Image Type, UIDs and patients say; `others` knows of the slices of all series."""
    if not series.is_dicom:
        return
    types, of = np.unique(series["image_type"].astype(str), return_inverse=True)
    words = [[word.strip() for word in text.split("\\")] for text in types]
    computed = np.array([bool(_COMPUTED.intersection(found)) for found in words])[of]
    derived = np.array([found[0] == "DERIVED" for found in words])[of] & ~computed
    secondary = np.array([found[1:2] == ["SECONDARY"] for found in words])[of] & ~computed & ~derived
    for code, chosen in (("C-REFORMATTED", computed), ("C-DERIVED", derived), ("C-SECONDARY", secondary)):
        if chosen.any():
            texts = [text.replace("\\", "/") for text in types[np.unique(of[chosen])]]
            yield series.finding(code, chosen, listed(texts))
    burned = series["burned_in_annotation"] == "YES"
    if burned.any():
        yield series.finding("C-BURNED-IN", burned)
    studies = set(series["study_instance_uid"])
    if len(studies) > 1:
        yield series.finding("C-MIXED-STUDY", None, f"{len(studies)} studies")
    if studies & others.mixed_studies:
        yield series.finding("C-MIXED-PATIENT")
    for volume in series.volumes():
        frames = set(volume["frame_of_reference_uid"]) - {""}
        if len(frames) > 1:
            yield volume.finding("C-MIXED-FRAME-OF-REFERENCE", None, f"{len(frames)} frames of reference")
    for code, mask in (("C-SAME-UID", others.same_uid), ("C-SAME-PIXELS", others.same_pixels)):
        if mask[series.rows].any():
            yield series.finding(code, mask[series.rows])


class Others:
    """What can only be seen of all slices together.

    Attributes:
        mixed_studies: Study Instance UIDs with slices of several patients.
        same_uid: Slices whose UID another slice with other pixels has, shape (n,).
        same_pixels: Slices whose pixels another slice with another UID has, shape (n,).
    """

    def __init__(self, columns: Columns, count: int, threads: int) -> None:
        everything = Series(columns, np.arange(count))
        self.mixed_studies = _mixed_studies(everything)
        self.same_uid = np.zeros(count, np.bool_)
        self.same_pixels = np.zeros(count, np.bool_)
        if count:
            uid, pixels = _numbers(_uids(everything)), _numbers(_pixels(everything))
            named = everything["sop_instance_uid"] != ""
            read = ~np.isnan(np.asarray(everything["min_hu"], float))
            self.same_uid = _differing(uid, pixels, named & read)
            full = named & read & (body_share(everything) >= _SOME_BODY)
            self.same_pixels = _same_pixels(everything, uid, _differing(pixels, uid, full), threads)


def _same_pixels(slices: Series, uid: Integers, alike: np.ndarray, threads: int) -> np.ndarray:
    """Of slices that are alike by all that is known of them, those that are equal when they are read again."""
    at = np.flatnonzero(alike)
    if not len(at):
        return alike
    digests = pixel_digests(slices.lines(at, NEEDED), threads)
    keys = np.full(len(alike), -1, np.int64)
    keys[at] = _numbers(digests)
    return _differing(keys, uid, alike & np.isin(np.arange(len(alike)), at[[one is not None for one in digests]]))


def _mixed_studies(slices: Series) -> set[str]:
    check = np.asarray(slices["patient_check"], np.int64)
    patients: dict[str, set[int]] = {}
    for study, patient in zip(slices["study_instance_uid"], check.tolist(), strict=True):
        if study and patient >= 0:
            patients.setdefault(study, set()).add(patient)
    return {study for study, found in patients.items() if len(found) > 1}


def _uids(slices: Series) -> list[Any]:
    return list(zip(slices["sop_instance_uid"], np.asarray(slices["frame"]).tolist(), strict=True))


def _pixels(slices: Series) -> list[Any]:
    """What is known of the pixels of each slice: fingerprint, range, matrix and shares of Hounsfield units.

    Slices that differ in it have different pixels; others may have the same.
    """
    numbers = [np.asarray(slices[name], np.float64) for name in ("min_hu", "max_hu", "rows", "columns")]
    values = np.column_stack([*numbers, np.asarray(slices["hu_shares"], np.float64)])
    prints = np.asarray(slices["fingerprint"], np.uint8)
    return [(one.tobytes(), other.tobytes()) for one, other in zip(values, prints, strict=True)]


def _numbers(keys: list[Any]) -> Integers:
    known: dict[Any, int] = {}
    return np.array([known.setdefault(key, len(known)) for key in keys], np.int64)


def _differing(same: Integers, other: Integers, chosen: np.ndarray) -> np.ndarray:
    """Chosen slices that are one by `same` with another chosen slice, and two by `other`."""
    found = np.zeros(len(same), np.bool_)
    at = np.flatnonzero(chosen)
    pairs = np.unique(np.stack([same[at], other[at]], axis=1), axis=0)
    groups, counts = np.unique(pairs[:, 0], return_counts=True)
    found[at] = np.isin(same[at], groups[counts > 1])
    return found
