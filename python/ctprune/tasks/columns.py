"""Which columns of a table of labels say what, by name or by a template such as `{id:03d}.png`."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ctprune.errors import ConfigError

#: Stands between the labels of an image; an empty cell has none.
SEPARATOR = ";"

#: What cells of columns of labels say.
_HAS, _HAS_NOT = ("1", "1.0", "true"), (None, "0", "0.0", "false")


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Where a table's rows have path, label, split and patient.

    Each is the name of a column, or a template: a text with names of columns in braces, each with a format after a
    colon if it needs one, as in Python.

    Attributes:
        path: File of the image.
        label: Its class.
        split: `train`, `val` or `test`.
        patient: A text that identifies the patient.
        labels: Columns of 1 and 0, one for each label of which an image can have several, in place of `label`.

    Raises:
        ConfigError: A template or a label's name cannot be used.

    >>> Columns(path="{id:03d}.png", label="Diagnosis").used()
    {'path': ('id',), 'label': ('Diagnosis',), 'split': ('split',), 'patient': ('patient',)}
    """

    path: str = "path"
    label: str = "label"
    split: str = "split"
    patient: str = "patient"
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for number, name in enumerate(self.labels):
            if not name or SEPARATOR in name:
                raise ConfigError(
                    f"label_columns {name}: expected names of columns without {SEPARATOR}", field="label_columns"
                )
            if name in self.labels[:number]:
                raise ConfigError(f"label_columns {name}: is given twice", field="label_columns")
        for name, given in self._given().items():
            if not is_template(given):
                continue
            try:
                parts = list(string.Formatter().parse(given))
            except ValueError as error:
                raise ConfigError(f"{name}_column {given}: {error}", field=f"{name}_column") from None
            for _, column, spec, conversion in parts:
                if column is not None and (not column or conversion or "{" in (spec or "")):
                    raise ConfigError(
                        f"{name}_column {given}: expected names of columns in braces, such as {{id:03d}}.png",
                        field=f"{name}_column",
                    )

    def used(self) -> dict[str, tuple[str, ...]]:
        """For each of path, label, split and patient the table's columns that it is made of."""
        return {
            name: tuple(column for _, column, _, _ in string.Formatter().parse(given) if column)
            if is_template(given)
            else (given,)
            for name, given in self._given().items()
        }

    def renamed(self) -> tuple[str, ...]:
        """Those of path, label, split and patient that are not columns of these names."""
        return tuple(name for name, given in self._given().items() if given != name)

    def value(self, name: str, row: dict[str, str | None]) -> str | None:
        """Path, label, split or patient of a row of texts; None where one of its cells is empty.

        Raises:
            ValueError: A cell does not have the format that the template names.

        >>> Columns(path="{id:03d}.png").value("path", {"id": "7"})
        '007.png'
        """
        given = self._given()[name]
        if not is_template(given):
            return row[given]
        text = ""
        for literal, column, spec, _ in string.Formatter().parse(given):
            text += literal
            if column is None:
                continue
            cell = row[column]
            if cell is None:
                return None
            text += formatted(cell, spec or "")
        return text

    def labels_of(self, row: dict[str, str | None]) -> str:
        """The labels of a row of texts, from the columns of labels.

        Raises:
            ValueError: A cell says neither that the image has the label nor that it has not.

        >>> Columns(labels=("edema", "nodule")).labels_of({"edema": "0", "nodule": "1"})
        'nodule'
        """
        found = []
        for name in self.labels:
            cell = row[name] and str(row[name]).lower()
            if cell not in _HAS and cell not in _HAS_NOT:
                # Errors do not show the cell, which may be of a patient.
                raise ValueError(f"expected 1 or 0 in column {name}, found other text")
            if cell in _HAS:
                found.append(name)
        return SEPARATOR.join(found)

    def _given(self) -> dict[str, str]:
        return {name: getattr(self, name) for name in COLUMN_OPTIONS}


#: The option that names each of the columns.
COLUMN_OPTIONS = {name: f"{name}_column" for name in ("path", "label", "split", "patient")}


def columns_of(options: Mapping[str, Any]) -> Columns:
    """The columns that options such as `label_column` name; None stands for the usual name.

    Raises:
        ConfigError: A template or a label's name cannot be used.

    >>> columns_of({"label_column": "Diagnosis", "path_column": None})
    Columns(path='path', label='Diagnosis', split='split', patient='patient', labels=())
    """
    given = {name: options.get(option) for name, option in COLUMN_OPTIONS.items()}
    names = {name: str(column) for name, column in given.items() if column is not None}
    return Columns(**names, labels=tuple(options.get("label_columns") or ()))


def is_template(text: str) -> bool:
    """Whether a text has braces; no column's name that people use has them."""
    return "{" in text or "}" in text


def formatted(cell: str, spec: str) -> str:
    """A cell's text in a format of Python's: as a number where the format is one of numbers.

    >>> formatted("7", "03d"), formatted("7.0", "03d"), formatted("a", ">3"), formatted("2.5", ".2f")
    ('007', '007', '  a', '2.50')
    """
    if not spec:
        return cell
    # Errors do not show the cell, which may be of a patient.
    kind = spec[-1]
    value: Any = cell
    if kind in "bcdoxXneEfFgG%":
        try:
            value = float(cell)
        except ValueError:
            raise ValueError("a cell is not a number") from None
    if kind in "bcdoxXn":
        # Spreadsheets and pandas write whole numbers with a point where a cell of the column is empty.
        if not value.is_integer():
            raise ValueError("a cell is not a whole number")
        value = int(value)
    return format(value, spec)
