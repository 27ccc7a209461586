"""From a run's manifest to a pre-trained backbone: pack, train, save, describe."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from ctprune.atomic import check_free, check_writable, replace_file
from ctprune.errors import ConfigError, ManifestError
from ctprune.extras import extra
from ctprune.manifest import Manifest
from ctprune.pretraining.config import PretrainConfig
from ctprune.pretraining.interruption import StopRequest
from ctprune.pretraining.settings import MocoSettings
from ctprune.store import SliceStore, build_store

with extra("train", "pre-training"):
    import torch
    import yaml
    from lightning_fabric import Fabric

    from ctprune.backbone import RESNETS, check_size, create_backbone, save_backbone
    from ctprune.pretraining.batches import StoreBatches
    from ctprune.pretraining.checkpoints import FILE_NAME, FOLDER_NAME
    from ctprune.pretraining.leakage import Excluded, excluded_rows
    from ctprune.pretraining.methods import create_method, in_step
    from ctprune.pretraining.model_card import write_model_card
    from ctprune.pretraining.peers import Peers, started_from_outside
    from ctprune.pretraining.probe import Probe
    from ctprune.pretraining.records import Records, import_wandb
    from ctprune.pretraining.training import PretrainProgress, ProgressCallback, Training
    from ctprune.pretraining.views import BatchViews, normalisation

BACKBONE_NAME, CONFIG_NAME, SUMMARY_NAME = "backbone.safetensors", "config.yaml", "summary.json"

_PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


@dataclass(frozen=True, kw_only=True)
class PretrainResult:
    """A finished pre-training.

    Attributes:
        folder: Where it lies.
        backbone: File of the backbone's weights, for `ctprune.load_backbone`.
        summary: What `summary.json` says.
    """

    folder: Path
    backbone: Path
    summary: dict[str, Any] = field(default_factory=dict)


def pretrain(
    run: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str],
    config: PretrainConfig | None = None,
    preset: str | None = None,
    resume: bool = False,
    progress: ProgressCallback | None = None,
    **options: Any,
) -> PretrainResult:
    """Pre-train a backbone by contrastive learning on the slices of a run.

    Args:
        run: Folder of a reduction.
        out: Folder of the result: `backbone.safetensors`, `README.md`, `config.yaml`, `summary.json`, logs and
            the last checkpoint. New or empty, unless `resume`.
        config: The whole configuration; excludes `preset` and options.
        preset: `paper` (default), `small` or `smoke`.
        resume: Go on from the checkpoint in `out`, if there is one. What is finished is not done again.
        progress: Called after every step.
        options: Options of `ctprune.PretrainConfig` that differ from the preset's.

    Raises:
        ConfigError: An option cannot be used.
        ManifestError: There is no run, or it has no such slice.
        SourceError: None of the slices can be read any more.
        OutputError: `out` holds something else, or cannot be written.
        WeightsError: A file of weights or the checkpoint cannot be used.
        TrainingError: The loss is not a number any more.
        Interrupted: Ctrl-C or SIGTERM; a checkpoint is there to go on from.
        MissingExtraError: The extra `train` is not installed.
    """
    if config is None:
        config = PretrainConfig.resolve(options, preset_name=preset)
    elif options or preset:
        raise ConfigError("config excludes preset and single options: change the configuration instead")
    return Pretraining(Path(run), Path(out), config, resume=resume, progress=progress).carry_out()


class Pretraining:
    """One pre-training from the manifest to the model card. `pretrain` is the short form."""

    def __init__(
        self,
        run: Path,
        out: Path,
        config: PretrainConfig,
        *,
        resume: bool = False,
        progress: ProgressCallback | None = None,
        note: Callable[[str], None] | None = None,
    ) -> None:
        self.run = run
        self.out = out
        self.config = config
        self._progress = progress or (lambda _: None)
        self._note = note or (lambda _: None)
        self._checkpoint = out / FOLDER_NAME / FILE_NAME
        # Killed before its first checkpoint, nothing of a training is worth keeping: it begins again.
        self._resume = resume and (self._checkpoint.is_file() or (out / SUMMARY_NAME).is_file())
        if not (resume and (out / CONFIG_NAME).is_file()):
            check_free(out)

    def carry_out(self) -> PretrainResult:
        """Do all steps."""
        manifest = Manifest.load(self.run)
        if self._resume and (self.out / SUMMARY_NAME).is_file():
            return self._finished(manifest)
        config = self.config
        if config.wandb:
            import_wandb()
        count, precision = _device_count(config), _precision(config)
        _check_queue(config, count)
        close = self._close_to_others(manifest)
        order = {"run": str(self.run), "out": str(self.out), "config": config.to_dict(), "resume": self._resume}
        store = None
        if not started_from_outside():
            # What can go wrong shall go wrong before there are others, who would wait.
            if count > 1:
                self._create_backbone()
            check_writable(self.out)
            store = self._pack(close)
        with Peers(count, order):
            return self._train(manifest, store, close, _create_fabric(count, precision))

    def _train(
        self, manifest: Manifest, store: SliceStore | None, close: Excluded | None, fabric: Fabric
    ) -> PretrainResult:
        config = self.config
        fabric.launch()
        torch.manual_seed(config.seed)
        method = create_method(config, self._create_backbone())
        if fabric.world_size > 1 and fabric.device.type == "cuda":
            method = in_step(method)
        if store is None and fabric.is_global_zero:
            store = self._pack(close)
        fabric.barrier()
        if store is None:
            store = self._pack(close)
        rows = None if close is None else np.flatnonzero(~np.isin(store.rows, close.rows)).astype(np.int64)
        excluded = self._excluded(manifest, close)
        mean, std = normalisation(store, config.views)
        notes = _notes(config, len(store) if rows is None else len(rows))
        if fabric.is_global_zero:
            for note in notes:
                self._note(note)
        training = Training(
            config,
            method,
            StoreBatches(
                store,
                config.batch_size,
                config.seed,
                rank=fabric.global_rank,
                world_size=fabric.world_size,
                rows=rows,
                device=fabric.device,
            ),
            BatchViews(config.views, mean, std),
            fabric,
            checkpoint=self._checkpoint,
            digest=_digest(store, rows),
            probe=self._create_probe(store, mean, std),
            progress=self._progress,
        )
        if self._resume:
            training.resume()
        with StopRequest() as stop:
            records = self._records(training) if fabric.is_global_zero else None
            try:
                training.run(records, stop)
            finally:
                if records is not None:
                    records.close()
        facts = self._facts(manifest, store, training, rows, excluded, mean, std) | {"notes": notes}
        if fabric.is_global_zero:
            self._write(training, facts)
        fabric.barrier()
        return self._result(facts)

    def _close_to_others(self, manifest: Manifest) -> Excluded | None:
        if not self.config.exclude:
            return None
        return excluded_rows(manifest, self.config.exclude, threshold=self.config.exclude_threshold)

    def _create_backbone(self) -> torch.nn.Module:
        config = self.config
        backbone = create_backbone(config.backbone, config.weights)
        if config.backbone not in RESNETS:
            for crop in config.views.crops:
                check_size(backbone, config.backbone, crop.size)
        return backbone

    def _pack(self, close: Excluded | None) -> SliceStore:
        config = self.config
        return build_store(
            self.run,
            use=config.use,
            side=config.side,
            depth=config.depth,
            seed=config.seed,
            # A sample loses nothing to the exclusion, or it would be smaller than what it is the control of.
            without=None if close is None else close.rows,
            threads=config.threads,
            progress=lambda done, total: self._progress(PretrainProgress(stage="packing", done=done, total=total)),
        )

    def _excluded(self, manifest: Manifest, close: Excluded | None) -> dict[str, Any]:
        """What was excluded, of the kept slices or of all that a sample could be drawn from."""
        if close is None:
            return {}
        kept = np.flatnonzero(pc.equal(manifest.table["status"], "kept").to_numpy())
        of_use = np.isin(close.rows, kept) if self.config.use == "kept" else np.ones(len(close.rows), bool)
        return {
            "sources": [Path(source).name for source in self.config.exclude],
            "threshold": close.threshold,
            "slices": int(of_use.sum()),
        }

    def _create_probe(self, store: SliceStore, mean: float, std: float) -> Probe | None:
        if self.config.probe is None:
            return None
        return Probe(self.config.probe, store, window=self.config.views.window, mean=mean, std=std)

    def _records(self, training: Training) -> Records:
        with replace_file(self.out / CONFIG_NAME) as beside:
            beside.write_text(yaml.safe_dump(self.config.to_dict(), sort_keys=False))
        wandb = without_paths(self.config.to_dict()) if self.config.wandb else None
        return Records(self.out, training.lines, wandb)

    def _facts(
        self,
        manifest: Manifest,
        store: SliceStore,
        training: Training,
        rows: npt.NDArray[np.int64] | None,
        excluded: dict[str, Any],
        mean: float,
        std: float,
    ) -> dict[str, Any]:
        config = self.config
        losses = [line["loss"] for line in training.lines if "loss" in line]
        images = training.step * config.batch_size * config.accumulate * training._fabric.world_size
        last = {name: value for line in training.lines for name, value in line.items()}
        return {
            "method": config.method,
            "backbone": config.backbone,
            "mean": mean,
            "std": std,
            "intensity": config.views.window.intensity if config.views.window else store.intensity,
            "side": config.side,
            "use": config.use,
            "slices": len(store) if rows is None else len(rows),
            "epochs": training.epochs,
            "steps": training.step,
            "seconds": round(training.seconds, 3),
            "manifest_digest": store.manifest_digest,
            "reduction": manifest.config,
            "left_out": store.left_out,
            "excluded": excluded,
            "settings": config.to_dict(),
            "images_per_second": round(images / training.seconds, 2),
            "final_loss": losses[-1],
            "rankme": last.get("rankme"),
            "knn_accuracy": last.get("knn_accuracy"),
            "alarms": training.alarms,
            "seed": config.seed,
            "device": _device_name(training._fabric.device),
            "devices": training._fabric.world_size,
            "precision": training._fabric.strategy.precision.precision,
        }

    def _write(self, training: Training, facts: dict[str, Any]) -> None:
        save_backbone(
            training.method.backbone,
            self.out / BACKBONE_NAME,
            name=self.config.backbone,
            metadata=_portable(facts),
        )
        write_model_card(self.out, facts, training.lines)
        with replace_file(self.out / SUMMARY_NAME) as beside:
            beside.write_text(json.dumps(facts, indent=2) + "\n")

    def _finished(self, manifest: Manifest) -> PretrainResult:
        facts = load_pretrain_summary(self.out)
        made = PretrainConfig.from_dict(facts["settings"])
        if made.deciding() != self.config.deciding() or facts["manifest_digest"] != manifest.digest():
            raise ConfigError(
                f"{self.out} holds a finished pre-training with other options or of another run: choose "
                "another --out"
            )
        return self._result(facts)

    def _result(self, facts: dict[str, Any]) -> PretrainResult:
        return PretrainResult(folder=self.out, backbone=self.out / BACKBONE_NAME, summary=facts)


def load_pretrain_summary(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The summary of a finished pre-training's folder.

    Raises:
        ManifestError: The folder holds none.
    """
    try:
        return dict(json.loads((Path(folder) / SUMMARY_NAME).read_text()))
    except (OSError, ValueError):
        raise ManifestError(
            f"{folder}: expected the folder of a pre-training with {SUMMARY_NAME}, found none"
        ) from None


