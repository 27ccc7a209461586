"""The precision of torch's products of matrices."""

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
