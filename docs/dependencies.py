"""Write the tables of dependencies into their page: `python -m docs.dependencies`.

With `--requirements` it prints what the base install and all extras require, one a line, as pip-audit reads it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from docs.marks import between

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "dependencies.md"

#: Python packages by name: license, and what they are for. Their versions are in pyproject.toml.
PYTHON = {
    "numpy": ("BSD-3-Clause", "arrays"),
    "pydicom": ("MIT", "DICOM files that the core does not decode; the phantom"),
    "pyyaml": ("MIT", "files of options"),
    "typer": ("MIT", "the command line, and its completion in shells"),
    "rich": ("MIT", "progress bars and tables on terminals"),
    "jinja2": ("BSD-3-Clause", "templates of HTML pages"),
    "matplotlib": ("PSF-based", "figures"),
    "pillow": ("MIT-CMU", "pictures in pages"),
    "torch": ("BSD-3-Clause", "networks and training"),
    "torchvision": ("BSD-3-Clause", "ResNets"),
    "lightly": ("MIT", "losses and heads of self-supervised methods"),
    "pytorch-lightning": ("Apache-2.0", "needed by lightly; devices and precision"),
    "safetensors": ("Apache-2.0", "weights in files that cannot hold code"),
    "tensorboard": ("Apache-2.0", "logs of training"),
    "scikit-learn": ("BSD-3-Clause", "linear probes and nearest neighbors"),
    "scipy": ("BSD-3-Clause", "statistical distributions"),
    "ray": ("Apache-2.0", "tasks on a cluster"),
    "obstore": ("MIT", "clients of object stores"),
    "tenacity": ("Apache-2.0", "repeated requests"),
    "dicomweb-client": ("MIT", "searches by DICOMweb"),
    "requests": ("Apache-2.0", "answers of DICOMweb"),
    "timm": ("Apache-2.0", "more backbones"),
    "onnx": ("Apache-2.0", "backbones as ONNX"),
    "onnxscript": ("MIT", "torch's way to ONNX"),
    "onnxruntime": ("MIT", "compares an ONNX file with torch"),
}

#: Rust crates by name: what they are for. Licenses are those that cargo reports; versions are in Cargo.lock.
RUST = {
    "arrow-array": "columns of the manifest in memory",
    "arrow-buffer": "columns of the manifest in memory",
    "arrow-schema": "columns of the manifest in memory",
    "arrow-select": "rows chosen from columns",
    "bytemuck": "bytes as numbers without copying",
    "dicom-core": "DICOM's types of values",
    "dicom-dictionary-std": "DICOM's dictionary of attributes",
    "flate2": "deflate: zip files, deflated DICOM, gzip",
    "half": "16-bit floating-point embeddings",
    "hashbrown": "hash tables that report a lack of memory",
    "hmac": "pseudonyms",
    "indexmap": "tables that keep their order",
    "jxl-oxide": "JPEG XL",
    "libc": "calls of the operating system",
    "libjpeg-turbo-rs": "JPEG",
    "libm": "functions with the same result on every machine",
    "numpy": "arrays shared with Python",
    "parquet": "the manifest's file",
    "png": "PNG",
    "pyo3": "the binding to Python",
    "rawzip": "zip files",
    "rayon": "threads",
    "regex": "patterns of names",
    "rustix": "how busy the cores are while files are read",
    "rustc-hash": "fast hash tables",
    "ruzstd": "Zstandard: tar.zst files",
    "serde_json": "JSON",
    "sha2": "digests",
    "tar": "tar files",
    "thiserror": "types of errors",
    "tiff": "TIFF",
}


def requirements() -> dict[str, list[str]]:
    """What `pyproject.toml` requires, with versions, by extra; empty text: the base install."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    base = text.split("\ndependencies = [")[1].split("\n]")[0]
    extras = text.split("\n[project.optional-dependencies]")[1].split("\n[")[0]
    listed = [("", base), *re.findall(r"^(\w+) = \[(.*?)\]", extras, re.MULTILINE | re.DOTALL)]
    return {extra: re.findall(r'"([^"]+)"', block) for extra, block in listed}


def required_by_python() -> dict[str, str]:
    """The packages that `pyproject.toml` names, each with its extra; empty text: the base install."""
    found: dict[str, str] = {}
    for extra, required in requirements().items():
        for requirement in required:
            name = re.split(r"[^\w-]", requirement)[0]
            found[name] = f"{found[name]}, {extra}" if name in found else extra
    return found


def crates() -> dict[str, str]:
    """The crates that the workspace's own crates need to run or to be built, with their licenses."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    own = set(metadata["workspace_members"])
    licenses = {package["name"]: package["license"] for package in metadata["packages"]}
    needed = {
        dependency["name"]
        for package in metadata["packages"]
        if package["id"] in own
        for dependency in package["dependencies"]
        if dependency["kind"] != "dev" and not dependency["name"].startswith("ctprune-")
    }
    return {name: licenses[name] for name in sorted(needed)}


def tables() -> str:
    """Both tables."""
    python = [
        f"| `{name}` | {extra or '–'} | {PYTHON[name][0]} | {PYTHON[name][1]} |"
        for name, extra in required_by_python().items()
    ]
    rust = [f"| `{name}` | {license} | {RUST[name]} |" for name, license in crates().items()]
    return "\n".join(
        [
            "## Python",
            "",
            "| package | extra | license | for |",
            "|---|---|---|---|",
            *python,
            "",
            "## Rust",
            "",
            "These are part of the wheel.",
            "",
            "| crate | license | for |",
            "|---|---|---|",
            *rust,
        ]
    )


def inserted(page: str) -> str:
    """The page with the tables between its marks."""
    return between(page, "tables of dependencies", f"\n{tables()}\n\n", "end of tables")


if __name__ == "__main__":
    if "--requirements" in sys.argv:
        print(*(one for required in requirements().values() for one in required), sep="\n")
        sys.exit()
    PAGE.write_text(inserted(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
