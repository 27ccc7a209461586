"""Batches of a store: the right pixels, each once, in an order that seed and epoch decide."""

from __future__ import annotations

import os
import threading
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch

import ctprune
from ctprune.pretraining.batches import StoreBatches
from ctprune.store.store import SliceStore


@pytest.fixture(scope="module", params=[8, 16])
def store(archive: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> SliceStore:
    folder = tmp_path_factory.mktemp("batches") / "run"
    ctprune.reduce(archive, out=folder)
    return ctprune.build_store(folder, use="all", side=24, depth=request.param)


def pixels(batch: torch.Tensor) -> np.ndarray:
    return batch.numpy()


def positions(batches: StoreBatches, epoch: int, start_step: int = 0) -> list[list[int]]:
    return [batch.positions.tolist() for batch in batches.epoch(epoch, start_step)]


@pytest.mark.parametrize("resident", [None, False, True])
def test_an_epoch_has_each_slice_once_with_its_pixels(store: SliceStore, resident: bool | None) -> None:
    batches = StoreBatches(store, 7, seed=3, resident=resident)
    seen = []
    for batch in batches.epoch(2):
        assert batch.pixels.dtype == (torch.uint8 if store.config.depth == 8 else torch.uint16)
        np.testing.assert_array_equal(pixels(batch.pixels), store.pixels[batch.positions.numpy()])
        seen += batch.positions.tolist()
    assert len(seen) == 7 * batches.steps_per_epoch == len(store) // 7 * 7
    assert len(set(seen)) == len(seen)
    assert seen == batches.order(2)[: len(seen)].tolist()
    assert sorted(batches.order(2).tolist()) == list(range(len(store)))


def test_the_order_depends_on_seed_and_epoch_alone(store: SliceStore) -> None:
    first = positions(StoreBatches(store, 5, seed=3), 1)
    np.random.seed(7)
    torch.manual_seed(9)
    assert positions(StoreBatches(store, 5, seed=3, resident=True), 1) == first
    assert positions(StoreBatches(store, 5, seed=4), 1) != first
    assert positions(StoreBatches(store, 5, seed=3), 2) != first


def test_an_order_that_must_never_change(store: SliceStore) -> None:
    batches = StoreBatches(store, 4, seed=3, positions=np.arange(8))
    assert batches.order(1).tolist() == [0, 6, 2, 1, 3, 7, 4, 5]
    weighted = StoreBatches(store, 4, seed=3, positions=np.arange(8), weights=np.array([9, 1, 1, 1, 1, 1, 1, 5]))
    assert weighted.order(1).tolist() == [0, 7, 0, 0, 0, 7, 2, 5]
    assert weighted.order(2).tolist() == [2, 0, 5, 0, 7, 7, 0, 0]


def weights_of(store: SliceStore) -> np.ndarray:
    return np.random.default_rng(5).integers(1, 9, len(store))


def test_going_on_in_the_middle_of_an_epoch(store: SliceStore) -> None:
    for weights in (None, weights_of(store)):
        batches = StoreBatches(store, 5, seed=0, weights=weights)
        whole = positions(batches, 4)
        assert positions(batches, 4, start_step=3) == whole[3:]
        assert positions(batches, 4, start_step=len(whole)) == []


def test_processes_share_what_one_would_have(store: SliceStore) -> None:
    for weights in (None, weights_of(store)):
        alone = positions(StoreBatches(store, 6, seed=1, weights=weights), 0)
        shares = [
            positions(StoreBatches(store, 2, seed=1, rank=rank, world_size=3, weights=weights), 0)
            for rank in range(3)
        ]
        assert [list(chain.from_iterable(step)) for step in zip(*shares, strict=True)] == alone


def test_slices_come_as_often_as_their_weights_say(store: SliceStore) -> None:
    weights, count, epochs = weights_of(store), len(store), 400
    batches = StoreBatches(store, 5, seed=3, weights=weights)
    assert batches.steps_per_epoch == count // 5
    expected = weights * count / weights.sum()
    found = np.array([np.bincount(batches.order(epoch), minlength=count) for epoch in range(epochs)])
    assert (found.sum(axis=1) == count).all()
    # In each epoch rounded up or down, and which of the two by chance: its deviation is 1/2 at most.
    assert (np.abs(found - expected) < 1).all()
    assert np.abs(found.mean(axis=0) - expected).max() < 5 * 0.5 / np.sqrt(epochs)
    # Word for word: every slice as often as its weight, and of these one at each of equal distances.
    units, every = np.repeat(np.arange(count), weights), int(weights.sum())
    start = int(np.random.PCG64([3, 7, 1]).random_raw()) % every
    chosen = [units[(start + number * every) // count] for number in range(count)]
    lots = np.random.PCG64([3, 7]).random_raw(count).tolist()
    assert batches.order(7).tolist() == [slice_ for _, slice_ in sorted(zip(lots, chosen, strict=True))]


def test_equal_weights_change_nothing(store: SliceStore) -> None:
    plain = StoreBatches(store, 5, seed=3)
    for weight in (1, 6):
        weighted = StoreBatches(store, 5, seed=3, weights=np.full(len(store), weight))
        assert positions(weighted, 2) == positions(plain, 2)


@pytest.mark.parametrize("weights", [[1, 2], [1, 0, 2], [1.0, 2.0, 1.0], [2**62, 1, 1], [2**62] * 3])
def test_weights_that_cannot_be_used(store: SliceStore, weights: list[float]) -> None:
    with pytest.raises(ctprune.ConfigError, match="weights: expected"):
        StoreBatches(store, 2, seed=0, positions=np.arange(3), weights=np.array(weights))


def test_some_slices_only(store: SliceStore) -> None:
    chosen = np.arange(3, 20, 2)
    batches = StoreBatches(store, 3, seed=0, positions=chosen)
    assert batches.slices == 9
    assert sorted(chain.from_iterable(positions(batches, 0))) == chosen.tolist()
    resident = StoreBatches(store, 3, seed=0, positions=chosen, resident=True)
    for a, b in zip(batches.epoch(0), resident.epoch(0), strict=True):
        assert torch.equal(a.positions, b.positions)
        np.testing.assert_array_equal(pixels(a.pixels), pixels(b.pixels))


def test_a_batch_can_be_changed_without_harm(store: SliceStore) -> None:
    before = np.array(store.pixels)
    for batch in StoreBatches(store, 4, seed=0).epoch(0):
        batch.pixels.zero_()
    np.testing.assert_array_equal(ctprune.open_store(store.folder).pixels, before)


def test_leaving_early_ends_the_thread(store: SliceStore) -> None:
    def readers() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "ctprune-ahead"]

    epoch = StoreBatches(store, 2, seed=0).epoch(0)
    next(epoch)
    assert len(readers()) == 1
    epoch.close()  # type: ignore[attr-defined]
    assert readers() == []
    list(StoreBatches(store, 2, seed=0).epoch(0))
    assert readers() == []


def test_a_fault_in_the_thread_reaches_the_caller(store: SliceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = StoreBatches(store, 2, seed=0)

    def fail(indices: object) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(batches, "_read", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        list(batches.epoch(0))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("resident", [None, False, True])
def test_batches_on_a_gpu(store: SliceStore, resident: bool | None) -> None:
    batches = StoreBatches(store, 7, seed=3, resident=resident, device="cuda")
    for batch in batches.epoch(0):
        assert batch.pixels.device.type == "cuda"
        np.testing.assert_array_equal(pixels(batch.pixels.cpu()), store.pixels[batch.positions.numpy()])


def test_mistakes_are_one_sentence(store: SliceStore) -> None:
    for options, sentence in (
        ({"batch_size": 10**6}, "a batch of 1000000 is larger than all there is, "),
        ({"batch_size": 0}, "at least one of each"),
        ({"batch_size": 2, "rank": 2, "world_size": 2}, "rank 2 of 2"),
        ({"batch_size": 1, "positions": np.array([0, len(store)])}, "expected integers from 0"),
    ):
        with pytest.raises(ctprune.ConfigError, match=sentence):
            StoreBatches(store, seed=0, **options)
    with pytest.raises(ctprune.ConfigError, match="epoch 0, step 1000"):
        StoreBatches(store, 2, seed=0).epoch(0, start_step=1000)


@pytest.mark.skipif(not hasattr(os, "preadv"), reason="files are mapped here")
@pytest.mark.parametrize("depth", [8, 16])
def test_a_store_cut_short_while_it_is_read_is_one_sentence(archive: Path, tmp_path: Path, depth: int) -> None:
    manifest = ctprune.reduce(archive, method="all")
    store = ctprune.build_store(manifest, side=64, depth=depth, out=tmp_path / "store")
    batches = StoreBatches(store, 4, seed=0).epoch(0)
    pixels, positions = next(batches)
    assert (pixels.numpy() == store.pixels[positions.numpy()]).all()
    os.truncate(tmp_path / "store" / "pixels.npy", 5000)
    with pytest.raises(ctprune.StoreError, match=f"{tmp_path}/store: the store was truncated"):
        list(batches)
