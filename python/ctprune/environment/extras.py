"""What the optional parts of ctprune need, said in one sentence where it is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ctprune.errors import MissingExtraError

#: Modules of each extra whose absence means that the extra was not installed.
_MODULES = {
    "train": frozenset(
        {"torch", "torchvision", "safetensors", "lightly", "pytorch_lightning", "yaml"}
        | {"sklearn", "scipy", "matplotlib", "jinja2", "lightning_fabric", "tensorboard"}
    )
}


@contextmanager
def extra(name: str, purpose: str) -> Iterator[None]:
    """Wrap the imports of an optional part: where a module is missing, say which extra brings it.

    Args:
        name: The extra in `pyproject.toml`.
        purpose: What needs it, as the beginning of the sentence.

    Raises:
        MissingExtraError: A module of the extra is not installed.

    >>> with extra("train", "a backbone"):
    ...     import torch
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in _MODULES[name]:
            raise
        raise MissingExtraError(
            f"{purpose} needs the extra {name}: pip install 'ctprune[{name}]' ({error.name} is not installed)"
        ) from None
