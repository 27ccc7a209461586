"""How the reduction is described and cited in a paper."""

from __future__ import annotations

import shlex
from dataclasses import MISSING, fields
from pathlib import PurePath
from typing import Any

from ctprune._core import DEFAULT_FINGERPRINT
from ctprune.environment.words import counted
from ctprune.options.option import options_of
from ctprune.reading.modalities import modalities, slices_of
from ctprune.reduction.config import ReduceConfig
from ctprune.report.run_slices import RunSlices
from ctprune.selection.methods import METHODS

PAPER = {
    "authors": "Wolf, Payer, Lisson, Lisson, Beer, Götz, Ropinski",
    "title": "Less is More: Selective Reduction of CT Data for Self-Supervised Pre-Training of Deep Learning "
    "Models with Contrastive Learning Improves Downstream Classification Performance",
    "journal": "Computers in Biology and Medicine",
    "volume": "183",
    "article": "109242",
    "year": "2024",
    "arxiv": "2410.14524",
}

BIBTEX = f"""@article{{wolf2024less,
  author  = {{{" and ".join(PAPER["authors"].split(", "))}}},
  title   = {{{PAPER["title"]}}},
  journal = {{{PAPER["journal"]}}},
  volume  = {{{PAPER["volume"]}}},
  pages   = {{{PAPER["article"]}}},
  year    = {{{PAPER["year"]}}},
  note    = {{arXiv:{PAPER["arxiv"]}}}
}}"""


#: Options whose patterns may hold patients' names.
_PATTERNS = ("exclude", "include")


def shown_config(config: dict[str, Any]) -> dict[str, Any]:
    """The options that are set, as a report may show them: only the names of files, and the number of patterns."""
    known = options_of(ReduceConfig)
    shown = {name: value for name, value in config.items() if value not in (None, [])}
    for name, value in shown.items():
        if name in _PATTERNS:
            shown[name] = f"{len(value)} pattern{'' if len(value) == 1 else 's'}"
        elif name in known and known[name].about.is_path:
            shown[name] = PurePath(value).name
    return shown


def command_line(config: dict[str, Any]) -> str:
    """The command that repeats the reduction.

    >>> command_line(ReduceConfig(keep=0.1).to_dict())
    'ctprune reduce SOURCE --method hash --keep 0.1 --out reduction/'
    """
    defaults = {field.name: field.default for field in fields(ReduceConfig)}
    defaults["fingerprint"] = METHODS[config["method"]].fingerprint or DEFAULT_FINGERPRINT
    parts = ["ctprune", "reduce", "SOURCE", "--method", config["method"]]
    for name, value in shown_config(config).items():
        if name in _PATTERNS:
            parts += [f"--{name}", "GLOB"] * len(config[name])
        elif name != "method" and value != defaults.get(name, MISSING):
            parts += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join([*parts, "--out", "reduction/"])


def _features(slices: RunSlices) -> str:
    if slices.method.compares == "embeddings":
        return "embeddings of a network"
    return f"fingerprints of {slices.config['hash_size'] ** 2} bits"


def _clusters(clusters: int | None) -> str:
    if clusters is None:
        return "as many clusters as the square root of their number"
    return f"{clusters:,} clusters"


def method_sentence(slices: RunSlices) -> str:
    """The reduction in one sentence, for a paper's methods section."""
    config, summary = slices.config, slices.summary
    how = slices.method.citation.format(
        bits=config["hash_size"] ** 2,
        n=config.get("n"),
        seed=config.get("seed"),
        features=_features(slices),
        clusters=_clusters(config.get("clusters")),
    )
    condition = ""
    if slices.measure is not None and slices.method.decides and slices.threshold is not None:
        where = "over the whole dataset" if config["scope"] == "dataset" else "within each volume"
        near = config["max_gap_mm"]
        within = "" if near is None else f", exemplars at most {near:g} mm away along the body"
        condition = f" ({slices.measure.condition(slices.threshold)}, compared {where}{within})"
    what = slices_of(modalities(slices.rows))
    volumes = counted(slices.volumes, "volume")
    return (
        f"{what[0].upper()}{what[1:]} were reduced with ctprune {slices.manifest.ctprune_version} by {how}"
        f"{condition}: of {counted(len(slices), 'slice')} in {volumes}, {summary['kept']:,} "
        f"({100 * summary['kept'] / len(slices):.1f} %) were kept."
    )
