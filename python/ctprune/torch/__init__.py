"""Slices of a reduction for PyTorch: `SliceDataset`, which needs the extra train."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ctprune.torch.slice_dataset import SliceDataset

__all__ = ["SliceDataset"]


def __getattr__(name: str) -> Any:
    """What is in here loads torch, so it waits until it is used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ctprune.environment.extras import extra

    with extra("train", f"{__name__}.{name}"):
        from ctprune.torch import slice_dataset

    return getattr(slice_dataset, name)


def __dir__() -> list[str]:
    return sorted(__all__)
