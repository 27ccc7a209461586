"""Settings of torch for precision, and for speed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Products of float32 matrices in float32 whatever the user has set for the network; no autocast."""
    with torch.autocast(device.type, enabled=False), _exact_products():
        yield


@contextmanager
def quick_gpu(device: torch.device, *, mixed: bool) -> Iterator[None]:
    """On a GPU, let cuDNN find the fastest algorithms. For trainings, whose batches have the same few shapes.

    Not for features, embeddings and predictions: they are computed once, from batches of many sizes. What cuDNN
    chooses, and so the last bits, differ from run to run, but what is decided by them should not.

    Args:
        device: Device of the training; nothing changes on a CPU.
        mixed: Whether precision is mixed. Then products that stay in float32 (heads, losses) are computed in TF32,
            which keeps more digits than their half-precision inputs have.
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


def _exact_products() -> AbstractContextManager[None]:
    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:
        # Since 2.9 torch has new switches, and an error for whoever mixes them with the old one.
        of_cpu: Any = torch.backends.mkldnn
        return _ieee([torch.backends.cuda.matmul, of_cpu.matmul])
    return _highest(before)


@contextmanager
def _highest(before: str) -> Iterator[None]:
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def _ieee(switches: list[Any]) -> Iterator[None]:
    before = [products.fp32_precision for products in switches]
    for products in switches:
        products.fp32_precision = "ieee"
    try:
        yield
    finally:
        for products, precision in zip(switches, before, strict=True):
            products.fp32_precision = precision


def _products_set() -> str | None:
    """Precision of matrix products; None if the user has set it by torch's newer switches, which do not mix."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return None
