"""From a run's manifest to a pre-trained backbone: pack, train, save, describe."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from ctprune.environment.extras import extra
from ctprune.errors import ConfigError, InUseError, ManifestError, StoreError
from ctprune.files.atomic import check_free, check_writable, replace_file
from ctprune.files.run_lock import sole_writer
from ctprune.manifest.manifest import Manifest, manifest_path
from ctprune.pretraining.config import RATE_BATCH, PretrainConfig
from ctprune.pretraining.interruption import StopRequest, ending_like_ctrl_c
from ctprune.pretraining.launch import SRUN, Launch, find_launch, is_first_process, started_together
from ctprune.pretraining.settings import MocoSettings
from ctprune.reading.modalities import modalities
from ctprune.store.store import SliceStore, build_store, open_store

with extra("train", "pre-training"):
    import torch
    import yaml
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment

    from ctprune.networks.backbone import RESNETS, check_size, create_backbone, save_backbone
    from ctprune.pretraining.batches import StoreBatches
    from ctprune.pretraining.checkpoints import FOLDER_NAME, checkpoint_files
    from ctprune.pretraining.leakage import Excluded, excluded_rows
    from ctprune.pretraining.methods import create_method, in_step
    from ctprune.pretraining.model_card import write_model_card
    from ctprune.pretraining.peers import Peers, say_to_all
    from ctprune.pretraining.probe import Probe
    from ctprune.pretraining.records import Records, import_wandb
    from ctprune.pretraining.training import PretrainProgress, ProgressCallback, Training
    from ctprune.pretraining.views import BatchViews, normalisation

BACKBONE_NAME, CONFIG_NAME, SUMMARY_NAME = "backbone.safetensors", "config.yaml", "summary.json"

#: Seconds between two looks at a folder that another process holds.
_WAIT = 1.0

#: Seconds that a network's file system may take to show a folder that another machine has written.
_PATIENCE = 60.0

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
            the last checkpoints. New or empty, unless `resume`.
        config: The whole configuration; excludes `preset` and options.
        preset: `paper` (default), `vit`, `small` or `smoke`.
        resume: Go on from the checkpoint in `out`, if there is one. What is finished is not done again.
        progress: Called after every step.
        options: Options of `ctprune.PretrainConfig` that differ from the preset's.

    Raises:
        ConfigError: An option cannot be used.
        ManifestError: There is no run, or it has no such slice.
        SourceError: None of the slices can be read any more.
        OutputError: `out` holds something else, or cannot be written.
        InUseError: Another process writes to `out`.
        WeightsError: A file of weights or the checkpoint cannot be used.
        TrainingError: The loss is not a number any more.
        Interrupted: Ctrl-C, SIGTERM or SIGHUP during the training; a checkpoint is there to go on from.
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
        launch: Launch | None = None,
    ) -> None:
        self.run = run
        self.out = out
        self.config = config
        self._progress = progress or (lambda _: None)
        self._note = note or (lambda _: None)
        self._checkpoints = out / FOLDER_NAME
        self._asked_to_resume = resume
        # Killed before its first checkpoint, nothing of a training is worth keeping: it begins again.
        self._resume = resume and bool(checkpoint_files(self._checkpoints) or (out / SUMMARY_NAME).is_file())
        # Where this process stands among those that train together, for one that another has started.
        self._launch = launch
        # Whether it is the one that speaks.
        self._first = is_first_process() if launch is None else launch.is_first
        # What is held until the end.
        self._held = ExitStack()

    def carry_out(self) -> PretrainResult:
        """Do all steps."""
        with ending_like_ctrl_c(), self._held:
            return self._carry_out()

    def _carry_out(self) -> PretrainResult:
        manifest = Manifest.load(self.run)
        if self._resume and (self.out / SUMMARY_NAME).is_file():
            return self._finished(manifest)
        config = self.config
        if config.wandb:
            import_wandb()
        launch = self._launch or find_launch(_device_count(config), config.nodes)
        precision = _precision(config)
        _check_queue(config, launch.processes)
        if launch.starts_all:
            self._take_out()
        close = self._close_to_others(manifest)
        order = {"run": str(self.run), "out": str(self.out), "config": config.to_dict(), "resume": self._resume}
        store = None
        if launch.starts_all:
            # What can go wrong shall go wrong before there are others, who would wait.
            if launch.processes > 1:
                self._create_backbone()
            store = self._pack(close)
        with Peers(launch, order) as peers:
            fabric = _create_fabric(launch, precision, peers.environment())
            fabric.launch()
            store = self._packed_by_first(store, close, fabric)
            return self._train(manifest, store, close, fabric)

    def _take_out(self) -> None:
        """Hold the folder of the result against others, and see that it is free, or this training's."""
        check_writable(self.out)
        self._held.enter_context(sole_writer(self.out))
        if not (self._asked_to_resume and (self.out / CONFIG_NAME).is_file()):
            check_free(self.out)

    def _train(
        self, manifest: Manifest, store: SliceStore, close: Excluded | None, fabric: Fabric
    ) -> PretrainResult:
        config = self.config
        torch.manual_seed(config.seed)
        method = create_method(config, self._create_backbone())
        if fabric.world_size > 1 and fabric.device.type == "cuda":
            method = in_step(method)
        if store.manifest_digest != manifest.digest():
            raise ManifestError(f"{self.run} was reduced again in the meantime: give the same command again")
        rows = None if close is None else np.flatnonzero(~np.isin(store.rows, close.rows)).astype(np.int64)
        excluded = self._excluded(manifest, close)
        mean, std = normalisation(store, config.views)
        notes = _notes(config, len(store) if rows is None else len(rows))
        for sentence in notes:
            self._say(sentence)
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
            checkpoints=self._checkpoints,
            digest=_digest(store, rows),
            probe=self._create_probe(store, mean, std),
            progress=self._progress,
            note=self._say,
        )
        self._say(_rates(config, training.rate_factor, fabric.world_size))
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

    def _packed_by_first(self, store: SliceStore | None, close: Excluded | None, fabric: Fabric) -> SliceStore:
        """The store, packed by the first process if it is not yet; the others wait and open it.

        The first one also says whether there is a checkpoint to go on from: of a network's file system the others
        may see an older state.
        """
        if fabric.world_size == 1:
            assert store is not None
            return store

        def pack() -> tuple[str, bool]:
            nonlocal store
            if store is None:
                self._take_out()
                store = self._pack(close)
            return store.folder.name, self._resume

        name, self._resume = say_to_all(pack, fabric)
        return store or self._open_packed(manifest_path(self.run).parent / name)

    def _open_packed(self, folder: Path) -> SliceStore:
        """Open what another process has packed, whose files a network's file system may show a little later."""
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                # The first process has compared the checksums.
                return open_store(folder, verify=False)
            except StoreError as error:
                if time.monotonic() > until:
                    raise StoreError(
                        f"{error}, but the first process has written it: is {self.run} the same folder on all "
                        "machines?"
                    ) from None
            time.sleep(_WAIT)

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

    def _pack(self, close: Excluded | None, *, verify: bool = True) -> SliceStore:
        waited = False
        while True:
            try:
                return self._build_store(close, verify=verify)
            except InUseError:
                # Trainings that start together pack once: the others wait for the first.
                if not waited:
                    self._say(f"{self.run} is in use by another ctprune: waiting until it is done")
                waited = True
                time.sleep(_WAIT)

    def _build_store(self, close: Excluded | None, *, verify: bool) -> SliceStore:
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
            verify=verify,
            note=self._say,
        )

    def _say(self, sentence: str) -> None:
        if self._first:
            self._note(sentence)

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
        return Probe(
            self.config.probe,
            store,
            window=self.config.views.window,
            mean=mean,
            std=std,
            patient_pattern=self.config.probe_patient_pattern,
        )

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
            "slices_per_step": config.batch_size * config.accumulate * training._fabric.world_size,
            "learning_rate": training.rate_factor * config.learning_rate,
            "teacher_momentum": getattr(training.method, "momentum", None),
            "seconds": round(training.seconds, 3),
            "manifest_digest": store.manifest_digest,
            "reduction": manifest.config,
            "modalities": modalities(manifest.table),
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
            training.method.exported,
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
        by_task = started_together()[0] == SRUN
        hint = ": give srun --gpus-per-node, so that each task sees all of them" if by_task else ""
        raise ConfigError(f"--devices {config.devices}: expected up to {gpus}, the number of GPUs here{hint}")
    return config.devices or max(gpus, 1)


