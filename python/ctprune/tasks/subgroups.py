"""Columns whose values sort images into subgroups: few values, and none that stands for a person."""

from __future__ import annotations

from collections.abc import Sequence

from ctprune.errors import ConfigError, TaskError
from ctprune.tasks.columns import Columns
from ctprune.tasks.listing import Listing

#: Most values of a column. A column with more is no division into groups, and may be text about patients.
MOST_VALUES = 20

#: Longest value in characters: a longer one is a remark, not the name of a group.
LONGEST_VALUE = 60


def check_subgroups(listing: Listing, names: Sequence[str], columns: Columns) -> None:
    """Refuse columns whose values could identify a patient. No sentence shows a value.

    Raises:
        ConfigError: A column is named twice, or says who the patient is or where an image lies.
        TaskError: A column is empty, has too many or too long values, or a value for each patient.
    """
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ConfigError(f"subgroup_columns {name}: is given twice", field="subgroup_columns")
        if name in columns.used()["path"] + columns.used()["patient"]:
            raise ConfigError(
                f"subgroup_columns {name}: tells single images or patients apart: expected a column of groups, "
                "such as sex or site",
                field="subgroup_columns",
            )
        _check_values(listing, index, name)


def _check_values(listing: Listing, index: int, name: str) -> None:
    pairs = {(entry.subgroups[index], entry.patient) for entry in listing.entries} - {(None, None)}
    values = {value for value, _ in pairs if value is not None}
    column = f"{listing.source}: subgroup column {name}"
    if not values:
        raise TaskError(f"{column}: expected values, found only empty cells")
    if len(values) > MOST_VALUES:
        raise TaskError(
            f"{column}: expected at most {MOST_VALUES} different values, found {len(values):,}: sort them into "
            "groups first, such as ages into decades"
        )
    longest = max(map(len, values))
    if longest > LONGEST_VALUE:
        raise TaskError(
            f"{column}: expected values of at most {LONGEST_VALUE} characters, found one of {longest:,}: texts "
            "about patients are not groups"
        )
    known = {(value, patient) for value, patient in pairs if value is not None and patient is not None}
    if len(values) > 2 and len(known) == len({patient for _, patient in known}) == len(values):
        raise TaskError(f"{column}: expected groups of patients, found a value for each patient")
