"""Neighboring slices as channels: against slow loops in the store, in batches, views, trainings, conversions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode

import ctprune
from ctprune.networks.backbone import backbone_metadata, create_backbone, save_backbone
from ctprune.networks.gray_backbone import GrayBackbone, Normalization
from ctprune.networks.pretrained import Pretrained
from ctprune.overlapping.excluded import Excluded
from ctprune.pretraining.batches import StoreBatches
from ctprune.pretraining.methods import METHODS, create_method
from ctprune.pretraining.neighbors import Neighbors
from ctprune.pretraining.result import notes_on
from ctprune.pretraining.show_views import write_views
from ctprune.pretraining.used_slices import UsedSlices, find_channels
from ctprune.pretraining.view_config import CropConfig, ViewConfig, WindowConfig
from ctprune.pretraining.view_parameters import view_generator
from ctprune.pretraining.view_transforms import jitter
from ctprune.pretraining.views import BatchViews
from ctprune.store.channels import channel_rows
from tests.pretraining.dispatched import counted
from tests.pretraining.rank import example_views
from tests.pretraining.tiny import START, network_of, stopped_after, tiny

CROPS = (CropConfig(count=2, size=32), CropConfig(count=2, size=16))

#: Every step but noise and jitter, which look at more than one channel.
VIEWS = ViewConfig(
    crops=CROPS,
    blur_sigma=(0.1, 1),
    rotation_probability=0.5,
    flip_horizontal=0.5,
    flip_vertical=0.5,
    jitter_probability=0,
)


def toward(position: Any, own: int, of_volume: list[int], distance: float, sign: int) -> int:
    """The slice nearest to a distance before (-1) or after (1) one: a look at each, from the slice outward."""
    outward = sorted(
        (other for other in of_volume if sign * (position[other] - position[own]) >= 0),
        key=lambda other: sign * position[other],
    )
    best, least = own, distance
    for other in outward:
        away = abs(sign * (position[other] - position[own]) - distance)
        if away < least - 0.001:
            best, least = other, away
    return best


def shown(volume: Any, position: Any, distance: float) -> list[list[int]]:
    """The channels of every slice, by a loop."""
    found = []
    for own in range(len(volume)):
        same = [other for other in range(len(volume)) if volume[other] == volume[own]]
        same = [other for other in same if np.isfinite(position[other])]
        ends = [
            toward(position, own, same, distance, sign) if np.isfinite(position[own]) else own for sign in (-1, 1)
        ]
        found.append([ends[0], own, ends[1]])
    return found


@pytest.mark.parametrize("distance", [0.5, 2.5, 5.0, 6.25, 1000.0])
def test_channels_are_those_of_a_slow_loop(distance: float) -> None:
    random = np.random.default_rng(int(distance))
    volume = random.integers(0, 5, 90)
    position = random.permutation(np.arange(90)) * random.choice([0.5, 1.25, 2.5], 90) + random.normal(0, 1e-5, 90)
    for number in range(5):
        # Different positions: two slices in one place would be one as well as the other.
        _, first = np.unique(position[volume == number].round(2), return_index=True)
        twice = np.setdiff1d(np.arange((volume == number).sum()), first)
        position[np.flatnonzero(volume == number)[twice]] = np.nan
    position[volume == 4] = np.nan
    assert channel_rows(volume, position, distance).tolist() == shown(volume, position, distance)


def test_equally_near_slices_are_the_closer_ones_whatever_the_last_digit() -> None:
    for noise in (-1e-6, 1e-6):
        position = np.array([0.0, 2.5 + noise, 5.0, 7.5 - noise])
        assert channel_rows(np.zeros(4, np.int64), position, 1.25).tolist() == [[i, i, i] for i in range(4)]
        assert channel_rows(np.zeros(4, np.int64), position, 2.5).tolist() == [
            [0, 0, 1],
            [0, 1, 2],
            [1, 2, 3],
            [2, 3, 3],
        ]


@pytest.fixture(scope="module")
def stores(run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Any]:
    """Packed kept slices with channels 5 mm away, 8 and 16 bits."""
    folder = tmp_path_factory.mktemp("channels")
    return {
        depth: ctprune.build_store(run, side=24, depth=depth, channels="neighbors:5", out=folder / f"{depth}")
        for depth in (8, 16)
    }


@pytest.mark.parametrize("depth", [8, 16])
def test_a_store_packs_what_channels_show_once(stores: Any, run: Path, tmp_path: Path, depth: int) -> None:
    store, slices = stores[depth], ctprune.Manifest.load(run).slices()
    kept = np.flatnonzero(slices.kept)
    everything = ctprune.build_store(run, use="all", side=24, depth=depth, out=tmp_path / "all")
    wanted = {row for own in kept for row in shown(slices.volume, slices.position_mm, 5.0)[own]}
    assert store.rows.tolist() == kept.tolist()
    assert store.beside.tolist() == sorted(wanted - set(kept.tolist()))
    assert len(store.beside) > len(kept) / 2
    packed = np.concatenate([store.rows, store.beside])
    np.testing.assert_array_equal(store.pixels, everything.pixels[packed])
    # What is shown beside does not count for the normalization.
    gray = ctprune.build_store(run, side=24, depth=depth, out=tmp_path / "gray")
    assert (store.mean, store.std, len(store)) == (gray.mean, gray.std, len(gray))
    np.testing.assert_array_equal(store.histogram, gray.histogram)
    assert gray.beside.tolist() == []
    np.testing.assert_array_equal(ctprune.open_store(store.folder).beside, store.beside)


def test_a_store_of_all_slices_serves_any_channels(run: Path) -> None:
    gray = ctprune.build_store(run, use="all", side=16)
    assert ctprune.build_store(run, use="all", side=16, channels="neighbors:5").folder == gray.folder
    kept = ctprune.build_store(run, side=16, channels="neighbors:2.5")
    assert kept.folder.name == "store-kept-16-8-neighbors-2.5"


def used_of(run: Path, store: Any, close: Excluded | None = None, **options: Any) -> UsedSlices:
    config = tiny(channels="neighbors:5", exclude=["elsewhere"] if close else (), **options)
    return UsedSlices.of(config, ctprune.Manifest.load(run), store, close)


@pytest.mark.parametrize("use", ["kept", "all"])
def test_batches_have_a_slice_between_its_neighbors(stores: Any, run: Path, tmp_path: Path, use: str) -> None:
    slices = ctprune.Manifest.load(run).slices()
    for depth in (8, 16):
        store = stores[depth]
        if use == "all":
            store = ctprune.build_store(run, use="all", side=24, depth=depth, out=tmp_path / f"{depth}")
        used = used_of(run, store, use=use)
        everything = np.concatenate([store.rows, store.beside]).tolist()
        expected = shown(slices.volume, slices.position_mm, 5.0)
        neighbors = Neighbors(slices.volume[store.rows], slices.position_mm[store.rows], 25)
        for near, resident in ((None, False), (None, True), (neighbors, False), (neighbors, True)):
            batches = StoreBatches(store, 5, 0, channels=used.channels, neighbors=near, resident=resident)
            for batch in batches.epoch(1):
                assert batch.pixels.dtype == (torch.uint8 if depth == 8 else torch.uint16)
                assert batch.pixels.shape == (10 if near else 5, 3, 24, 24)
                for position, pixels in zip(batch.positions.tolist(), batch.pixels.numpy(), strict=True):
                    places = [everything.index(row) for row in expected[store.rows[position]]]
                    np.testing.assert_array_equal(pixels, store.pixels[places])
        three = [len(set(expected[row])) == 3 for row in store.rows]
        assert used.complete_channels == sum(three) > 0


def test_slices_left_out_are_shown_by_no_channel(stores: Any, run: Path) -> None:
    store, slices = stores[8], ctprune.Manifest.load(run).slices()
    banned = np.sort(np.concatenate([store.rows[::3], store.beside[::2]]))
    close = Excluded(rows=banned, threshold=3)
    used = used_of(run, store, close)
    assert used.positions is not None
    assert used.channels is not None
    packed = np.concatenate([store.rows, store.beside])
    expected = np.array(shown(slices.volume, slices.position_mm, 5.0))[store.rows[used.positions]]
    expected = np.where(np.isin(expected, banned), expected[:, 1:2], expected)
    np.testing.assert_array_equal(packed[used.channels], expected)
    assert used.digest != used_of(run, store).digest


def test_unreadable_neighbors_are_replaced_by_the_slice(stores: Any, run: Path) -> None:
    whole = stores[8]
    slices = ctprune.Manifest.load(run).slices()
    damaged = replace(whole, beside=whole.beside[1:])
    config = tiny(channels="neighbors:5")
    before, after = (find_channels(config, slices, store, None) for store in (whole, damaged))
    assert before is not None
    assert after is not None
    lost = before == len(whole)
    assert lost.any()
    own = np.repeat(np.arange(len(whole))[:, None], 3, axis=1)
    np.testing.assert_array_equal(after, np.where(lost, own, before - (before > len(whole))))


def pictures(count: int, side: int, depth: int) -> Tensor:
    random = np.random.default_rng(depth)
    values = random.integers(0, 2**depth, (count, 3, side, side))
    return torch.from_numpy(values.astype(np.uint8 if depth == 8 else np.uint16))


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("neighbors", [False, True])
def test_channels_share_crop_flip_rotation_window_and_blur(depth: int, neighbors: bool) -> None:
    config = replace(VIEWS, window=WindowConfig() if depth == 16 else None)
    pixels = pictures(8, 40, depth)
    views = BatchViews(config, 0.3, 0.2, neighbors=neighbors)
    plan = views.draw(4 if neighbors else 8, 40, view_generator(0, 0, 0))
    found = views(pixels, plan)
    for channel in range(3):
        alone = views(pixels[:, channel].contiguous(), plan)
        for one, view in zip(alone, found, strict=True):
            torch.testing.assert_close(view[:, channel], one[:, 0], rtol=0, atol=1e-5)
    assert all(view.shape[1] == 3 and view.is_contiguous(memory_format=torch.channels_last) for view in found)


def test_contrast_is_about_the_mean_of_all_channels() -> None:
    views = torch.rand(6, 3, 9, 9, generator=torch.Generator().manual_seed(1))
    factor = torch.tensor([[0.7, 1.2], [1.3, 0.6]]).repeat(3, 1)
    about = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(3, 1)
    found = jitter(views.clone(), factor, about)
    for view, factors, kinds, result in zip(views, factor.tolist(), about.tolist(), found, strict=True):
        for times, contrast in zip(factors, kinds, strict=True):
            view = (view * times + (1 - times) * view.mean() * contrast).clamp(0, 1)
        torch.testing.assert_close(result, view, rtol=0, atol=1e-6)


def test_noise_differs_between_channels() -> None:
    config = ViewConfig(crops=CROPS, jitter_probability=0, blur_probability=0, noise_probability=1)
    (view, *_) = BatchViews(config, 0, 1)(
        torch.full((2, 3, 40, 40), 128, dtype=torch.uint8), view_generator(0, 0, 0)
    )
    assert not torch.equal(view[:, 0], view[:, 1])


@pytest.mark.parametrize("depth", [8, 16])
def test_views_with_channels_on_a_gpu_wait_for_nothing(depth: int) -> None:
    config = replace(VIEWS, jitter_probability=1, window=WindowConfig() if depth == 16 else None)
    plan = BatchViews(config, 0.3, 0.2).draw(4, 40, view_generator(0, 0, 0))
    with FakeTensorMode(allow_non_fake_inputs=True):
        with torch.device("cuda"):
            there = BatchViews(config, 0.3, 0.2)
            pixels = torch.empty(4, 3, 40, 40, dtype=torch.uint8 if depth == 8 else torch.uint16)
            gray = torch.empty(4, 40, 40, dtype=pixels.dtype)
        with counted() as found:
            made = there(pixels, plan)
        with counted() as of_gray:
            there(gray, plan)
    assert [tuple(view.shape[:2]) for view in made] == [(4, 3)] * 4
    assert found.waits == {}
    # At most a copy of each matrix for all channels.
    assert found.launches <= of_gray.launches + 4 * len(config.crops), found.operations


def test_a_training_with_channels_resumes_to_the_bit_and_says_what_it_saw(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny("simclr", channels="neighbors:5", steps=3, batch_size=4, backbone="test_resnet")
    seen: list[int] = []
    forward = BatchViews.forward

    def watched(self: Any, pixels: Tensor, plan: Any) -> list[Tensor]:
        views = forward(self, pixels, plan)
        seen.append(int((views[0][:, 0] != views[0][:, 2]).flatten(1).any(1).sum()))
        return views

    monkeypatch.setattr(BatchViews, "forward", watched)
    whole = ctprune.pretrain(run, config, out=tmp_path / "whole")
    assert sum(seen) > 6
    with stopped_after(2, monkeypatch), pytest.raises(ctprune.Interrupted):
        ctprune.pretrain(run, config, out=tmp_path / "parts")
    torch.manual_seed(5)
    parts = ctprune.pretrain(run, config, out=tmp_path / "parts", resume=True)
    assert parts.summary["final_loss"] == whole.summary["final_loss"]
    assert whole.summary["channels"] == "neighbors:5"
    assert 0 < whole.summary["complete_channels"] <= whole.summary["slices"]
    assert backbone_metadata(whole.backbone)["channels"] == "neighbors:5"
    card = (tmp_path / "whole" / "README.md").read_text()
    assert "three channels (the slice of the volume nearest to 5 mm before, the slice itself" in card
    with pytest.raises(ctprune.WeightsError, match="expected a backbone for single gray slices, found one"):
        Pretrained.find(whole.backbone)


def test_single_images_are_refused_for_such_a_backbone(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "made.safetensors"
    metadata = {"channels": "neighbors:5"}
    save_backbone(create_backbone("resnet18"), file, name="resnet18", metadata=metadata)
    with pytest.raises(ctprune.WeightsError, match=r"channels` neighbors:5\): take one that was pre-trained with"):
        ctprune.reduce(run.parent, method="deep", threshold=0.9, weights=file)


def test_a_backbone_takes_three_gray_channels_as_they_are() -> None:
    torch.manual_seed(0)
    network = GrayBackbone(create_backbone("resnet18"), Normalization((0.3,), (0.2,))).eval()
    images = pictures(2, 32, 8)
    with torch.inference_mode():
        found = network(images)
        expected = network.backbone((images.float() / 255 - 0.3) / 0.2)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        repeated = network(images[:, 1])
        assert torch.equal(network(images[:, 1:2].expand(-1, 3, -1, -1)), repeated)
    assert not torch.equal(found, repeated)


@pytest.mark.parametrize("to", [pytest.param("onnx", marks=pytest.mark.slow), "timm"])
def test_such_a_backbone_is_converted_with_its_three_channels(to: str, tmp_path: Path) -> None:
    pytest.importorskip("timm" if to == "timm" else "onnxruntime", reason=f"the extra {to} is not installed")
    file = tmp_path / "made.safetensors"
    metadata = {"channels": "neighbors:5", "mean": 0.3, "std": 0.2}
    save_backbone(create_backbone("resnet18"), file, name="resnet18", metadata=metadata)
    out = tmp_path / ("there.onnx" if to == "onnx" else "there")
    # It compares features of random channels itself.
    assert ctprune.convert_backbone(file, out, to=to, side=32).largest_difference < 1e-3
    if to == "timm":
        assert backbone_metadata(out) == backbone_metadata(file) | {"mean": [0.3], "std": [0.2]}
        with pytest.raises(ctprune.WeightsError, match="expected a backbone for single gray slices"):
            Pretrained.find(out)
    if to == "onnx":
        import onnxruntime

        (given,) = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"]).get_inputs()
        assert given.shape[1] == 3
        assert len(given.shape) == 4


def test_slices_without_positions_are_refused(run: Path, stores: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    slices = ctprune.Manifest.load(run).slices()
    slices.position_mm[:] = np.nan
    with pytest.raises(ctprune.ConfigError, match=r"channels neighbors:5: none of the \d+ slices has a position"):
        find_channels(tiny(channels="neighbors:5"), slices, stores[8], None)
    assert find_channels(tiny(), slices, stores[8], None) is None


def test_notes_say_when_channels_show_one_slice(run: Path, tmp_path: Path) -> None:
    store = ctprune.build_store(run, side=16, channels="neighbors:0.1", out=tmp_path / "store")
    assert store.beside.tolist() == []
    (note,) = UsedSlices.of(tiny(channels="neighbors:0.1"), ctprune.Manifest.load(run), store, None).notes()
    assert "give another distance" in note


def test_a_note_says_when_each_channel_has_its_own_scale() -> None:
    (note,) = notes_on(tiny(channels="neighbors:5"), 100, "minmax")
    assert note.startswith("intensity minmax scales each slice by its own range")
    assert "neighbors:5 differ in brightness" in note
    assert notes_on(tiny(channels="neighbors:5"), 100, "hu:-1000,400") == []
    assert notes_on(tiny(), 100, "minmax") == []


def test_a_picture_shows_channels_as_colors(
    stores: Any, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr("matplotlib.axes.Axes.imshow", lambda _, image, **__: drawn.append(image))
    for depth, store in stores.items():
        views = tiny("byol", depth=depth).views
        write_views(store, views, tmp_path / "views.png", channels=used_of(run, store).channels, slices=2)
    assert {image.shape for image in drawn} == {(24, 24, 3), (32, 32, 3)}
    assert all(0 <= image.min() < image.max() <= 1 for image in drawn)
    assert any((image[..., 0] != image[..., 2]).any() for image in drawn)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_takes_three_channels(name: str) -> None:
    torch.manual_seed(0)
    method = create_method(tiny(name), network_of(name))
    gray = example_views(name)
    method.before_step(START)
    alone = method(gray, START).loss.item()
    # Equal channels are what gray views become.
    torch.manual_seed(0)
    method = create_method(tiny(name), network_of(name))
    method.before_step(START)
    equal = method([view.expand(-1, 3, -1, -1) for view in gray], START).loss.item()
    assert equal == pytest.approx(alone, rel=1e-4)
    other = [torch.cat([view.flip(2), view, view.flip(3)], dim=1) for view in gray]
    assert method(other, START).loss.item() != pytest.approx(alone, rel=1e-6)