def _check_queue(config: PretrainConfig, processes: int) -> None:
    together, queue = config.batch_size * processes, getattr(config.settings, "queue", 0)
    if queue % together:
        raise ConfigError(
            f"settings.queue {queue}: expected a multiple of {together}, the batch of all devices together: else "
            "some would be lost where the queue begins again"
        )


def _notes(config: PretrainConfig, slices: int) -> list[str]:
    """What can be done, but may not be what is wanted."""
    if not isinstance(config.settings, MocoSettings) or config.settings.queue <= slices:
        return []
    queue = config.settings.queue
    return [
        f"the queue of {queue:,} keys is longer than an epoch of {slices:,} slices: it holds each slice's own "
        f"earlier keys, as negatives, about {queue / slices:.1f} times; a shorter one is set in a file: "
        "settings: {queue: …}"
    ]


def _rates(config: PretrainConfig, factor: float, devices: int) -> str:
    """The learning rate that is used, and where it comes from."""
    rate = f"learning rate {factor * config.learning_rate:.6g}"
    if config.rate_scaling == "none":
        return f"{rate}, whatever the batch"
    slices = config.batch_size * config.accumulate * devices
    how = "times" if config.rate_scaling == "linear" else "times the square root of"
    return f"{rate}: {config.learning_rate:g} {how} {slices:,} / {RATE_BATCH} slices per optimizer step"


def _precision(config: PretrainConfig) -> str:
    gpu = torch.cuda.is_available()
    if config.precision == "fp16" and not gpu:
        raise ConfigError("--precision fp16 needs a GPU: take 32 or bf16")
    if config.precision != "auto":
        return config.precision
    return "32" if not gpu else "bf16" if torch.cuda.is_bf16_supported() else "fp16"


def _create_fabric(launch: Launch, precision: str, environment: ClusterEnvironment) -> Fabric:
    # It announces every process on stderr.
    for name in ("rank_zero", "distributed"):
        logging.getLogger(f"lightning_fabric.utilities.{name}").setLevel(logging.WARNING)
    return Fabric(
        accelerator="cuda" if torch.cuda.is_available() else "cpu",
        devices=launch.devices,
        num_nodes=launch.nodes,
        strategy="ddp" if launch.processes > 1 else "auto",
        plugins=[environment],
        precision=_PRECISIONS[precision],  # type: ignore[arg-type]
    )


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
