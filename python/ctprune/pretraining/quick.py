"""Settings of torch that make a GPU quicker while a training lasts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ctprune.environment.extras import extra

with extra("train", "pre-training"):
    import torch


@contextmanager
def quick_gpu(device: torch.device, *, mixed: bool) -> Iterator[None]:
    """On a GPU let cuDNN try which algorithm is the quickest, as all batches have the same few shapes.

    Args:
        device: Where the training runs; a CPU is left as it is.
        mixed: In mixed precision, products that stay in float32 (heads, losses) are taken in TF32, which keeps
            more digits than the half precision of what goes in. Otherwise float32 is what was asked for.
    """
    if device.type != "cuda":
        yield
        return
    benchmark = torch.backends.cudnn.benchmark
    precision = _products_set() if mixed else None
    torch.backends.cudnn.benchmark = True
    if precision is not None:
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = benchmark
        if precision is not None:
            torch.set_float32_matmul_precision(precision)


def _products_set() -> str | None:
    """How products are set; None where the user has set them by torch's newer switches, which do not mix."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return None
