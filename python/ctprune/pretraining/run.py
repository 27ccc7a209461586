"""From a reduction's manifest to a pre-trained backbone: pack, train, save, describe."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning_fabric import Fabric

from ctprune.environment.ending import ending_like_ctrl_c
from ctprune.environment.progress import Operation, ProgressCallback
from ctprune.errors import ConfigError, InUseError, ManifestError, OutputError, StoreError
from ctprune.files.atomic import check_free, check_writable, replace_file
from ctprune.files.run_lock import sole_writer
from ctprune.manifest.manifest import Manifest, manifest_path
from ctprune.manifest.outside import check_outside_run
from ctprune.networks.architectures import check_size
from ctprune.networks.backbone import BACKBONE_NAME, create_backbone, save_backbone
from ctprune.networks.device import choose_device, choose_precision
from ctprune.options.configure import configure
from ctprune.options.file import write_yaml
from ctprune.overlapping.excluded import Excluded, excluded_rows
from ctprune.pretraining.batches import StoreBatches
from ctprune.pretraining.checkpoints import FOLDER_NAME, checkpoint_files
from ctprune.pretraining.config import PretrainConfig, PretrainOptions
from ctprune.pretraining.devices import check_queue, create_fabric, device_count
from ctprune.pretraining.launch import Launch, find_launch, is_first_process
from ctprune.pretraining.methods import create_method, sync_batchnorm
from ctprune.pretraining.model_card import write_model_card
from ctprune.pretraining.probe import Probe, check_folder
from ctprune.pretraining.records import Records, import_wandb
from ctprune.pretraining.result import (
    SUMMARY_NAME,
    PretrainResult,
    facts_of,
    load_pretrain_summary,
    notes_on,
    portable,
    rates_sentence,
    shown_intensity,
    without_paths,
)
from ctprune.pretraining.training import TrainingLoop
from ctprune.pretraining.unchanged import refuse_changes_since
from ctprune.pretraining.used_slices import UsedSlices
from ctprune.pretraining.views import BatchViews, normalization
from ctprune.pretraining.workers import Workers, made_by_first
from ctprune.sources.addresses import as_address
from ctprune.store.store import SliceStore, build_store, open_store

if TYPE_CHECKING:
    from typing_extensions import Unpack

CONFIG_NAME = "config.yaml"

#: The moving average of the weights, and the folder of the backbones that are kept on the way.
AVERAGE_NAME, BACKBONES_FOLDER = "backbone-average.safetensors", "backbones"

#: Where slices of a reduction in an object store are packed, in the training's folder.
_PACKED = "packed"

#: Seconds between two looks at a folder that another process holds.
_WAIT = 1.0

#: Seconds that a network's file system may take to show a folder that another machine has written.
_PATIENCE = 60.0


def pretrain(
    reduction: str | os.PathLike[str],
    config: PretrainConfig | None = None,
    /,
    *,
    out: str | os.PathLike[str],
    preset: str | None = None,
    resume: bool = False,
    progress: ProgressCallback | None = None,
    **options: Unpack[PretrainOptions],
) -> PretrainResult:
    """Pre-train a backbone without labels on the slices of a reduction.

    Args:
        reduction: Folder of a reduction.
        config: The whole configuration; cannot be combined with `preset` or with single options that decide the
            result.
        out: Folder of the result: `backbone.safetensors`, `README.md`, `config.yaml`, `summary.json`, logs and
            the last checkpoints. New or empty, unless `resume`; a finished pre-training with the same options is
            only read.
        preset: `paper` (default), `vit`, `small` or `smoke`.
        resume: Continue from the checkpoint in `out`, if there is one.
        progress: Function called after every step with a `ctprune.Progress`. Stages: `packing` (slices) and
            `training` (steps). Facts of `training`: `epoch` of `epochs`, `loss` (the mean since the last line of
            the log), `slices_per_second` (of all devices since then), and, while the probe runs, `now`, which is
            `probing`.
        options: Options of `ctprune.PretrainConfig` that differ from the preset's.

    Raises:
        ConfigError: An option cannot be used.
        ManifestError: There is no reduction, or it has no such slice.
        SourceError: No slice can be read.
        OutputError: `out` holds something else, or cannot be written.
        InUseError: Another process writes to `out`.
        WeightsError: A file of weights or the checkpoint cannot be used.
        TrainingError: The loss is not finite.
        Interrupted: Ctrl-C, SIGTERM or SIGHUP during the training; a checkpoint is saved to resume from.
        MissingExtraError: The extra `train` is not installed.
    """
    if config is None:
        config = PretrainConfig.resolve(options, preset_name=preset)
    elif preset is not None:
        raise ConfigError(
            "preset and a whole PretrainConfig are mutually exclusive: give only one", field="preset"
        )
    else:
        config = configure(PretrainConfig, config, options)
    return PretrainingRun(Path(reduction), Path(out), config, resume=resume, progress=progress).carry_out()


class PretrainingRun:
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
        #: Folder, or address of an object store, where nothing is packed.
        self.run = as_address(run) or run
        self.out = out
        self.config = config
        self._operation = Operation(progress)
        self._note = note or (lambda _: None)
        self._checkpoints = out / FOLDER_NAME
        self._asked_to_resume = resume
        # A training that was killed before its first checkpoint begins again: it left nothing worth keeping.
        self._resume = resume and bool(checkpoint_files(self._checkpoints) or (out / SUMMARY_NAME).is_file())
        # This process's rank among those that train together, if another process started it.
        self._launch = launch
        # Whether this process prints.
        self._first = is_first_process() if launch is None else launch.is_first
        # Locks that are held until the end.
        self._held = ExitStack()

    def carry_out(self) -> PretrainResult:
        """Do all steps."""
        with ending_like_ctrl_c(), self._held:
            return self._carry_out()

    def _carry_out(self) -> PretrainResult:
        manifest = Manifest.load(self.run)
        if self._is_finished():
            return self._finished(manifest)
        check_outside_run(self.out, self.run)
        config = self.config
        if config.wandb:
            import_wandb()
        device = choose_device()
        launch = self._launch or find_launch(device_count(config.devices, device), config.nodes)
        precision = choose_precision(config.precision, device)
        check_queue(config, launch.processes)
        if launch.starts_all:
            self._take_out()
            self._show_mistakes()
        close = self._close_to_others(manifest)
        order = {"run": str(self.run), "out": str(self.out), "config": config.to_dict(), "resume": self._resume}
        store = None
        if launch.starts_all:
            store = self._pack(close)
        with Workers(launch, order) as workers:
            fabric = create_fabric(launch, precision, workers.environment(), device)
            fabric.launch()
            store = self._packed_by_first(store, close, fabric)
            return self._train(manifest, store, close, fabric)

    def _show_mistakes(self) -> None:
        """Before other processes start, which would wait, and before slices are packed, which may take hours."""
        config = self.config
        if self._resume:
            refuse_changes_since(self.out / CONFIG_NAME, config)
        create_method(config, self._create_backbone())
        if config.probe is not None:
            check_folder(config.probe)

    def _is_finished(self) -> bool:
        # Other results have a `summary.json`, too.
        return all((self.out / name).is_file() for name in (SUMMARY_NAME, BACKBONE_NAME))

    def _take_out(self) -> None:
        """Lock the folder of the result, and check that it is empty or holds this training."""
        check_writable(self.out)
        self._held.enter_context(sole_writer(self.out))
        if self._asked_to_resume and (self.out / CONFIG_NAME).is_file():
            return
        if checkpoint_files(self._checkpoints):
            raise OutputError(
                f"{self.out} holds an unfinished pre-training: give `resume` to continue it, or choose another "
                "folder"
            )
        check_free(self.out)

    def _train(
        self, manifest: Manifest, store: SliceStore, close: Excluded | None, fabric: Fabric
    ) -> PretrainResult:
        config = self.config
        torch.manual_seed(config.seed)
        method = create_method(config, self._create_backbone())
        if fabric.world_size > 1 and fabric.device.type == "cuda":
            method = sync_batchnorm(method)
        if store.manifest_digest != manifest.digest():
            raise ManifestError(f"{self.run} was reduced again in the meantime: rerun the command")
        used = UsedSlices.of(config, manifest, store, close)
        mean, std = normalization(store, config.views)
        count = len(store) if used.positions is None else len(used.positions)
        notes = notes_on(config, count, shown_intensity(config, store)) + used.notes()
        for sentence in notes:
            self._say(sentence)

        def facts() -> dict[str, Any]:
            return facts_of(config, manifest, store, training, fabric, used, mean, std) | {"notes": notes}

        training = TrainingLoop(
            config,
            method,
            StoreBatches(
                store,
                config.batch_size,
                config.seed,
                rank=fabric.global_rank,
                world_size=fabric.world_size,
                positions=used.positions,
                weights=used.weights,
                neighbors=used.neighbors,
                channels=used.channels,
                device=fabric.device,
            ),
            BatchViews(config.views, mean, std, neighbors=used.neighbors is not None),
            fabric,
            checkpoints=self._checkpoints,
            digest=used.digest,
            probe=self._create_probe(store, mean, std),
            operation=self._operation,
            note=self._say,
            keep_backbone=lambda epochs: self._save_backbone(
                Path(BACKBONES_FOLDER, f"epoch-{epochs:04d}.safetensors"), training.method.exported, facts()
            ),
        )
        self._say(rates_sentence(config, training.rate_factor, fabric.world_size))
        if self._resume:
            training.resume()
        with self._operation.finishing_steps():
            records = self._records(training) if fabric.is_global_zero else None
            try:
                training.run(records)
            finally:
                if records is not None:
                    records.close()
        found = facts()
        if fabric.is_global_zero:
            self._write(training, found)
        fabric.barrier()
        return self._result(found)

    def _packed_by_first(self, store: SliceStore | None, close: Excluded | None, fabric: Fabric) -> SliceStore:
        """The store, packed by the first process if it is not yet; the others wait and open it.

        The first one also decides whether to resume from a checkpoint: the others may see an older state of a
        network file system.
        """
        if fabric.world_size == 1:
            assert store is not None
            return store

        def pack() -> tuple[str, bool]:
            nonlocal store
            if store is None:
                self._take_out()
                self._show_mistakes()
                store = self._pack(close)
            return store.folder.name, self._resume

        name, self._resume = made_by_first(pack, fabric)
        folder = self.out if isinstance(self.run, str) else manifest_path(self.run).parent
        return store or self._open_packed(folder / name)

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
        for crop in config.views.crops:
            check_size(backbone, config.backbone, crop.size)
        return backbone

    def _pack(self, close: Excluded | None) -> SliceStore:
        waited = False
        while True:
            try:
                return self._build_store(close)
            except InUseError:
                # Trainings that start together pack once: the others wait for the first.
                if not waited:
                    self._say(f"{self.run} is in use by another ctprune: waiting until it is done")
                waited = True
                time.sleep(_WAIT)

    def _build_store(self, close: Excluded | None) -> SliceStore:
        config = self.config
        return build_store(
            self.run,
            out=self.out / _PACKED if isinstance(self.run, str) else None,
            use=config.use,
            side=config.side,
            depth=config.depth,
            channels=config.channels,
            seed=config.seed,
            # The sample is drawn after the exclusion: else it would be smaller than the kept slices that remain.
            without=None if close is None else close.rows,
            threads=config.threads,
            progress=self._operation.pass_on,
            note=self._say,
        )

    def _say(self, sentence: str) -> None:
        if self._first:
            self._note(sentence)

    def _create_probe(self, store: SliceStore, mean: float, std: float) -> Probe | None:
        if self.config.probe is None:
            return None
        return Probe(
            self.config.probe,
            store,
            window=self.config.views.window,
            mean=mean,
            std=std,
            channels=self.config.channels,
            patient_pattern=self.config.probe_patient_pattern,
        )

    def _records(self, training: TrainingLoop) -> Records:
        write_yaml(self.config.to_dict(), self.out / CONFIG_NAME)
        wandb = without_paths(self.config.to_dict()) if self.config.wandb else None
        return Records(self.out, training.lines, wandb)

    def _write(self, training: TrainingLoop, facts: dict[str, Any]) -> None:
        self._save_backbone(Path(BACKBONE_NAME), training.method.exported, facts)
        if training.average is not None:
            self._save_backbone(Path(AVERAGE_NAME), training.average.network, facts)
        write_model_card(self.out, portable(facts), training.lines)
        with replace_file(self.out / SUMMARY_NAME) as beside:
            beside.write_text(json.dumps(facts, indent=2) + "\n")

    def _save_backbone(self, name: Path, network: torch.nn.Module, facts: dict[str, Any]) -> None:
        file = self.out / name
        file.parent.mkdir(exist_ok=True)
        save_backbone(network, file, name=self.config.backbone, metadata=portable(facts))

    def _finished(self, manifest: Manifest) -> PretrainResult:
        facts = load_pretrain_summary(self.out)
        made = PretrainConfig.from_dict(facts["settings"])
        if made.deciding() != self.config.deciding() or facts["manifest_digest"] != manifest.digest():
            raise ConfigError(
                f"{self.out} holds a finished pre-training with other options or of another reduction: choose "
                "another `out`"
            )
        return self._result(facts)

    def _result(self, facts: dict[str, Any]) -> PretrainResult:
        return PretrainResult(folder=self.out, backbone=self.out / BACKBONE_NAME, summary=facts)
