"""The archives and the report of experiments/less-is-more.md.

    python -m experiments.less_is_more archives DIR
    python -m experiments.less_is_more report DIR/swav DIR/methods --out experiments/results/less-is-more

`archives` makes what is missing. `report` takes all pre-trainings that are finished so far, from folders of
experiments and from files `pretrainings.npz` of earlier reports, and writes them, too, into such a file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from experiments.less_is_more.archives import write_archives
from experiments.less_is_more.collected import load_collected, save_collected
from experiments.less_is_more.page import without_copies, write_report
from experiments.less_is_more.trained import load_trained


def main() -> None:
    """Read the command line and carry it out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    archives = commands.add_parser("archives", help="write the synthetic archives that are not there yet")
    archives.add_argument("folder", type=Path)
    report = commands.add_parser("report", help="raw results, contrasts, curves and page")
    report.add_argument("experiments", type=Path, nargs="+", help="folders of ctprune experiment, and files .npz")
    report.add_argument("--out", type=Path, required=True, help="folder to write to")
    given = parser.parse_args()
    if given.command == "archives":
        write_archives(given.folder)
    else:
        parts = (
            load_collected(path) if path.suffix == ".npz" else load_trained(path) for path in given.experiments
        )
        trained = without_copies([one for part in parts for one in part])
        write_report(trained, given.out)
        save_collected(trained, given.out / "pretrainings.npz")


if __name__ == "__main__":
    main()
