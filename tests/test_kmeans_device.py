"""k-means compares on a device, such as a GPU, and finds what the CPU finds, to the byte.

Torch on the CPU stands in for the GPU; what it finds may be made rougher on purpose.
"""

from __future__ import annotations

import _thread
import ctypes
import logging
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch._subclasses import FakeTensorMode

from ctprune.selection import centroids, points
from ctprune.selection.centroids import NearestCentroids
from ctprune.selection.points import PointSelection, select_points
from tests.pretraining.dispatched import counted

Embeddings = npt.NDArray[np.float16]
CPU = torch.device("cpu")


def clumps(rows: int, features: int) -> Embeddings:
    """Around a few directions; every fifth row stands there twice, and some are zero."""
    rng = np.random.default_rng(rows)
    found = rng.normal(size=(30, features))[rng.integers(0, 30, rows)] + rng.normal(0, 0.4, (rows, features))
    found[1::5] = found[::5][: len(found[1::5])]
    found[7::50] = 0
    return found.astype(np.float16)


def near_ties() -> Embeddings:
    """Two directions, and rows beside the middle between them, by steps far below the rounding and above."""
    found = np.zeros((420, 8))
    found[:, 0] = 1
    found[:150, 1], found[150:300, 1] = 1, -1
    found[300:, 1] = np.arange(-300, 300, 5) * 2.0**-24
    return found.astype(np.float16)


CASES: dict[str, Embeddings] = {
    "clumps": clumps(900, 40),
    "one row": clumps(1, 5),
    "equal": np.ones((70, 9), np.float16),
    "zero": np.zeros((70, 9), np.float16),
    "near ties": near_ties(),
    "large": (np.random.default_rng(1).normal(size=(300, 33)) * 20_000).clip(-65_504, 65_504).astype(np.float16),
    "small": (np.random.default_rng(2).normal(size=(300, 33)) * 2.0**-22).astype(np.float16),
}


