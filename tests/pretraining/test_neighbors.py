"""Every second view from a slice nearby: candidates against a slow loop, one choice however it is trained."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses import FakeTensorMode

import ctprune
from ctprune.networks.backbone import backbone_metadata
from ctprune.overlapping.excluded import Excluded
from ctprune.pretraining.batches import StoreBatches
from ctprune.pretraining.config import PretrainConfig
from ctprune.pretraining.neighbors import Neighbors
from ctprune.pretraining.show_views import write_views
from ctprune.pretraining.used_slices import UsedSlices, find_neighbors
from ctprune.pretraining.view_config import CropConfig, ViewConfig
from ctprune.pretraining.view_parameters import view_generator
from ctprune.pretraining.views import BatchViews
from tests.pretraining.dispatched import counted
from tests.pretraining.tiny import stopped_after, tiny

CROPS = (CropConfig(count=1, size=32), CropConfig(count=2, size=32), CropConfig(count=3, size=16))
VIEWS = ViewConfig(crops=CROPS, blur_sigma=(0.1, 1), noise_probability=0.5, rotation_probability=0.5)


def candidates(volume: Any, position: Any, reach: float, index: int) -> list[int]:
    """Slices of the same volume that are near enough, by a look at each."""
    found = [
        other
        for other in range(len(volume))
        if other == index
        or (volume[other] == volume[index] and abs(position[other] - position[index]) <= reach + 0.001)
    ]
    return sorted(found, key=lambda other: (position[other], other))


def some_volumes(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Slices of several volumes: unordered, unevenly spaced, some without a position."""
    random = np.random.default_rng(seed)
    volume = random.integers(0, 6, 80)
    position = random.choice([1.0, 2.5, 3.0], 80) * random.integers(-9, 9, 80) + random.normal(0, 1e-5, 80)
    position[random.random(80) < 0.1] = np.nan
    position[volume == 5] = np.nan
    return volume.astype(np.int64), position


@pytest.mark.parametrize("reach", [0.5, 2.5, 5.0, 1000.0])
def test_neighbors_are_those_of_a_slow_loop(reach: float) -> None:
    volume, position = some_volumes(int(reach))
    found = Neighbors(volume, position, reach)
    for index in range(len(volume)):
        expected = candidates(volume, position, reach, index)
        assert found.counts[index] == len(expected)
        lots = np.arange(len(expected), dtype=np.uint64) + np.uint64(len(expected) * 2**40)
        assert found.choose(np.full(len(expected), index), lots).tolist() == expected


def test_distances_are_inclusive_to_a_micrometer() -> None:
    position = np.array([0.0, 4.9999999, 9.9999998, 15.002])
    assert Neighbors(np.zeros(4, np.int64), position, 5.0).counts.tolist() == [2, 3, 2, 1]
    # Texts of headers: 0.1 + 0.2 is not 0.3.
    assert Neighbors(np.zeros(2, np.int64), np.array([0.1 + 0.2, 0.0]), 0.3).counts.tolist() == [2, 2]


