"""Make a folder to carry to a machine with a GPU and without a network: `python -m benches.gpu.bundle`.

It holds ctprune as a wheel, the wheels that it needs (but for those that a machine with torch has), the benchmarks
and tests, and data from `benches.gpu.pack`. On that machine: `python3 gpu-bundle/run.py --out DIR`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benches import environment
from benches.gpu import pack
from benches.gpu.requirements import PROVIDED, ROOTS, UNUSED, Wheel, needs, read_wheels
from benches.gpu.start import DATA, PROJECT, WHEELS

#: Of the project's folder.
_ROOT = Path(__file__).parents[2]

#: What is carried may have this many bytes.
LIMIT = 60 << 20

#: The Python of the machine with the GPU.
PYTHON = "3.12"

_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")

_RUN = f'''"""Measure ctprune on this machine's GPU: python3 run.py --out DIR [--minutes 9]"""

import sys
from pathlib import Path

bundle = Path(__file__).resolve().parent
# A wheel of pure Python can be imported as it is.
sys.path[:0] = [str(bundle / "{PROJECT}")]
sys.path += [str(file) for file in (bundle / "{WHEELS}").glob("packaging-*.whl")]

from benches.gpu.start import main  # noqa: E402

# What is in a wheel is not installed.
sys.path[:] = [entry for entry in sys.path if not entry.endswith(".whl")]
main(bundle)
'''


def main() -> None:
    args = _arguments()
    pack.check_options(args)
    out: Path = args.out
    if out.exists() and not (out / "bundle.json").is_file() and any(out.iterdir()):
        sys.exit(f"{out} holds something else: give another folder with --out")
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.absolute().parent) as folder:
        args.out = Path(folder) / out.name
        build(args)
        size = size_of(args.out)
        parts = ", ".join(f"{part.name} {size_of(part) / 2**20:.1f}" for part in sorted(args.out.iterdir()))
        print(f"{out}: {size / 2**20:.1f} MiB ({parts})")
        if size > LIMIT:
            sys.exit(f"that is more than {LIMIT >> 20} MiB: pack fewer slices, or a smaller --side")
        if out.exists():
            shutil.rmtree(out)
        args.out.rename(out)


def build(args: argparse.Namespace) -> None:
    out: Path = args.out
    (out / WHEELS).mkdir(parents=True)
    (out / DATA).mkdir()
    (out / "run.py").write_text(_RUN)
    _copy_project(out / PROJECT)
    wheel = Path(args.wheel) if args.wheel else build_wheel(out / WHEELS)
    if args.wheel:
        shutil.copy(wheel, out / WHEELS)
    gather(out / WHEELS)
    with tempfile.TemporaryDirectory(prefix="ctprune-pack-") as work:
        packed = pack.pack(args, out / DATA, Path(work))
    where = environment.describe()
    about = {
        "ctprune": where["ctprune"] + (", with changes" if _is_changed() else ""),
        "compilers": where["compilers"],
        "built": where["date"],
        "wheel": wheel.name,
        "machine_must_have": sorted(PROVIDED),
        "python": PYTHON,
        "data": packed,
    }
    (out / "bundle.json").write_text(json.dumps(about, indent=1) + "\n")


def build_wheel(out: Path) -> Path:
    """ctprune's wheel for any Linux from 2014 on (with zig), or from 2018 on (where this system is that old)."""
    command = ["maturin", "build", "--release", "--quiet", "--out", str(out)]
    if importlib.util.find_spec("ziglang") is not None or shutil.which("zig"):
        command += ["--zig", "--compatibility", "manylinux_2_17"]
    else:
        command += ["--compatibility", "manylinux_2_28"]
    if subprocess.run(command, cwd=_ROOT, check=False).returncode:
        sys.exit("maturin could not build the wheel, see above; 'make gpu-bundle' builds it with zig")
    return next(out.glob("ctprune-*.whl"))


def gather(folder: Path) -> None:
    """Fetch the wheels that those in `folder` need, for Linux on x86-64 and `PYTHON`, until nothing is missing."""
    queue = list(ROOTS)
    asked: set[str] = set()
    while queue:
        names = {line: canonicalize_name(Requirement(line).name) for line in queue}
        have = read_wheels(folder)
        lacking = [line for line, name in names.items() if name not in have]
        if lacking:
            _download(lacking, folder)
            have = read_wheels(folder)
        asked |= set(queue)
        queue = [line for line in _needed(queue, have) if line not in asked]


def _needed(lines: list[str], have: dict[str, Wheel]) -> list[str]:
    """What the wheels of these requirements require in turn."""
    found: dict[str, None] = {}
    for line in lines:
        requirement = Requirement(line)
        wheel = have[canonicalize_name(requirement.name)]
        if not requirement.specifier.contains(wheel.version, prereleases=True):
            sys.exit(f"{requirement} is asked for, and {wheel.file.name} was taken for another package's sake")
        for needed in needs(wheel.requires, requirement.extras, PYTHON):
            if canonicalize_name(needed.name) not in PROVIDED | UNUSED:
                found[str(needed)] = None
    return list(found)


def _download(lines: list[str], folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHON]
    for platform in _PLATFORMS:
        command += ["--platform", platform]
    if subprocess.run([*command, "--dest", str(folder), *lines], check=False).returncode:
        sys.exit(f"pip could not fetch the wheels of {', '.join(lines)}: see above")


def size_of(path: Path) -> int:
    """Bytes of a file, or of all in a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _copy_project(target: Path) -> None:
    """Benchmarks and tests, but for the records."""
    left_out = shutil.ignore_patterns("record", "__pycache__")
    for part in ("benches", "tests"):
        shutil.copytree(_ROOT / part, target / part, ignore=left_out)
    shutil.copy(_ROOT / "pyproject.toml", target)


def _is_changed() -> bool:
    try:
        done = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"], cwd=_ROOT, capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    return bool(done.stdout.strip())


def _arguments() -> argparse.Namespace:
    description = "Make a folder to carry to a machine with a GPU and without a network."
    parser = argparse.ArgumentParser(prog="python -m benches.gpu.bundle", description=description)
    parser.add_argument("--out", type=Path, default=Path("gpu-bundle"), help="folder, made anew (git ignores it)")
    parser.add_argument("--wheel", help="of ctprune, for a Linux that is old enough; it is built without")
    pack.add_options(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