class Device(NearestCentroids):
    """Torch on the CPU, which counts its answers."""

    answers = 0

    def __call__(self, rows: Any, centroids: Any) -> Any:
        self.answers += 1
        return super().__call__(rows, centroids)


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Let k-means compare on this."""
    return lambda device: monkeypatch.setattr(points, "_nearest_on_gpu", lambda *_: device)


def selected(embeddings: Embeddings, method: str, clusters: int | None = None) -> PointSelection:
    return select_points(embeddings, method, keep=0.3, seed=2, clusters=clusters)


def assert_same(found: PointSelection, expected: PointSelection) -> None:
    assert found.exemplar.tobytes() == expected.exemplar.tobytes()
    assert found.measured.tobytes() == expected.measured.tobytes()
    assert found.threshold == expected.threshold


@pytest.mark.parametrize("method", ["semdedup", "balanced"])
@pytest.mark.parametrize("name", CASES)
def test_the_selection_is_that_of_the_cpu(name: str, method: str, use: Callable[[Any], None]) -> None:
    embeddings = CASES[name]
    for clusters, memory in ((None, 1 << 24), (2, 10_000), (75, 40_000)):
        use(None)
        expected = selected(embeddings, method, clusters)
        device = Device(embeddings, CPU, memory=memory)
        use(device)
        assert_same(selected(embeddings, method, clusters), expected)
        assert device.answers > 1


def test_the_margin_is_needed_and_wide_enough(use: Callable[[Any], None]) -> None:
    embeddings = near_ties()
    use(None)
    expected = selected(embeddings, "semdedup", 2)
    # Wrong wherever less than this part of the core's margin says so, and as sure of it as that leaves.
    for part, equal in ((0.9, True), (4, False)):
        device = NearestCentroids(embeddings, CPU, memory=1 << 20)

        def rough(rows: Any, centers: Any, device: Any = device, off: float = part * 2.5 * 24 * 2.0**-24) -> Any:
            numbers, margins = device(rows, centers)
            wrong = margins < off
            return np.where(wrong, 1 - numbers, numbers).astype(np.uint32), np.where(wrong, off - margins, margins)

        use(rough)
        found = selected(embeddings, "semdedup", 2)
        assert (found.exemplar.tolist() == expected.exemplar.tolist()) == equal


def test_rows_that_are_held_are_the_right_ones() -> None:
    embeddings = clumps(200, 6)
    nearest = NearestCentroids(embeddings, CPU, memory=30_000)
    rng = np.random.default_rng(0)
    for _ in range(12):
        rows = np.sort(rng.choice(200, rng.integers(1, 150), replace=False)).astype(np.uint32)
        centers = rng.normal(size=(5, 6)).astype(np.float32)
        products = embeddings[rows].astype(np.float64) @ centers.T.astype(np.float64)
        for _ in range(2):
            found = nearest(rows, centers)
            assert found is not None
            second, first = np.sort(products, axis=1)[:, -2:].T
            np.testing.assert_allclose(found[1], first - second, rtol=1e-4, atol=1e-5)
            clear = first - second > 1e-4
            assert found[0][clear].tolist() == products.argmax(axis=1)[clear].tolist()


@pytest.mark.parametrize("works", [0, 1, 5])
def test_a_device_that_fails_leaves_the_rest_to_the_cpu(
    works: int, use: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    embeddings = CASES["clumps"]
    use(None)
    expected = selected(embeddings, "balanced")
    left = iter(range(works))
    compared = centroids._compared

    def failing(*tensors: torch.Tensor) -> Any:
        if next(left, None) is None:
            raise RuntimeError("no kernel image is available\nfor this GPU")
        return compared(*tensors)

    monkeypatch.setattr(centroids, "_compared", failing)
    use(NearestCentroids(embeddings, CPU, memory=1 << 24))
    with caplog.at_level(logging.WARNING, "ctprune"):
        assert_same(selected(embeddings, "balanced"), expected)
    assert caplog.messages == ["k-means goes on on the CPU: no kernel image is available"]


@pytest.mark.parametrize("most", [100, 0])
def test_a_device_without_memory_takes_smaller_blocks(
    most: int, use: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    embeddings = CASES["clumps"]
    use(None)
    expected = selected(embeddings, "semdedup")
    sizes = []
    compared = centroids._compared

    def small(lines: torch.Tensor, centers: torch.Tensor) -> Any:
        if len(lines) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        sizes.append(len(lines))
        return compared(lines, centers)

    monkeypatch.setattr(centroids, "_compared", small)
    use(NearestCentroids(embeddings, CPU, memory=1 << 24))
    with caplog.at_level(logging.WARNING, "ctprune"):
        assert_same(selected(embeddings, "semdedup"), expected)
    assert max(sizes, default=0) == (56 if most else 0)
    assert caplog.messages == ([] if most else ["k-means goes on on the CPU: CUDA out of memory"])


def test_what_a_device_raises_or_answers_wrongly_ends_the_work(use: Callable[[Any], None]) -> None:
    def stopped(*_: Any) -> Any:
        raise KeyboardInterrupt

    use(stopped)
    with pytest.raises(KeyboardInterrupt):
        selected(CASES["clumps"], "semdedup")
    for numbers, margins in ((900, 900), (10, 10)):
        use(lambda rows, _, n=numbers, m=margins: (np.full(n, 99, np.uint32), np.ones(m, np.float32)))
        with pytest.raises(ValueError, match="expected the nearest of 30 centroids for 900 rows"):
            selected(CASES["clumps"], "semdedup")


def test_ctrl_c_ends_it_after_the_block(use: Callable[[Any], None]) -> None:
    embeddings = CASES["clumps"]
    device = Device(embeddings, CPU, memory=1 << 20)

    def interrupted(*asked: Any) -> Any:
        _thread.interrupt_main()
        time.sleep(0.3)
        return device(*asked)

    use(interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            selected(embeddings, "balanced")
    finally:
        signal.signal(signal.SIGINT, before)
    assert device.answers == 1


def test_a_gpu_is_looked_for_where_it_gains(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    embeddings = clumps(900, 40)
    expected = selected(embeddings, "semdedup")
    asked = []

    def nearest(embeddings: Embeddings, device: torch.device, *, memory: int) -> NearestCentroids:
        asked.append((device, memory))
        return NearestCentroids(embeddings, CPU, memory=memory)

    def busy(device: torch.device) -> tuple[int, int]:
        raise RuntimeError("all devices are busy\nor unavailable")

    def no_library(name: str) -> None:
        raise OSError(f"{name}: no such file")

    monkeypatch.setattr(centroids, "NearestCentroids", nearest)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"the {device}")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1 << 20, 1 << 30))
    with caplog.at_level(logging.INFO, "ctprune"):
        for there, least in ((True, points._WORTHWHILE), (False, 1), (True, 900 * 40 * 30)):
            monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
            monkeypatch.setattr(points, "_WORTHWHILE", least)
            assert_same(selected(embeddings, "semdedup"), expected)
        selected(embeddings, "kcenter")
        monkeypatch.setattr(torch.cuda, "mem_get_info", busy)
        assert_same(selected(embeddings, "semdedup"), expected)
        monkeypatch.delitem(sys.modules, "ctprune.selection.centroids")
        monkeypatch.setitem(sys.modules, "torch", None)
        assert_same(selected(embeddings, "semdedup"), expected)
        # Without a driver, torch is not loaded.
        monkeypatch.delitem(sys.modules, "torch")
        monkeypatch.setattr(ctypes, "CDLL", no_library)
        assert_same(selected(embeddings, "semdedup"), expected)
        assert "torch" not in sys.modules
    assert asked == [(torch.device("cuda", 1), 1 << 19)]
    assert caplog.messages == [
        *("k-means on the CPU", "k-means on the CPU", "k-means on the GPU: the cuda:1"),
        *("the GPU cannot be used: all devices are busy", *["k-means on the CPU"] * 3),
    ]


def test_a_gpu_computes_in_float32_and_waits_for_nothing_in_between() -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with counted() as found:
            NearestCentroids(CASES["clumps"], CPU, memory=40_000)(
                np.arange(900, dtype=np.uint32), np.eye(30, 40, dtype=np.float32)
            )
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)
    assert found.waits == {}
    with FakeTensorMode(), counted() as there:
        lines = torch.empty(64, 40, dtype=torch.float16, device="cuda")
        numbers, margins = centroids._compared(lines, torch.empty(30, 40, device="cuda"))
    assert (numbers.device.type, margins.device.type, margins.dtype) == ("cuda", "cuda", torch.float32)
    assert there.waits == {}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("method", ["semdedup", "balanced"])
def test_a_real_gpu_changes_no_byte(method: str, use: Callable[[Any], None]) -> None:
    for embeddings in (*CASES.values(), clumps(60_000, 384)):
        use(None)
        expected = selected(embeddings, method)
        for memory in (1 << 28, 1 << 20):
            use(NearestCentroids(embeddings, torch.device("cuda"), memory=memory))
            assert_same(selected(embeddings, method), expected)
