"""Pick the CT slices worth pre-training on, straight from a DICOM archive.

The main entry points are `reduce` (an archive to a manifest) and `Manifest`; `dhash`, `hamming` and
`select_exemplars` are its parts, `read_volume` reads one volume in Hounsfield units.
"""

from __future__ import annotations

import importlib

# Spelled out, since to import typing takes longer than the rest: the program's start passes through here.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ctprune import phantom
    from ctprune._core import __version__
    from ctprune.comparison.compare import compare
    from ctprune.comparison.comparison import Comparison
    from ctprune.errors import (
        ConfigError,
        CtpruneError,
        EvaluationError,
        Interrupted,
        InUseError,
        ManifestError,
        MissingExtraError,
        OutputError,
        SourceError,
        StoreError,
        TaskError,
        TrainingError,
        UnreadableError,
        WeightsError,
    )
    from ctprune.experiment.run import ExperimentResult, run_experiment
    from ctprune.finetuning.prediction import Predictions, predict
    from ctprune.finetuning.result import FinetuneResult
    from ctprune.finetuning.run import finetune
    from ctprune.manifest.manifest import Manifest
    from ctprune.networks.backbone import load_backbone
    from ctprune.pretraining.config import PretrainConfig
    from ctprune.pretraining.run import PretrainResult, pretrain
    from ctprune.reduction.config import ReduceConfig
    from ctprune.reduction.export import ExportConfig, Exported, export_kept
    from ctprune.reduction.read import Volume, read_volume
    from ctprune.reduction.reduction import Progress, reduce
    from ctprune.report.report import Report, write_report
    from ctprune.selection.cosine import CosineSelection, cosine_exemplars
    from ctprune.selection.exemplars import Selection, select_exemplars
    from ctprune.selection.fingerprint import dhash, hamming
    from ctprune.selection.similarity import mutual_information, ssim
    from ctprune.store.store import SliceStore, build_store, open_store
    from ctprune.sweeping import Sweep, sweep

# Imported when first used: `ctprune --help` must not wait for numpy and pyarrow.
_HOMES = {
    "_core": ["__version__"],
    "networks.backbone": ["load_backbone"],
    "comparison.compare": ["compare"],
    "comparison.comparison": ["Comparison"],
    "reduction.config": ["ReduceConfig"],
    "selection.cosine": ["CosineSelection", "cosine_exemplars"],
    "errors": [
        "ConfigError",
        "CtpruneError",
        "EvaluationError",
        "InUseError",
        "Interrupted",
        "ManifestError",
        "MissingExtraError",
        "OutputError",
        "SourceError",
        "StoreError",
        "TaskError",
        "TrainingError",
        "UnreadableError",
        "WeightsError",
    ],
    "experiment.run": ["ExperimentResult", "run_experiment"],
    "reduction.export": ["ExportConfig", "Exported", "export_kept"],
    "finetuning.prediction": ["Predictions", "predict"],
    "finetuning.result": ["FinetuneResult"],
    "finetuning.run": ["finetune"],
    "selection.fingerprint": ["dhash", "hamming"],
    "manifest.manifest": ["Manifest"],
    "pretraining.config": ["PretrainConfig"],
    "pretraining.run": ["PretrainResult", "pretrain"],
    "reduction.read": ["Volume", "read_volume"],
    "reduction.reduction": ["Progress", "reduce"],
    "report.report": ["Report", "write_report"],
    "selection.exemplars": ["Selection", "select_exemplars"],
    "selection.similarity": ["mutual_information", "ssim"],
    "store.store": ["SliceStore", "build_store", "open_store"],
    "sweeping": ["Sweep", "sweep"],
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Comparison",
    "ConfigError",
    "CosineSelection",
    "CtpruneError",
    "EvaluationError",
    "ExperimentResult",
    "ExportConfig",
    "Exported",
    "FinetuneResult",
    "InUseError",
    "Interrupted",
    "Manifest",
    "ManifestError",
    "MissingExtraError",
    "OutputError",
    "Predictions",
    "PretrainConfig",
    "PretrainResult",
    "Progress",
    "ReduceConfig",
    "Report",
    "Selection",
    "SliceStore",
    "SourceError",
    "StoreError",
    "Sweep",
    "TaskError",
    "TrainingError",
    "UnreadableError",
    "Volume",
    "WeightsError",
    "__version__",
    "build_store",
    "compare",
    "cosine_exemplars",
    "dhash",
    "export_kept",
    "finetune",
    "hamming",
    "load_backbone",
    "mutual_information",
    "open_store",
    "phantom",
    "predict",
    "pretrain",
    "read_volume",
    "reduce",
    "run_experiment",
    "select_exemplars",
    "ssim",
    "sweep",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name == "phantom":
        return importlib.import_module("ctprune.phantom")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'ctprune' has no attribute {name!r}")
    return getattr(importlib.import_module(f"ctprune.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
