"""The sweep itself: for each method the kept slices at many thresholds, and what follows from them."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ctprune import _core
from ctprune.environment.progress import Operation, ProgressCallback
from ctprune.errors import Interrupted
from ctprune.files.atomic import check_writable
from ctprune.manifest.derived import SWEEP_CONFIG_NAME, slices_digest
from ctprune.manifest.outside import check_outside_run
from ctprune.options.configure import configure
from ctprune.options.file import save_options
from ctprune.selection.methods import METHODS, Method
from ctprune.sweeping.agreement import EVERY_N, RANDOM, Sets, agreements, every_nth
from ctprune.sweeping.config import SweepConfig, SweepOptions
from ctprune.sweeping.diversity import SAMPLE, DiversityMeasures
from ctprune.sweeping.method import KeptSets, SweptMethod
from ctprune.sweeping.result import SWEEP_VERSION, Sweep, curve_table
from ctprune.sweeping.slices import SweptSlices

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: Module and class by what a method compares, imported when it is asked for: embeddings may need torch.
_SWEEPS = {
    "fingerprints": ("by_fingerprints", "FingerprintSweep"),
    "pixels": ("by_pixels", "PixelSweep"),
    "embeddings": ("by_embeddings", "EmbeddingSweep"),
    "points": ("by_points", "PointSweep"),
}

#: Fractions for which each method's threshold is looked up.
TARGETS = (0.5, 0.25, 0.1, 0.05)


def sweep(
    reduction: str | os.PathLike[str],
    config: SweepConfig | None = None,
    /,
    *,
    out: str | os.PathLike[str] | None = None,
    progress: ProgressCallback | None = None,
    **options: Unpack[SweepOptions],
) -> Sweep:
    """Count how many slices of a reduction each method keeps at each threshold.

    At every threshold the sweep keeps exactly the slices that `ctprune.reduce` keeps, with the reduction's order
    and intensity. A looser threshold can keep more slices (a slice that it drops may have covered others), so each
    target is the best of all thresholds.

    Args:
        reduction: Folder of a reduction, or its manifest.
        config: What to sweep; cannot be combined with single options.
        out: Folder for `sweep.parquet`, `sweep.png`, `sweep.svg`, `diversity.html` and `sweep.yaml`, the
            options. None writes nothing.
        progress: Called a few times a second with a `ctprune.Progress`. Stages: the methods (slices or
            thresholds), `writing`.
        options: Those of `ctprune.SweepConfig`, such as `methods=["hash", "ssim"]`.

    Raises:
        ConfigError: A method, threshold or option that cannot be used, or `out` lies inside a source.
        ManifestError: There is no manifest.
        SourceError: The reduction has no slice, or a file whose pixels are needed has vanished or changed.
        WeightsError: With `deep`, the weights are not there or cannot be used.
        MissingExtraError: With `deep`, the extra `train` is not installed.
        OutputError: `out` cannot be written.

    >>> import ctprune, tempfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = ctprune.phantom.write_archive(folder / "dicoms", patients=1, size=64)
    >>> _ = ctprune.reduce(folder / "dicoms", out=folder / "run")
    >>> result = ctprune.sweep(folder / "run")
    >>> thresholds, fractions = result.curve("hash")
    >>> int(thresholds[0]), int(thresholds[-1]), bool(fractions[0] > fractions[6] > fractions[-1])
    (0, 64, True)
    """
    config = configure(SweepConfig, config, options)
    slices = SweptSlices.load(reduction, config.scope)
    features = slices.manifest.config.get("features")
    swept = [_method(METHODS[name].on(features), config) for name in config.methods]
    chosen = {method.name: method.in_order(config.thresholds.get(method.name), slices) for method in swept}
    if out is not None:
        check_outside_run(out, reduction)
        check_writable(Path(out))
    try:
        operation = Operation(progress)
        kept = {method.name: method.keep(slices, chosen[method.name], operation) for method in swept}
        if out is not None:
            operation.report("writing")
    except KeyboardInterrupt:
        raise Interrupted("interrupted; no sweep was written") from None
    result = _result(slices, swept, chosen, kept)
    if out is not None:
        from ctprune.sweeping.diversity_page import save_diversity_page
        from ctprune.sweeping.plot import save_plots

        result.save(out)
        save_plots(result, Path(out))
        save_diversity_page(result, Path(out))
        save_options(config, Path(out, SWEEP_CONFIG_NAME))
    return result


def _method(described: Method, config: SweepConfig) -> SweptMethod:
    module, kind = _SWEEPS["points" if described.by_points else described.compares]
    method: SweptMethod = getattr(importlib.import_module(f"ctprune.sweeping.{module}"), kind)(described, config)
    return method


def _result(
    slices: SweptSlices,
    swept: list[SweptMethod],
    thresholds: dict[str, list[float]],
    kept: dict[str, KeptSets],
) -> Sweep:
    counts = {name: sets.counts for name, sets in kept.items()}
    targets, agreement, diversity = [], [], []
    measures = DiversityMeasures(slices, slices.folder)
    for keep in TARGETS:
        indices = {name: _core.nearest_kept(counts[name].tolist(), keep * len(slices)) or 0 for name in kept}
        for name, index in indices.items():
            count = int(counts[name][index])
            found = {"threshold": thresholds[name][index], "kept": count, "kept_fraction": count / len(slices)}
            targets.append({"method": name, "keep": keep} | found)
        sets: Sets = {name: kept[name].at(index) for name, index in indices.items()}
        agreement += agreements(keep, sets, slices)
        diversity += _diversity(keep, sets, slices, measures)
    about: dict[str, Any] = {
        "sweep_version": SWEEP_VERSION,
        "ctprune_version": _core.__version__,
        "manifest_digest": slices.manifest.digest(),
        "slices_digest": slices_digest([slices.rows], slices.manifest.config["intensity"]),
        "scope": slices.scope,
        "slices": len(slices),
        "volumes": len(slices.starts) - 1,
        "methods": [_about(method, kept[method.name]) for method in swept],
        "targets": targets,
        "agreement": agreement,
        "diversity_on": measures.features,
        "diversity_sample": SAMPLE,
        "diversity": diversity,
    }
    curves = {name: (thresholds[name], counts[name]) for name in kept}
    return Sweep(curve_table(curves, len(slices)), about)


def _diversity(keep: float, sets: Sets, slices: SweptSlices, measures: DiversityMeasures) -> list[dict[str, Any]]:
    """The measures of each method's kept slices near a fraction, and of the controls."""
    count = round(keep * len(slices)) or 1
    sample = np.random.default_rng(0).choice(len(slices), count, replace=False)
    controls = {EVERY_N: every_nth(slices, keep), RANDOM: np.isin(np.arange(len(slices)), sample)}
    return [
        {"method": name, "keep": keep, "is_control": name in controls, "kept": int(kept.sum())}
        | measures.of(kept).to_dict()
        for name, kept in (sets | controls).items()
        if kept.any()
    ]


def _about(method: SweptMethod, kept: KeptSets) -> dict[str, Any]:
    return {
        "name": method.name,
        "measure": method.measure.bound,
        "not_compared_so_kept": dict(kept.left_out),
        **kept.about,
    }
