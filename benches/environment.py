"""Where a benchmark ran, so that its figures can be judged."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

_PACKAGES = (
    "numpy",
    "pillow",
    "imagehash",
    "imha",
    "pydicom",
    "pylibjpeg",
    "pylibjpeg-openjpeg",
    "pylibjpeg-rle",
    "pyjpegls",
    "python-gdcm",
    "dicomsdl",
    "SimpleITK",
    "imagecodecs",
    "faiss-cpu",
    "scikit-image",
    "scikit-learn",
    "apricot-select",
    "scipy",
    "opencv-python-headless",
    "Fast-SSIM",
    "numba",
    "pyarrow",
    "torch",
    "torchvision",
    "lightly",
    "timm",
    "pytorch-lightning",
)

#: Readers in Rust, which `benches/rivals` builds.
_CRATES = ("dicom-object", "dicom-pixeldata", "j2k", "jxl-oxide", "openjp2")

#: Set for every process and tool alike: glibc keeps freed memory instead of returning it to the system after
#: each call, which can double the time of a C library that allocates a slice at a time. 32 MiB is its limit.
_MALLOC = {"MALLOC_TRIM_THRESHOLD_": str(1 << 30), "MALLOC_MMAP_THRESHOLD_": str(1 << 25)}
_THREADS = (
    "RAYON_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)


def variables(threads: int) -> dict[str, str]:
    """Environment of a process that may use `threads` threads."""
    return {**os.environ, **_MALLOC, **{name: str(threads) for name in _THREADS}}


def describe() -> dict[str, str]:
    """The machine and the software, by name."""
    from ctprune import __version__
    from ctprune._core import IS_CHECKED

    build = ", a build that checks itself and is slower than users have it" if IS_CHECKED else ""
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": _memory(),
        "load before": _load(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "ctprune": f"{__version__}, commit {_output('git', 'rev-parse', '--short', 'HEAD')}{build}",
        "compilers": f"{_output('rustc', '--version')}; {_output('cc', '--version')}",
        "libraries": ", ".join(f"{name} {_version(name)}" for name in _PACKAGES),
        "crates": ", ".join(f"{name} {version}" for name, version in _locked(_CRATES).items()),
        "settings": ", ".join(f"{name}={value}" for name, value in _MALLOC.items()),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        facts = dict(line.split(":", 1) for line in cpuinfo.read_text().splitlines() if line.count(":") == 1)
        named = {key.strip(): value.strip() for key, value in facts.items()}
        if "model name" in named:
            return f"{named['model name']}, family {named['cpu family']} model {named['model']}"
    return platform.processor() or "unknown"


def _memory() -> str:
    try:
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError):
        return "unknown"
    return f"{pages / 2**30:.1f} GiB"


def _load() -> str:
    return f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def _locked(names: Sequence[str]) -> dict[str, str]:
    """Versions of crates, as the rivals' Cargo.lock has them; the bundle for a GPU has none."""
    lock = Path(__file__).parent / "rivals" / "Cargo.lock"
    if not lock.exists():
        return {}
    text = lock.read_text()
    found = dict(re.findall(r'^name = "(.*)"\nversion = "(.*)"', text, re.MULTILINE))
    return {name: found[name] for name in names}


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip().splitlines()[0]