def _portable(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What goes into the file of weights, which travels: no paths of this machine."""
    left_out = ("backbone", "reduction", "left_out")
    portable = {name: value for name, value in facts.items() if name not in left_out}
    return {**portable, "settings": without_paths(facts["settings"])}


def without_paths(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options without the paths of this machine, which may hold names."""
    return {**options, "exclude": [], "probe": None, "weights": None}


def _digest(store: SliceStore, rows: npt.NDArray[np.int64] | None) -> str:
    """Tells which slices are trained on, in which order they are stored."""
    used = store.rows if rows is None else store.rows[rows]
    return hashlib.sha256(store.manifest_digest.encode() + used.tobytes()).hexdigest()


def _device_count(config: PretrainConfig) -> int:
    """How many processes train, each with a device of its own."""
    gpus = torch.cuda.device_count()
    if gpus and config.devices > gpus:
        raise ConfigError(f"--devices {config.devices}: expected up to {gpus}, the number of GPUs here")
    return config.devices or max(gpus, 1)


def _check_queue(config: PretrainConfig, processes: int) -> None:
    keys = config.batch_size * processes
    if isinstance(config.settings, MocoSettings) and config.settings.queue % keys:
        raise ConfigError(
            f"settings.queue {config.settings.queue}: expected a multiple of {keys}, the batch of all devices "
            "together: else keys would be lost where the queue begins again"
        )


def _notes(config: PretrainConfig, slices: int) -> list[str]:
    """What can be done, but may not be what is wanted."""
    queue = getattr(config.settings, "queue", 0)
    if queue <= slices:
        return []
    return [
        f"the queue of {queue:,} keys is longer than an epoch of {slices:,} slices: it holds each slice's own "
        f"earlier keys, as negatives, about {queue / slices:.1f} times; a shorter one is set in a file: "
        "settings: {queue: …}"
    ]


def _precision(config: PretrainConfig) -> str:
    gpu = torch.cuda.is_available()
    if config.precision == "fp16" and not gpu:
        raise ConfigError("--precision fp16 needs a GPU: take 32 or bf16")
    if config.precision != "auto":
        return config.precision
    return "32" if not gpu else "bf16" if torch.cuda.is_bf16_supported() else "fp16"


def _create_fabric(processes: int, precision: str) -> Fabric:
    # It announces every process on stderr.
    logging.getLogger("lightning_fabric.utilities.rank_zero").setLevel(logging.WARNING)
    return Fabric(
        accelerator="cuda" if torch.cuda.is_available() else "cpu",
        devices=processes,
        strategy="ddp" if processes > 1 else "auto",
        precision=_PRECISIONS[precision],  # type: ignore[arg-type]
    )


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
