"""Training of each seed in turn; finished seeds are not trained again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ctprune.environment.progress import Operation
from ctprune.files.atomic import replace_file
from ctprune.finetuning.network import choose_normalization, loaded_or_drawn, seeded
from ctprune.finetuning.run_folder import PROGRESS_FOLDER
from ctprune.finetuning.saved_model import FOLDER_NAME
from ctprune.finetuning.training_options import IMAGENET
from ctprune.networks.device import choose_device, choose_precision
from ctprune.networks.facts import trained_facts
from ctprune.networks.gray_backbone import IMAGENET_NORMALIZATION, Normalization
from ctprune.networks.pretrained import Pretrained
from ctprune.options.neighbors import GRAY
from ctprune.segmenting.config import SegmentConfig
from ctprune.segmenting.network import Encoder, Segmenter
from ctprune.segmenting.saved_model import SavedModel, save_weights
from ctprune.segmenting.training import Epoch, SeedTraining, TrainingSet
from ctprune.segmenting.volumes import Volumes


@dataclass(frozen=True)
class SeedOutcome:
    """The outcome of one seed.

    Attributes:
        seed: The seed.
        backbone: File of the backbone, relative to the folder `model`.
        decoder: File of the decoder, relative to the folder `model`.
        seconds: Training time in seconds, over all sessions.
        best_epoch: Number of the epoch that was taken, from 1.
        select_dice: Its Dice on the selecting split, at the network's size; None where it is not defined.
        history: A row for each epoch.
    """

    seed: int
    backbone: str
    decoder: str
    seconds: float
    best_epoch: int
    select_dice: float | None
    history: list[dict[str, Any]]

    def save(self, file: Path) -> None:
        """Write the outcome: the file marks the seed as done.

        Raises:
            OutputError: It cannot be written.
        """
        with replace_file(file) as beside:
            beside.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, file: Path) -> SeedOutcome | None:
        """What an earlier session saved; None if it is missing or damaged."""
        try:
            return cls(**json.loads(file.read_text()))
        except (OSError, ValueError, TypeError):
            return None


class SeedTrainer:
    """The seeds of one segmentation.

    Attributes:
        device: Device of the network.
        precision: Precision of the network.
        weights: File of weights that the training starts from; None for random weights.
        backbone: Name of the architecture.
    """

    def __init__(self, config: SegmentConfig, out: Path, operation: Operation) -> None:
        self._config, self._out, self._operation = config, out, operation
        self.device = choose_device(config.device)
        self.precision = choose_precision(config.precision, self.device)
        self.weights: Pretrained | None = None
        if config.weights is not None:
            path = None if config.weights == IMAGENET else Path(config.weights)
            self.weights = Pretrained.find(path, download=config.download)
        # A mistake in name or side is found before volumes are read.
        self.backbone = str(self._encoder(0, IMAGENET_NORMALIZATION).backbone.architecture)

    def train_all(self, volumes: Volumes, data: TrainingSet) -> list[SeedOutcome]:
        """What each seed gives, in order; the weights are in the folder `model`.

        Args:
            volumes: The volumes of the task.
            data: Which of their slices train and select.
        """
        # Normalization by the training slices needs a copy of them, the other ways need none.
        is_by_train = self._config.normalize == "train" or self.weights is None
        train = data.pixels[data.train] if is_by_train else data.pixels[:0]
        normalization = choose_normalization(self._config.normalize, self.weights, train)
        outcomes = []
        for index, seed in enumerate(self._config.seed_list):
            file = self._out / PROGRESS_FOLDER / f"seed-{seed}.json"
            outcomes.append(SeedOutcome.load(file) or self._train(index, volumes, data, normalization, file))
        SavedModel(
            folder=self._out / FOLDER_NAME,
            classes=volumes.classes,
            labels=volumes.values,
            backbones={one.seed: one.backbone for one in outcomes},
            decoders={one.seed: one.decoder for one in outcomes},
            mean=normalization.mean,
            std=normalization.std,
            side=self._config.side,
            intensity=volumes.intensity,
            modality=volumes.modality,
        ).save()
        return outcomes

    def _train(
        self, index: int, volumes: Volumes, data: TrainingSet, normalization: Normalization, file: Path
    ) -> SeedOutcome:
        config, seed = self._config, self._config.seed_list[index]
        frozen = config.mode == "frozen"
        part = f"seed {index + 1}/{len(config.seed_list)}"

        def report(epoch: Epoch) -> None:
            self._operation.report(
                "training", epoch.epoch, config.epochs, "epochs", part=part, dice=epoch.select_dice
            )

        self._operation.report("training", 0, config.epochs, "epochs", part=part)
        encoder = self._encoder(seed, normalization)
        with seeded(seed):
            network = Segmenter(encoder, len(volumes.classes) + 1, frozen=frozen)
        checkpoint = file.with_suffix(".ckpt")
        training = SeedTraining(network, data, config, seed, self.device, self.precision, checkpoint, report)
        training.run()
        metadata = trained_facts(
            {} if self.weights is None else self.weights.metadata,
            mean=normalization.mean,
            std=normalization.std,
            side=config.side,
            intensity=volumes.intensity,
            channels=GRAY,
            finetuned=not frozen,
        )
        shared = frozen and self.weights is not None
        backbone, decoder = save_weights(network, self._out / FOLDER_NAME, seed, shared=shared, metadata=metadata)
        dice = training.history[training.best_epoch - 1].select_dice
        outcome = SeedOutcome(
            seed=seed,
            backbone=backbone,
            decoder=decoder,
            seconds=round(sum(epoch.seconds for epoch in training.history), 3),
            best_epoch=training.best_epoch,
            select_dice=None if dice != dice else dice,
            history=[asdict(epoch) for epoch in training.history],
        )
        outcome.save(file)
        checkpoint.unlink(missing_ok=True)
        return outcome

    def _encoder(self, seed: int, normalization: Normalization) -> Encoder:
        module = loaded_or_drawn(self._config.backbone, self.weights, seed)
        return Encoder(module, normalization, self._config.side)
