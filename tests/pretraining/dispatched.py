"""Counts what a GPU would be asked to do: launches, and waits of the host for an answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

#: Operations whose result the host must know: a number, or the size of what they find.
WAITS = {
    "aten::_local_scalar_dense",
    "aten::nonzero",
    "aten::is_nonzero",
    "aten::equal",
    "aten::masked_select",
    "aten::_unique2",
    "aten::unique_dim",
    "aten::unique_consecutive",
}

#: Operations that take no time on a device: other ways to look at the same memory, and what only allocates it.
_FREE = {
    *("view", "_unsafe_view", "_reshape_alias", "expand", "t", "transpose", "permute", "unbind", "alias"),
    *("select", "slice", "split", "split_with_sizes", "unsqueeze", "squeeze", "as_strided", "unfold", "diagonal"),
    *("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "lift_fresh", "detach"),
    *("is_same_size", "resize_", "set_"),
}


class Dispatched(TorchDispatchMode):
    """Counts, within a `with`, the operations that start at least one kernel.

    Attributes:
        operations: By name.
        waits: Those among them that let the host wait for the device, by name.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()

    @property
    def launches(self) -> int:
        """Kernels that are started, at least."""
        return self.operations.total()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name
        short = name.partition("::")[2]
        if short not in _FREE and not name.startswith(("profiler::", "prim::")):
            self.operations[name] += _kernels(short, args)
        if name in WAITS or _looks_up_a_mask(name, args) or _comes_to_the_host(name, args, kwargs or {}):
            self.waits[name] += 1
        return func(*args, **(kwargs or {}))


def _kernels(name: str, args: Any) -> int:
    """One, or for lists of tensors that fit each other in no way one for each."""
    if not name.startswith("_foreach_") or len(args) < 2:
        return 1
    first, second = args[:2]
    if not isinstance(second, (list, tuple)) or not all(isinstance(item, Tensor) for item in second):
        return 1
    return 1 if all(_fit(one, other) for one, other in zip(first, second, strict=True)) else len(first)


def _fit(one: Tensor, other: Tensor) -> bool:
    """Whether torch takes lists of such pairs as one: strides of dimensions of length 1 do not count."""
    if (one.shape, one.dtype) != (other.shape, other.dtype):
        return False
    strides = zip(one.shape, one.stride(), other.stride(), strict=True)
    return all(length == 1 or first == second for length, first, second in strides)


def _looks_up_a_mask(name: str, args: Any) -> bool:
    """Whether a tensor is indexed by what a mask has chosen, whose number must be known."""
    if name not in ("aten::index", "aten::index_put", "aten::index_put_"):
        return False
    return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])


def _comes_to_the_host(name: str, args: Any, kwargs: Any) -> bool:
    """Whether a tensor is copied from a device to the CPU."""
    if name == "aten::_to_copy":
        source, target = args[0].device, kwargs.get("device") or args[0].device
    elif name == "aten::copy_":
        source, target = args[1].device, args[0].device
    else:
        return False
    return source.type != "cpu" and torch.device(target).type == "cpu"


@contextmanager
def counted() -> Iterator[Dispatched]:
    """What is asked for within."""
    with Dispatched() as found:
        yield found
