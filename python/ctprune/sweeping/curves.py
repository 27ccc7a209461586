"""The sweep itself: for each method the kept slices at many thresholds, and what follows from them."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctprune import _core
from ctprune.environment.threads import check_threads
from ctprune.errors import ConfigError, Interrupted
from ctprune.files.atomic import check_writable
from ctprune.manifest.derived import slices_digest
from ctprune.reduction.config import SCOPES
from ctprune.sweeping.agreement import Sets, agreements
from ctprune.sweeping.method import KeptSets, SweepOptions, SweptMethod
from ctprune.sweeping.result import SWEEP_VERSION, Sweep, curve_table
from ctprune.sweeping.slices import SweptSlices

#: Module and class of each method, imported when it is asked for: `deep` may need torch.
METHODS = {
    "hash": ("by_hash", "HashSweep"),
    "ssim": ("by_pixels", "SsimSweep"),
    "mi": ("by_pixels", "MutualInformationSweep"),
    "deep": ("by_deep", "DeepSweep"),
}

#: Fractions for which each method's threshold is looked up.
TARGETS = (0.5, 0.25, 0.1, 0.05)

#: Called with the method and what of it is done, of how much.
SweepProgress = Callable[[str, int, int], None]


def sweep(
    run: str | os.PathLike[str],
    *,
    methods: Sequence[str] = ("hash",),
    thresholds: Mapping[str, Sequence[float]] | None = None,
    scope: str | None = None,
    out: str | os.PathLike[str] | None = None,
    weights: str | os.PathLike[str] | None = None,
    download: bool = False,
    threads: int = 0,
    progress: SweepProgress | None = None,
) -> Sweep:
    """Find out how many slices of a run each method keeps at each threshold.

    At every threshold exactly the slices are kept that `ctprune.reduce` keeps with it, in the run's order
    and with its intensity. The number kept need not fall as the rule gets looser (a slice that goes may have
    covered others), so targets are looked up among all thresholds.

    Args:
        run: Folder of a finished run, or its manifest.
        methods: Some of `hash`, `ssim`, `mi`, `deep`. `hash` reads no pixel, `ssim` and `mi` read each once,
            within volumes only; `deep` takes the embeddings beside the manifest, and makes those that are missing.
        thresholds: For some of the methods those to try. Default: all radii with `hash`, else those
            among which `--keep` chooses.
        scope: Compare slices within their `volume` or within the whole `dataset`; default: as the run did.
        out: Folder for `sweep.parquet`, `sweep.png` and `sweep.svg`. None writes nothing.
        weights: With `deep`, the backbone's file; default the run's.
        download: With `deep`, fetch torchvision's ResNet-50 where it is not on disk.
        threads: Number of threads, 0 for one per core; the result does not depend on it.
        progress: Called after each step.

    Raises:
        ConfigError: A method, threshold or option that cannot be used.
        ManifestError: There is no manifest.
        SourceError: The run has no slice, or a file whose pixels are needed has vanished or changed.
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
    check_threads(threads)
    _check_options(methods, thresholds or {}, scope, weights, download)
    slices = SweptSlices.load(run, scope)
    options = SweepOptions(
        threads=threads, weights=None if weights is None else os.fspath(weights), download=download
    )
    swept = [_method(name, options) for name in dict.fromkeys(methods)]
    chosen = {method.name: method.in_order((thresholds or {}).get(method.name), slices) for method in swept}
    if out is not None:
        check_writable(Path(out))
    try:
        kept = {method.name: _keep(method, slices, chosen[method.name], progress) for method in swept}
    except KeyboardInterrupt:
        raise Interrupted("interrupted; no sweep was written") from None
    result = _result(slices, swept, chosen, kept)
    if out is not None:
        from ctprune.sweeping.plot import save_plots

        result.save(out)
        save_plots(result, Path(out))
    return result


def _check_options(
    methods: Sequence[str],
    thresholds: Mapping[str, Sequence[float]],
    scope: str | None,
    weights: object,
    download: bool,
) -> None:
    if isinstance(methods, str) or not methods:
        raise ConfigError(f"methods {methods!r}: expected a sequence of at least one of {', '.join(METHODS)}")
    for method in methods:
        if method not in METHODS:
            raise ConfigError(f"--method {method}: expected one of {', '.join(METHODS)}")
    for method in thresholds:
        if method not in methods:
            raise ConfigError(f"--thresholds {method}=…: {method} is not among the methods {', '.join(methods)}")
    if scope is not None and scope not in SCOPES:
        raise ConfigError(f"--scope {scope}: expected one of {', '.join(SCOPES)}")
    if weights is not None and download:
        raise ConfigError("--weights and --download exclude each other: give one of them")
    if (weights is not None or download) and "deep" not in methods:
        raise ConfigError(f"--{'download' if download else 'weights'} belongs to --method deep")


def _method(name: str, options: SweepOptions) -> SweptMethod:
    module, kind = METHODS[name]
    method: SweptMethod = getattr(importlib.import_module(f"ctprune.sweeping.{module}"), kind)(options)
    return method


def _keep(
    method: SweptMethod, slices: SweptSlices, thresholds: Sequence[float], progress: SweepProgress | None
) -> KeptSets:
    def ticks(done: int, of: int) -> None:
        if progress is not None:
            progress(method.name, done, of)

    return method.keep(slices, thresholds, ticks)


def _result(
    slices: SweptSlices,
    swept: list[SweptMethod],
    thresholds: dict[str, list[float]],
    kept: dict[str, KeptSets],
) -> Sweep:
    counts = {name: sets.counts for name, sets in kept.items()}
    targets, agreement = [], []
    for keep in TARGETS:
        places = {name: nearest(counts[name], keep * len(slices)) for name in kept}
        for name, place in places.items():
            count = int(counts[name][place])
            found = {"threshold": thresholds[name][place], "kept": count, "kept_fraction": count / len(slices)}
            targets.append({"method": name, "keep": keep} | found)
        sets: Sets = {name: kept[name].at(place) for name, place in places.items()}
        agreement += agreements(keep, sets, slices)
    about: dict[str, Any] = {
        "sweep_version": SWEEP_VERSION,
        "ctprune_version": _core.__version__,
        "manifest_digest": slices.manifest.digest(),
        "slices_digest": slices_digest(slices.table.to_batches(), slices.manifest.config["intensity"]),
        "scope": slices.scope,
        "slices": len(slices),
        "volumes": len(slices.volume_starts) - 1,
        "methods": [_about(method, kept[method.name]) for method in swept],
        "targets": targets,
        "agreement": agreement,
    }
    curves = {name: (thresholds[name], counts[name]) for name in kept}
    return Sweep(curve_table(curves, len(slices)), about)


def nearest(counts: npt.NDArray[np.int64], wanted: float) -> int:
    """The place whose count comes nearest to `wanted`, ties to the first; counts need not fall.

    >>> nearest(np.array([9, 4, 5, 1]), 4.6)
    2
    """
    return int(np.argmin(np.abs(counts - wanted)))


def _about(method: SweptMethod, kept: KeptSets) -> dict[str, Any]:
    return {
        "name": method.name,
        "measure": method.measure,
        "not_compared_so_kept": dict(kept.left_out),
        **kept.about,
    }
