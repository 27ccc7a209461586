"""Write the tables of reduction methods into the pages: `python -m docs.methods`."""

from __future__ import annotations

from pathlib import Path

from docs.marks import between

from ctprune.selection.methods import METHODS, Method, comparing, swept
from ctprune.sweeping.by_points import FRACTIONS

PAGES = {name: Path(__file__).parent / f"{name}.md" for name in ("concepts", "sweep")}


def concepts() -> str:
    """When each method drops a slice, and its defaults."""
    rows = [
        f"| `{name}` | {method.drops} | {_defaults(method)} | {method.source} |"
        for name, method in METHODS.items()
    ]
    return "\n".join(["| `--method` | similar, so dropped, when | default | source |", "|---|---|---|---|", *rows])


def sweep() -> str:
    """What a sweep of each method costs, and the thresholds that it tries."""
    fingerprints, pixels, embeddings = (
        comparing("fingerprints"),
        comparing("pixels"),
        comparing("embeddings"),
    )
    rows = [
        (
            fingerprints,
            "no file is read: the manifest has the fingerprints (one kind, that of the reduction)",
            "every radius, 0 to all bits",
        ),
        (
            pixels,
            "one pass over the pixels, within volumes only; strict thresholds compare nearly all pairs of a "
            "volume",
            f"those of `--keep`: {_grids(pixels)}",
        ),
        (
            embeddings,
            "one pass of the network over the slices, unless `reduction/embeddings/` already holds them",
            "the cosines of `--keep`",
        ),
        (
            [name for name in swept() if not METHODS[name].decides],
            "one selection for each fraction; on embeddings one pass of the network before, as for `deep`",
            f"fractions to keep: {', '.join(f'{fraction:g}' for fraction in FRACTIONS.grid)}",
        ),
    ]
    lines = [f"| {', '.join(f'`{name}`' for name in names)} | {cost} | {tried} |" for names, cost, tried in rows]
    return "\n".join(["| `--method` | what it costs | thresholds it tries |", "|---|---|---|", *lines])


def _defaults(method: Method) -> str:
    if method.role == "sizes" and "threshold" in method.options:
        return "as many per volume as `hash` keeps"
    given = {name: value for name, value in method.options.items() if value is not None}
    features = f"{given.pop('features')}; " if "features" in given else ""
    asks = [f"`--{name}`" for name in ("threshold", "keep", "budget") if name in method.options]
    if asks and "threshold" not in given:
        return f"{features}give {', '.join(asks[:-1])} or {asks[-1]}"
    bits = f" of 64 {method.measure.unit}" if method.measure else ""
    return ", ".join(f"{name} {value}{bits if name == 'threshold' else ''}" for name, value in given.items())


def _grids(names: list[str]) -> str:
    found = []
    for name in names:
        measure = METHODS[name].measure
        if measure is not None:
            low, second, *_, high = measure.grid
            found.append(f"{low:g} to {high:g} in steps of {second - low:.3g} (`{name}`)")
    return ", ".join(found)


def inserted(page: str, table: str) -> str:
    """A page with the table between its marks."""
    return between(page, "table of methods", f"{table}\n", "end of table")


TABLES = {"concepts": concepts, "sweep": sweep}


if __name__ == "__main__":
    for name, table in TABLES.items():
        PAGES[name].write_text(inserted(PAGES[name].read_text(), table()))
