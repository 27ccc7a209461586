"""Write the bill of materials of a wheel, CycloneDX in JSON: `python -m docs.sbom sbom.cdx.json`.

maturin's own would hold paths of the machine that built the wheel. This one names crates by their addresses in
crates.io, and is the same on every machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

#: The crate that becomes the extension module.
MODULE = "ctprune-py"


def bill() -> dict[str, Any]:
    """Every crate that is compiled into the extension module, on any system, or that builds it."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    needs = {node["id"]: list(_needed(node)) for node in metadata["resolve"]["nodes"]}
    [module] = [identifier for identifier, package in packages.items() if package["name"] == MODULE]
    found, waiting = {module}, [module]
    while waiting:
        for identifier in needs[waiting.pop()]:
            if identifier not in found:
                found.add(identifier)
                waiting.append(identifier)
    version = packages[module]["version"]
    components = [_component(packages[identifier]) for identifier in found if identifier != module]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "library",
                "name": "ctprune",
                "version": version,
                "purl": f"pkg:pypi/ctprune@{version}",
            }
        },
        "components": sorted(components, key=lambda component: (component["name"], component["version"])),
    }


def _needed(node: dict[str, Any]) -> list[str]:
    """What a crate needs outside of its tests."""
    return [
        dependency["pkg"]
        for dependency in node["deps"]
        if any(kind["kind"] != "dev" for kind in dependency["dep_kinds"])
    ]


def _component(package: dict[str, Any]) -> dict[str, Any]:
    component = {"type": "library", "name": package["name"], "version": package["version"]}
    if package["source"]:
        # The project's own crates are in no registry.
        component["purl"] = f"pkg:cargo/{package['name']}@{package['version']}"
    # Some crates still write "MIT/Apache-2.0".
    return component | {"licenses": [{"expression": package["license"].replace("/", " OR ")}]}


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(bill(), indent=2) + "\n", encoding="utf-8")
