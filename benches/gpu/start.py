"""The bundle's own beginning, on a machine without a network: install what is missing, then measure.

    python3 gpu-bundle/run.py --out DIR [--minutes 9]

Nothing is installed for good: the wheels go to a temporary folder, which the run alone sees.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benches.gpu.requirements import plan, read_wheels

#: Of the bundle.
DATA, PROJECT, WHEELS = "data", "project", "wheels"


def main(bundle: Path, arguments: Sequence[str] | None = None) -> None:
    """What is not named here is for `python -m benches.gpu`."""
    started = time.monotonic()
    args, rest = _parser(bundle).parse_known_args(arguments)
    with tempfile.TemporaryDirectory(prefix="ctprune-site-") as site:
        install(bundle / WHEELS, Path(site))
        spent = time.monotonic() - started
        print(f"installed in {spent:.0f} s", file=sys.stderr)
        path = os.pathsep.join(filter(None, [site, str(bundle / PROJECT), os.environ.get("PYTHONPATH")]))
        command = [sys.executable, "-m", "benches.gpu", "--out", os.path.abspath(args.out)]
        command += ["--data", os.path.abspath(args.data), "--minutes", str(args.minutes - spent / 60), *rest]
        done = subprocess.run(
            command,
            cwd=bundle / PROJECT,
            env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            check=False,
        )
    sys.exit(done.returncode)


def _parser(bundle: Path) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Install what is missing for this run alone, then measure.",
        epilog="Other options, such as --parts, --device and --tiny, are those of python -m benches.gpu.",
    )
    parser.add_argument("--out", required=True, help="folder for the results")
    parser.add_argument("--minutes", type=float, default=9.0, help="for everything, installing included")
    parser.add_argument("--data", default=bundle / DATA, help="folder of other data")
    return parser


def install(wheels: Path, site: Path) -> None:
    """Unpack to `site` what this Python lacks; ends with one sentence if that is more than there is."""
    found = plan(read_wheels(wheels))
    if found.missing:
        sys.exit(
            f"{sys.executable} lacks {', '.join(found.missing.values())}, and the bundle has no wheel of it: "
            "install it first, or run the bundle with a Python that has it"
        )
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    command += ["--no-deps", "--no-compile", "--no-cache-dir", "--target", str(site)]
    if subprocess.run([*command, *(str(wheel.file) for wheel in found.wheels)], check=False).returncode:
        sys.exit(f"pip could not install the bundle's wheels with {sys.executable}: see above")
