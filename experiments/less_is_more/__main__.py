"""The archives and the report of experiments/less-is-more.md.

    python -m experiments.less_is_more archives DIR
    python -m experiments.less_is_more report DIR/swav DIR/methods DIR/none --out experiments/results/less-is-more

`archives` makes what is missing. `report` takes all pre-trainings that are finished so far, from folders of
experiments and from files `pretrainings.npz` of earlier reports, and writes them, too, into such a file. Networks
without pre-training come from the folder of a `ctprune finetune`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from experiments.less_is_more.archives import write_archives
from experiments.less_is_more.collected import load_collected, save_collected
from experiments.less_is_more.page import without_copies, write_report
from experiments.less_is_more.trained import load_trained

from ctprune.errors import CtpruneError


def main() -> None:
    """Read the command line and carry it out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    archives = commands.add_parser("archives", help="write the synthetic archives that are not there yet")
    archives.add_argument("folder", type=Path)
    report = commands.add_parser("report", help="raw results, contrasts, curves and page")
    folders = "folders of ctprune experiment, or of ctprune finetune without weights, and files .npz"
    report.add_argument("experiments", type=Path, nargs="+", help=folders)
    report.add_argument("--out", type=Path, required=True, help="folder to write to")
    given = parser.parse_args()
    if given.command == "archives":
        write_archives(given.folder)
        return
    try:
        _report(given.experiments, given.out)
    except (CtpruneError, OSError) as error:
        parser.exit(1, f"{error}\n")


def _report(experiments: Sequence[Path], out: Path) -> None:
    parts = (load_collected(path) if path.suffix == ".npz" else load_trained(path) for path in experiments)
    trained = without_copies([one for part in parts for one in part])
    write_report(trained, out)
    save_collected(trained, out / "pretrainings.npz")


if __name__ == "__main__":
    main()