@pytest.fixture(scope="module", params=[8, 16])
def packed(run: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Any:
    store = ctprune.build_store(
        run, use="all", side=24, depth=request.param, out=tmp_path_factory.mktemp("near") / "store"
    )
    slices = ctprune.Manifest.load(run).slices()
    return store, slices.volume[store.rows], slices.position_mm[store.rows]


def positions(batches: StoreBatches, epoch: int, start: int = 0) -> list[list[int]]:
    return [batch.positions.tolist() for batch in batches.epoch(epoch, start)]


@pytest.mark.parametrize("weighted", [False, True])
def test_batches_bring_a_neighbor_of_each_slice(packed: Any, weighted: bool) -> None:
    store, volume, position = packed
    chosen = np.arange(1, len(store), 2)
    neighbors = Neighbors(volume[chosen], position[chosen], 12.0)
    weights = np.arange(len(chosen)) % 3 + 1 if weighted else None
    options: dict[str, Any] = {"seed": 3, "positions": chosen, "weights": weights}
    batches = StoreBatches(store, 6, **options, neighbors=neighbors)
    plain = StoreBatches(store, 6, **options)
    resident = StoreBatches(store, 6, **options, neighbors=neighbors, resident=True)
    lots, place, others = np.random.PCG64([3, 1, 2]).random_raw(len(chosen)).tolist(), 0, 0
    for one, other, alone in zip(batches.epoch(1), resident.epoch(1), plain.epoch(1), strict=True):
        assert torch.equal(one.positions[:6], alone.positions)
        for own, near in one.positions.reshape(2, 6).T.tolist():
            # Among the slices in use alone, every one as likely as the others.
            expected = candidates(volume[chosen], position[chosen], 12.0, int(np.searchsorted(chosen, own)))
            assert near == chosen[expected[lots[place] % len(expected)]]
            others += near != own
            place += 1
        assert torch.equal(one.positions, other.positions)
        for found in (one, other):
            np.testing.assert_array_equal(found.pixels.numpy(), store.pixels[found.positions.numpy()])
    assert others > place / 3
    whole = positions(batches, 4)
    assert positions(batches, 4, 3) == whole[3:]
    shares = [
        positions(StoreBatches(store, 2, **options, rank=rank, world_size=3, neighbors=neighbors), 4)
        for rank in range(3)
    ]
    for together, parts in zip(whole, zip(*shares, strict=True), strict=True):
        assert together[:6] == list(chain.from_iterable(part[:2] for part in parts))
        assert together[6:] == list(chain.from_iterable(part[2:] for part in parts))


def test_every_second_view_is_the_neighbors() -> None:
    pixels = torch.randint(0, 256, (8, 40, 40), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    alone, both = BatchViews(VIEWS, 0.3, 0.2), BatchViews(VIEWS, 0.3, 0.2, neighbors=True)
    plan = both.draw(4, 40, view_generator(0, 0, 0))
    own, near = alone(pixels[:4], plan), alone(pixels[4:], plan)
    found = both(pixels, plan)
    assert len(found) == 6
    for number, view in enumerate(found):
        assert torch.equal(view, (own, near)[number % 2][number])
        assert not torch.equal(view, (near, own)[number % 2][number])
    assert all(
        torch.equal(one, two) for one, two in zip(both(pixels, view_generator(0, 0, 0)), found, strict=True)
    )
    with pytest.raises(ctprune.ConfigError, match="expected as many neighbors as slices, found 7"):
        both(pixels[:7], plan)


def test_views_of_neighbors_on_a_gpu_wait_for_nothing() -> None:
    config = replace(VIEWS, noise_probability=0)
    plan = BatchViews(config, 0.3, 0.2, neighbors=True).draw(4, 40, view_generator(0, 0, 0))
    with FakeTensorMode(allow_non_fake_inputs=True):
        with torch.device("cuda"):
            there = BatchViews(config, 0.3, 0.2, neighbors=True)
            pixels = torch.empty(8, 40, 40, dtype=torch.uint8)
        with counted() as found:
            made = there(pixels, plan)
    assert [(view.device.type, len(view)) for view in made] == [("cuda", 4)] * 6
    assert found.waits == {}


def test_a_training_with_neighbors_resumes_to_the_bit(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(
        "simclr", positives="neighbors:20", steps=3, batch_size=4, sample_weights=True, backbone="test_resnet"
    )
    whole = ctprune.pretrain(run, config, out=tmp_path / "whole")
    with stopped_after(2, monkeypatch), pytest.raises(ctprune.Interrupted):
        ctprune.pretrain(run, config, out=tmp_path / "parts")
    torch.manual_seed(5)
    parts = ctprune.pretrain(run, config, out=tmp_path / "parts", resume=True)
    assert parts.summary["final_loss"] == whole.summary["final_loss"]
    slices = ctprune.Manifest.load(run).slices()
    kept = np.flatnonzero(slices.kept)
    near = [len(candidates(slices.volume[kept], slices.position_mm[kept], 20, i)) - 1 for i in range(len(kept))]
    assert whole.summary["neighbors"] == {
        "slices": sum(count > 0 for count in near),
        "mean": pytest.approx(np.mean(near)),
        "without_position": 0,
    }
    assert backbone_metadata(whole.backbone)["settings"]["positives"] == "neighbors:20"
    card = (tmp_path / "whole" / "README.md").read_text()
    assert f"of a slice within 20 mm, itself among {np.mean(near) + 1:.1f} on average" in card
    (tmp_path / "parts" / "summary.json").unlink()
    with pytest.raises(ctprune.ConfigError, match="positives was neighbors:20"):
        ctprune.pretrain(run, replace(config, positives="same"), out=tmp_path / "parts", resume=True)


def test_slices_left_out_lend_no_views(run: Path, packed: Any) -> None:
    store, *_ = packed
    config = tiny(use="all", positives="neighbors:1000", exclude=["elsewhere"])
    close = Excluded(rows=store.rows[::2], threshold=3)
    used = UsedSlices.of(config, ctprune.Manifest.load(run), store, close)
    assert used.positions.tolist() == list(range(1, len(store), 2))
    batches = StoreBatches(store, 8, 0, positions=used.positions, neighbors=used.neighbors)
    assert all(place % 2 for batch in positions(batches, 0) for place in batch)
    assert used.notes() == []


def test_slices_without_positions(run: Path) -> None:
    slices = ctprune.Manifest.load(run).slices()
    rows, config = np.arange(20), tiny(positives="neighbors:2.5")
    slices.position_mm[:3] = np.nan
    found = find_neighbors(config, slices, rows)
    assert found is not None
    assert found.counts[:3].tolist() == [1, 1, 1]
    slices.position_mm[:20] = np.nan
    with pytest.raises(ctprune.ConfigError, match="none of the 20 slices has a position along a scan"):
        find_neighbors(config, slices, rows)
    assert find_neighbors(tiny(), slices, rows) is None


def test_notes_say_where_neighbors_are_missing(run: Path, packed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = ctprune.Manifest.load(run)
    slices = manifest.slices()
    slices.position_mm[:3] = np.nan
    monkeypatch.setattr(ctprune.Manifest, "slices", lambda _: slices)
    near = UsedSlices.of(tiny(use="all", positives="neighbors:0.01"), manifest, packed[0], None)
    assert near.near == {"slices": 0, "mean": 0, "without_position": 3}
    first, second = near.notes()
    assert first.startswith("3 slices have no position")
    assert "give a larger distance" in second


def test_a_picture_shows_the_neighbor(packed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, volume, position = packed
    titles: list[str] = []
    monkeypatch.setattr(
        "ctprune.pretraining.show_views._draw", lambda axes, image, title, limits: titles.append(title)
    )
    views = tiny("byol", depth=store.config.depth).views
    write_views(store, views, tmp_path / "near.png", neighbors=Neighbors(volume, position, 9), slices=2)
    assert titles[:4] == ["slice", "neighbor", "32 px", "32 px"]
    assert len(titles) == 8


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("same", "same"),
        ("neighbors:5", "neighbors:5"),
        ("neighbors:5.0", "neighbors:5"),
        ("neighbors:.5", "neighbors:0.5"),
    ],
)
def test_how_a_distance_is_written(given: str, canonical: str) -> None:
    config = tiny(positives=given)
    assert config.positives == canonical
    assert PretrainConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    "given", ["neighbours:5", "neighbors", "neighbors:", "neighbors:0", "neighbors:nan", "5", 5]
)
def test_distances_that_cannot_be_used(given: Any) -> None:
    with pytest.raises(ctprune.ConfigError, match=f"positives {given}: expected same or neighbors:MM"):
        tiny(positives=given)
