"""What the optional parts of ctprune need, said in one sentence where it is missing.

Modules import torch and the like as they import everything else. The doors are guarded: the names of `ctprune`,
the command line, and the few functions that import such a module in the middle of their work.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ctprune.errors import MissingExtraError

#: Modules of each extra whose absence means that the extra was not installed.
_MODULES = {
    "train": frozenset(
        {"torch", "torchvision", "safetensors", "lightly", "pytorch_lightning"}
        | {"sklearn", "scipy", "lightning_fabric", "tensorboard"}
    ),
    "onnx": frozenset({"onnx", "onnx_ir", "onnxscript", "onnxruntime"}),
    "timm": frozenset({"timm", "huggingface_hub"}),
    "ray": frozenset({"ray"}),
    "cloud": frozenset({"obstore", "tenacity"}),
    "dicomweb": frozenset({"dicomweb_client", "requests", "tenacity"}),
}


@contextmanager
def extra(name: str, purpose: str) -> Iterator[None]:
    """A block that imports an optional part: where a module is missing, say which extra brings it.

    Args:
        name: The extra in `pyproject.toml`.
        purpose: What needs the extra, as the beginning of the sentence.

    Raises:
        MissingExtraError: A module of the extra is not installed.

    >>> with extra("train", "a backbone"):
    ...     from ctprune.networks.backbone import load_backbone
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in _MODULES[name]:
            raise
        raise MissingExtraError(
            f"{purpose} needs the extra {name}: pip install 'ctprune[{name}]' ({error.name} is not installed)"
        ) from None
