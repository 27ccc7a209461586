"""Which packages a machine lacks, and which of them a folder of wheels has.

Needs nothing but `packaging`: it runs before anything is installed.
"""

from __future__ import annotations

import importlib.metadata
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from email.parser import HeaderParser
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

#: What the run needs.
ROOTS = ("ctprune[train,timm]", "pytest>=8", "hypothesis>=6")

#: Large, and where torch is used anyway; they are not carried along.
PROVIDED = frozenset(
    {
        "torch",
        "torchvision",
        "numpy",
        "pillow",
        "scipy",
        "scikit-learn",
        "matplotlib",
        "tensorboard",
    }
)

#: Required by a package, but not by what is used of it: lightly's command line, downloads.
UNUSED = frozenset({"hydra-core", "hf-xet", "aiohttp"})


@dataclass(frozen=True)
class Wheel:
    """A wheel on disk."""

    file: Path
    name: str
    version: str
    requires: tuple[str, ...] = field(repr=False)


@dataclass
class Plan:
    """What to install from wheels, and the requirements that nothing meets, by package."""

    wheels: list[Wheel] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)


def read_wheels(folder: Path) -> dict[str, Wheel]:
    """All wheels of a folder by normalized name."""
    found = {}
    for file in sorted(folder.glob("*.whl")):
        name, version, _, _ = parse_wheel_filename(file.name)
        with zipfile.ZipFile(file) as archive:
            inside = next(entry for entry in archive.namelist() if entry.endswith(".dist-info/METADATA"))
            metadata = HeaderParser().parsestr(archive.read(inside).decode())
        found[str(name)] = Wheel(file, str(name), str(version), tuple(metadata.get_all("Requires-Dist", [])))
    return found


def installed(name: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def plan(wheels: Mapping[str, Wheel], found: Callable[[str], str | None] = installed) -> Plan:
    """What to install so that `ROOTS` can be used; ctprune itself always comes from its wheel.

    What is installed is taken to have what it needs.
    """
    result = Plan()
    seen: set[str] = set()
    queue = [Requirement(root) for root in ROOTS]
    while queue:
        requirement = queue.pop(0)
        name = canonicalize_name(requirement.name)
        if name in UNUSED or str(requirement) in seen:
            continue
        seen.add(str(requirement))
        there = None if name == "ctprune" else found(name)
        if there is not None and requirement.specifier.contains(there, prereleases=True):
            continue
        wheel = wheels.get(name)
        if wheel is None or not requirement.specifier.contains(wheel.version, prereleases=True):
            result.missing.setdefault(name, str(requirement) + (f" (found {there})" if there else ""))
            continue
        if wheel not in result.wheels:
            result.wheels.append(wheel)
        queue += needs(wheel.requires, requirement.extras)
    return result


def needs(lines: Iterable[str], extras: Iterable[str], python: str | None = None) -> Iterator[Requirement]:
    """The requirements that hold with these extras, on this Python or on a Linux with another version of it."""
    # The extra's name is compared as it is normalized.
    asked = ["", *(canonicalize_name(extra) for extra in extras)]
    linux = {
        "python_version": python or "",
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    elsewhere = linux if python else {}
    for line in lines:
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({**elsewhere, "extra": extra}) for extra in asked):
            requirement.marker = None
            yield requirement
