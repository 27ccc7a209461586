"""Backbones as ONNX: 8-bit gray images in, features out, the normalization inside."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import onnxscript  # noqa: F401  torch's export needs it, and says so less well
import torch

from ctprune.networks.architectures import RESNETS
from ctprune.networks.facts import pretraining_of
from ctprune.networks.gray_backbone import GrayBackbone, image_shape

#: Names of the input, uint8 of shape (n, rows, columns), and of the output, float32 of shape (n, num_features).
INPUT, OUTPUT = "gray", "features"

#: Below it a ResNet has nothing left to pool.
_LEAST_SIDE = 16

#: What the file says about its origin; see `ctprune.networks.backbone.backbone_metadata`.
_FACTS = (
    *("ctprune_version", "backbone", "method", "channels", "intensity", "finetuned"),
    *("manifest_digest", "modalities", "reduction", "reduced"),
)


def write_file(network: GrayBackbone, file: Path, side: int, metadata: Mapping[str, Any]) -> None:
    """Write a network, in evaluation mode, as one ONNX file for any number of images.

    Args:
        network: The network.
        file: The file.
        side: Rows and columns of an image; ResNets take other sizes too.
        metadata: Facts about its training.
    """
    # One image alone would be taken for a fixed number of them.
    example = torch.zeros(2, *image_shape(metadata, side), dtype=torch.uint8)
    shapes: dict[int, Any] = {0: torch.export.Dim("n", min=1)}
    if network.backbone.architecture in RESNETS:
        sides = {example.ndim - 2: "rows", example.ndim - 1: "columns"}
        shapes |= {axis: torch.export.Dim(name, min=_LEAST_SIDE) for axis, name in sides.items()}
    program = torch.onnx.export(
        network,
        (example,),
        dynamo=True,
        dynamic_shapes=(shapes,),
        input_names=[INPUT],
        output_names=[OUTPUT],
        verbose=False,
    )
    assert program is not None
    _forget_where_it_was_made(program.model)
    program.model.metadata_props["ctprune"] = json.dumps(origin_of(metadata), sort_keys=True)
    program.save(str(file), external_data=False)


def origin_of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What the file says about its origin, also of a backbone that was fine-tuned after its pre-training.

    >>> origin_of({"method": "swav", "finetuned": True, "pretraining": {"reduced": {"kept": 5}, "seed": 0}})
    {'method': 'swav', 'finetuned': True, 'reduced': {'kept': 5}}
    """
    known = (pretraining_of(metadata) or {}) | dict(metadata)
    return {name: known[name] for name in _FACTS if name in known}


def _forget_where_it_was_made(model: Any) -> None:
    """Torch notes the line of code of every operation: the paths of this machine, with its user's name."""
    for graph in (model.graph, *model.functions.values()):
        graph.metadata_props.clear()
        for node in graph.all_nodes():
            node.metadata_props.clear()
            node.doc_string = None
            for value in node.outputs:
                value.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()


def features_of_file(file: Path) -> Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]:
    """What onnxruntime makes of images, uint8 of shape (n, rows, columns), with a file of `write_file`."""
    session = onnxruntime.InferenceSession(file.read_bytes(), providers=["CPUExecutionProvider"])

    def features(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return np.asarray(session.run([OUTPUT], {INPUT: images})[0])

    return features
