"""Collect the raw results of an experiment without weights, pictures and paths of the machine.

    python experiments/collect_results.py covid experiments/results/covid --root DIR=data

Of each step come the texts and tables (configuration, summary, metrics, predictions, curves, model card), of the
experiment its list of steps and the comparison. Paths below the experiment's folder become relative, those below a
root become `$NAME`.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq

#: What packed stores, which are pictures, are called.
_STORE = "store-"

_TEXTS = {".json", ".yaml", ".md", ".csv", ".html", ".tex"}


def collect(experiment: Path, out: Path, roots: dict[str, str]) -> None:
    """Copy what is to be shown from the folder of a finished experiment into a new folder."""
    if out.exists():
        shutil.rmtree(out)
    steps = json.loads((experiment / "experiment.json").read_text())["steps"]
    folders = [experiment / step["folder"] for step in steps] + [experiment / "comparison"]
    files = [file for folder in folders for file in folder.rglob("*") if _STORE not in file.parent.name]
    for file in [experiment / "experiment.json", *files]:
        target = out / file.relative_to(experiment)
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix in _TEXTS:
            target.write_text(_portable(file.read_text("utf-8"), roots), "utf-8")
        elif file.name == "predictions.parquet":
            table = pq.read_table(file)
            facts = {
                key.decode(): _portable(value.decode(), roots)
                for key, value in (table.schema.metadata or {}).items()
            }
            # A compression that `ctprune compare` reads.
            pq.write_table(table.replace_schema_metadata(facts), target, compression="lz4")


def _portable(text: str, roots: dict[str, str]) -> str:
    for path, name in roots.items():
        text = text.replace(path, name)
    return text


def main() -> None:
    """Read the command line and collect."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=Path, help="folder of a finished ctprune experiment")
    parser.add_argument("out", type=Path, help="folder of the collection; replaced if it is there")
    parser.add_argument("--root", action="append", default=[], metavar="PATH=NAME", help="path to hide")
    given = parser.parse_args()
    roots = {f"{given.experiment.resolve()}/": ""}
    for root in given.root:
        path, _, name = root.partition("=")
        roots[path.rstrip("/")] = f"${name}"
    collect(given.experiment, given.out, roots)


if __name__ == "__main__":
    main()
