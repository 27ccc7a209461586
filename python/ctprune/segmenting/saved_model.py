"""The folder `model/` of a segmentation: backbones and decoders of all seeds, and how to read volumes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ctprune import _core
from ctprune.errors import WeightsError
from ctprune.files.json_files import read_versioned, write_json
from ctprune.finetuning.saved_model import FOLDER_NAME
from ctprune.networks.backbone import BACKBONE_NAME, load_backbone, save_backbone
from ctprune.networks.gray_backbone import Normalization
from ctprune.networks.weights_file import write_weights
from ctprune.segmenting.network import Encoder, Segmenter

#: Version of the layout; other versions are refused.
MODEL_VERSION = 1

_ABOUT, _DECODER = "model.json", "decoder.safetensors"


@dataclass(frozen=True)
class SavedModel:
    """Everything besides the weights that a prediction needs.

    Attributes:
        folder: Folder of the model.
        classes: Names of the classes but background.
        labels: Label of each class in masks.
        backbones: File of each seed's backbone, relative to the folder.
        decoders: File of each seed's decoder, relative to the folder.
        mean: Mean of the input by channel, as fractions of 255.
        std: Standard deviation of the input by channel, as fractions of 255.
        side: Rows and columns of the network's input.
        intensity: How Hounsfield units become gray.
        modality: The DICOM Modality that is read.
    """

    folder: Path
    classes: tuple[str, ...]
    labels: tuple[int, ...]
    backbones: dict[int, str]
    decoders: dict[int, str]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    side: int
    intensity: str
    modality: str

    def save(self) -> None:
        """Write `model.json`; the weights must have been written before.

        Raises:
            OutputError: The file cannot be written.
        """
        about = asdict(self) | {"model_version": MODEL_VERSION, "ctprune_version": _core.__version__}
        del about["folder"]
        write_json(self.folder / _ABOUT, about)

    @classmethod
    def load(cls, out: Path) -> SavedModel:
        """Read a model from the folder of a segmentation.

        Raises:
            WeightsError: The folder holds no model, or one that is damaged or of another version.
        """
        folder = out / FOLDER_NAME
        about = read_versioned(
            folder / _ABOUT,
            "model",
            MODEL_VERSION,
            error=WeightsError,
            missing=f"{out}: expected the folder of a segmentation with {FOLDER_NAME}/{_ABOUT}, found none",
            named=folder,
        )
        try:
            for name in ("backbones", "decoders"):
                about[name] = {int(seed): str(file) for seed, file in about[name].items()}
            for name in ("classes", "labels", "mean", "std"):
                about[name] = tuple(about[name])
            return cls(folder=folder, **about)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise WeightsError(f"{folder / _ABOUT}: the file is damaged") from None

    def networks(self, device: torch.device) -> dict[int, Segmenter]:
        """The network of each seed, in evaluation mode.

        Raises:
            WeightsError: A file of weights is missing or damaged.
        """
        backbones = {name: load_backbone(self.folder / name) for name in dict.fromkeys(self.backbones.values())}
        found = {}
        for seed, file in self.decoders.items():
            encoder = Encoder(backbones[self.backbones[seed]], Normalization(self.mean, self.std), self.side)
            network = Segmenter(encoder, len(self.classes) + 1, frozen=True)
            try:
                network.decoder.load_state_dict(load_file(self.folder / file))
            except (OSError, SafetensorError, RuntimeError) as error:
                reason = " ".join(str(error).split())
                raise WeightsError(f"{self.folder / file}: expected the weights of a decoder: {reason}") from None
            found[seed] = network.to(device).eval()
        return found


def save_weights(
    network: Segmenter, folder: Path, seed: int, *, shared: bool, metadata: dict[str, Any]
) -> tuple[str, str]:
    """Write the weights of a seed's network.

    Args:
        network: The network.
        folder: Folder of the model.
        seed: The seed.
        shared: Whether all seeds have the same backbone.
        metadata: Facts about the backbone, see `ctprune.networks.backbone.save_backbone`.

    Returns:
        Files of backbone and decoder, relative to the folder.

    Raises:
        OutputError: A file cannot be written.
    """
    backbone = BACKBONE_NAME if shared else f"seed-{seed}/{BACKBONE_NAME}"
    decoder = f"seed-{seed}/{_DECODER}"
    module = network.encoder.backbone
    save_backbone(module, folder / backbone, name=str(module.architecture), metadata=metadata)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.decoder.state_dict().items()}
    write_weights(folder / decoder, lambda beside: save_file(state, beside))
    return backbone, decoder
