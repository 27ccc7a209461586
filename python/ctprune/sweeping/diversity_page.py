"""The page of a sweep that shows how diverse the kept slices of each method are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ctprune.files.atomic import replace_file
from ctprune.manifest.derived import SWEEP_DIVERSITY_NAME
from ctprune.pages.templates import environment_of, style_of
from ctprune.sweeping.result import Sweep

MEASURES = {
    "effective_rank": "effective rank",
    "vendi_score": "Vendi score",
    "nearest": "nearest distance",
}


def save_diversity_page(result: Sweep, folder: Path) -> None:
    """Write `diversity.html`: a table for each fraction, methods side by side.

    Raises:
        OutputError: The folder cannot be written.
    """
    about = result.about
    tables: dict[float, list[dict[str, Any]]] = {}
    for row in about["diversity"]:
        tables.setdefault(row["keep"], []).append(row)
    page = environment_of("ctprune.sweeping").get_template("diversity.html")
    text = page.render(
        style=style_of("ctprune.sweeping"),
        about=about,
        tables=tables,
        measures=MEASURES,
        largest={
            keep: {name: max(row[name][2] for row in rows) or 1.0 for name in MEASURES}
            for keep, rows in tables.items()
        },
    )
    with replace_file(folder / SWEEP_DIVERSITY_NAME) as beside:
        beside.write_text(text, "utf-8")
