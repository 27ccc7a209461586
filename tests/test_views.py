"""Views: each step against torchvision or a slow loop; what chance decides against the rule it follows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import functional as reference

import ctprune
from ctprune.environment.precision import full_precision, quick_gpu
from ctprune.pretraining.view_config import CropConfig, ViewConfig, WindowConfig, pair_views, swav_views
from ctprune.pretraining.view_parameters import (
    NUMBERS,
    ViewParameters,
    ViewPlan,
    draw_numbers,
    view_generator,
    view_parameters,
)
from ctprune.pretraining.view_transforms import (
    add_noise,
    blur,
    blur_taps,
    jitter,
    resized_crops,
    rotate,
    values_of,
    window,
)
from ctprune.pretraining.views import BatchViews, normalization

SMALL = (CropConfig(count=2, size=40, scale=(0.5, 1.0)), CropConfig(count=3, size=24, scale=(0.1, 0.4)))

#: All steps at once, each often.
BUSY = ViewConfig(
    crops=SMALL,
    rotation_probability=0.5,
    flip_horizontal=0.5,
    flip_vertical=0.5,
    noise_probability=0.5,
    blur_sigma=(0.1, 2.0),
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def slices(count: int, side: int, depth: int = 8) -> Tensor:
    """Noise with some structure, over the whole range of the type."""
    random = np.random.default_rng(count + side)
    ramp = np.linspace(0, 0.6, side)[:, None] * np.ones(side)
    values = (ramp + 0.4 * random.random((count, side, side))) * (2**depth - 1)
    return torch.from_numpy(values.astype(np.uint8 if depth == 8 else np.uint16))


@pytest.mark.parametrize(("side", "size"), [(64, 24), (64, 64), (48, 96), (130, 33)])
def test_crops_are_torchvisions_with_antialiasing(side: int, size: int) -> None:
    images = torch.rand(40, side, side, generator=generator())
    config = ViewConfig(crops=(CropConfig(size=size, scale=(0.05, 1.0)),), flip_horizontal=0.5, flip_vertical=0.5)
    numbers = draw_numbers(config, 40, generator())[0]
    chosen = view_parameters(config, config.crops[0], side, numbers)
    found = resized_crops(images, chosen.box, chosen.flip, size)
    assert set(map(tuple, chosen.flip.tolist())) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    for image, box, flip, view in zip(images, chosen.box.int().tolist(), chosen.flip, found, strict=True):
        expected = reference.resized_crop(image[None], *box, [size, size], antialias=True)
        expected = reference.hflip(expected) if flip[0] else expected
        expected = reference.vflip(expected) if flip[1] else expected
        torch.testing.assert_close(view, expected[0], rtol=0, atol=2e-5)


def test_crops_of_16_bits_keep_every_bit_that_float32_has() -> None:
    images = values_of(slices(8, 64, 16))
    boxes = torch.tensor([[3.0, 5, 40, 50]]).expand(8, 4)
    found = resized_crops(images, boxes, torch.zeros(8, 2), 32)
    for image, view in zip(images.double(), found, strict=True):
        expected = reference.resized_crop(image[None], 3, 5, 40, 50, [32, 32], antialias=True)[0]
        torch.testing.assert_close(view.double(), expected, rtol=0, atol=0.1)
    whole = torch.tensor([[0.0, 0, 64, 64]]).expand(8, 4)
    torch.testing.assert_close(resized_crops(images, whole, torch.zeros(8, 2), 64), images, rtol=0, atol=0)


def test_rotation_is_torchvisions_and_continues_the_edge() -> None:
    images = torch.rand(12, 33, 33, generator=generator())
    degrees = torch.linspace(-180, 180, 12)
    inside = torch.hypot(*torch.meshgrid(torch.arange(33) - 16.0, torch.arange(33) - 16.0, indexing="ij")) < 15
    for image, angle, view in zip(images, degrees.tolist(), rotate(images, degrees), strict=True):
        expected = reference.rotate(image[None], angle, reference.InterpolationMode.BILINEAR)[0]
        torch.testing.assert_close(view[inside], expected[inside], rtol=0, atol=2e-5)
    even = rotate(torch.full((1, 16, 16), 7.0), torch.tensor([30.0]))
    torch.testing.assert_close(even, torch.full((1, 16, 16), 7.0))


def test_jitter_is_torchvisions_in_either_order() -> None:
    views = torch.rand(20, 16, 16, generator=generator())
    config = ViewConfig(jitter_probability=0.7)
    chosen = view_parameters(config, config.crops[0], 64, draw_numbers(config, 20, generator())[0])
    found = jitter(views.clone(), chosen.factor, chosen.about_mean)
    assert set(chosen.about_mean[:, 0].tolist()) == {0, 1}
    assert (chosen.factor == 1).all(dim=1).any()
    for view, factors, kinds, result in zip(views, chosen.factor, chosen.about_mean, found, strict=True):
        expected = view[None]
        for factor, contrast in zip(factors.tolist(), kinds, strict=True):
            adjust = reference.adjust_contrast if contrast else reference.adjust_brightness
            expected = adjust(expected, factor)
        torch.testing.assert_close(result, expected[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [8, 31, 48])
def test_blur_is_torchvisions(size: int) -> None:
    views = torch.rand(9, size, size, generator=generator())
    sigma = torch.tensor([0, 0.1, 0.3, 0.5, 0.9, 1.3, 1.7, 2.0, 0])
    for view, width, result in zip(views, sigma, blur(views, sigma, blur_taps(size, 6)), strict=True):
        if width:
            expected = reference.gaussian_blur(view[None], [13, 13], [width.item()] * 2)[0]
            torch.testing.assert_close(result, expected, rtol=0, atol=1e-6)
        else:
            assert torch.equal(result, view)


def test_a_window_is_clipped_hounsfield_units() -> None:
    hu = torch.tensor([[[-2000.0, -160, 40, 240, 3000]]])
    found = window(hu + 32768, torch.tensor([[40.0, 400.0]]), 32768)
    assert found.tolist() == [[[0, 0, 0.5, 1, 1]]]


def test_noise_has_the_deviation_asked_for() -> None:
    views = torch.full((3, 200, 200), 0.5)
    noise = torch.randn(views.shape, generator=generator())
    found = add_noise(views, torch.tensor([0, 0.01, 0.1]), noise)
    assert found[0].unique().tolist() == [0.5]
    assert found[1].std().item() == pytest.approx(0.01, rel=0.02)
    assert found[2].std().item() == pytest.approx(0.1, rel=0.02)
    noise = torch.randn(1, 50, 50, generator=generator())
    assert add_noise(torch.zeros(1, 50, 50), torch.tensor([0.5]), noise).min() == 0


def test_how_often_and_how_much() -> None:
    config = ViewConfig(
        rotation_probability=0.3, rotation_degrees=20, noise_probability=0.4, window=WindowConfig()
    )
    chosen = view_parameters(config, config.crops[0], 64, draw_numbers(config, 20000, generator())[0])
    for values, neutral, probability, low, high in (
        (chosen.degrees, 0, 0.3, -20, 20),
        (chosen.blur_sigma, 0, 0.5, 0.1, 2),
        (chosen.noise_sigma, 0, 0.4, *config.noise_sigma),
        (chosen.factor[:, 0], 1, 0.8, 0.6, 1.4),
    ):
        changed = values[values != neutral]
        assert len(changed) / len(values) == pytest.approx(probability, abs=0.02)
        assert low <= changed.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < changed.max() <= high
    assert -100 <= chosen.window[:, 0].min() < -95
    assert 2000 * 1.19 < chosen.window[:, 1].max() <= 2000 * 1.2 + 1e-3


def slow_view(
    image: Tensor, config: ViewConfig, size: int, chosen: ViewParameters, i: int, largest: int
) -> Tensor:
    """One view by torchvision's functions."""
    view = image.float()[None] / largest
    if chosen.degrees[i]:
        view = rotate(view, chosen.degrees[i : i + 1])
    view = reference.resized_crop(view, *chosen.box[i].int().tolist(), [size, size], antialias=True)
    view = reference.hflip(view) if chosen.flip[i, 0] else view
    view = reference.vflip(view) if chosen.flip[i, 1] else view
    for factor, contrast in zip(chosen.factor[i].tolist(), chosen.about_mean[i], strict=True):
        view = (reference.adjust_contrast if contrast else reference.adjust_brightness)(view, factor)
    if chosen.blur_sigma[i]:
        kernel = 2 * config.blur_radius + 1
        view = reference.gaussian_blur(view, [kernel, kernel], [chosen.blur_sigma[i].item()] * 2)
    return view[0]


@pytest.mark.parametrize("depth", [8, 16])
def test_whole_views_are_those_of_a_slow_loop(depth: int) -> None:
    config = ViewConfig(crops=SMALL, rotation_probability=0.5, flip_horizontal=0.5, flip_vertical=0.5)
    images = slices(6, 80, depth)
    views = BatchViews(config, 0.3, 0.2)(images, generator(5))
    numbers = draw_numbers(config, 6, generator(5))
    crops = [crop for crop in SMALL for _ in range(crop.count)]
    for crop, of_view, view in zip(crops, numbers, views, strict=True):
        chosen = view_parameters(config, crop, 80, of_view)
        for i, image in enumerate(images):
            expected = slow_view(image, config, crop.size, chosen, i, 2**depth - 1)
            torch.testing.assert_close(view[i, 0] * 0.2 + 0.3, expected, rtol=0, atol=5e-5)


def view_by_view(config: ViewConfig, images: Tensor, chance: torch.Generator) -> list[Tensor]:
    """The views, each by itself."""
    numbers = iter(draw_numbers(config, len(images), chance))
    values, found = values_of(images), []
    for crop in [group for group in config.crops for _ in range(group.count)]:
        chosen = view_parameters(config, crop, images.shape[-1], next(numbers))
        view = rotate(values, chosen.degrees) if config.rotation_probability else values
        view = resized_crops(view, chosen.box, chosen.flip, crop.size)
        largest = 255 if images.dtype == torch.uint8 else 65535
        if config.gray_window is not None:
            view = window(view, chosen.window, 0)
        else:
            view = view.div(largest) if config.window is None else window(view, chosen.window, 32768)
        view = jitter(view, chosen.factor, chosen.about_mean)
        blurred = chosen.blur_sigma > 0
        taps = blur_taps(crop.size, config.blur_radius)
        view[blurred] = blur(view[blurred], chosen.blur_sigma[blurred], taps)
        if config.noise_probability:
            view = add_noise(view, chosen.noise_sigma, torch.randn(view.shape, generator=chance))
        found.append((view - 0.3).div(0.2)[:, None])
    return found


@pytest.mark.parametrize(
    ("config", "depth"),
    [
        (ViewConfig(crops=SMALL), 8),
        (BUSY, 8),
        (replace(BUSY, gray_window=(0.4, 0.9)), 8),
        (replace(BUSY, window=WindowConfig(), rotation_probability=0), 16),
    ],
)
def test_groups_of_views_are_to_the_bit_those_made_one_by_one(config: ViewConfig, depth: int) -> None:
    images = slices(5, 70, depth)
    views = BatchViews(config, 0.3, 0.2)
    expected = view_by_view(config, images, generator(6))
    for chance in (generator(6), views.draw(5, 70, generator(6))):
        # What was decided on ahead can be taken again.
        for _ in range(2 if isinstance(chance, ViewPlan) else 1):
            for one, other in zip(views(images, chance), expected, strict=True):
                assert torch.equal(one, other)


def test_views_depend_on_the_generator_alone() -> None:
    views = BatchViews(BUSY, 0.3, 0.2)
    torch.manual_seed(1)
    first = views(slices(4, 64), view_generator(0, 1, 2))
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second = views(slices(4, 64), view_generator(0, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    other = views(slices(4, 64), view_generator(0, 1, 3))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    seeds = {
        view_generator(*of).initial_seed() for of in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0, 1)]
    }
    assert len(seeds) == 5


def test_types_of_pixels_and_of_views() -> None:
    deep = slices(3, 48, 16)
    views = BatchViews(BUSY, [0.3], [0.2])
    as_int32 = values_of(deep).to(torch.int32)
    for a, b in zip(views(deep, generator()), views(as_int32, generator()), strict=True):
        assert torch.equal(a, b)
        assert a.dtype == torch.float32
        assert a.is_contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        halves = views(deep, generator())
    for a, b in zip(views(deep, generator()), halves, strict=True):
        assert b.dtype == torch.bfloat16
        assert torch.equal(a.bfloat16(), b)


def test_16_bits_never_pass_through_8() -> None:
    still = ViewConfig(
        crops=(CropConfig(count=1, size=64, scale=(1, 1)),),
        ratio=(1, 1),
        jitter_probability=0,
        blur_probability=0,
    )
    image = torch.arange(64 * 64, dtype=torch.int32).reshape(1, 64, 64).to(torch.uint16)
    (view,) = BatchViews(still, 0, 1)(image, generator())
    assert (view.double() * 65535).round().unique().numel() == 64 * 64


def test_a_wide_window_shows_soft_tissue_that_the_whole_range_hides() -> None:
    config = ViewConfig(crops=SMALL, window=WindowConfig(center=40, width=400), jitter_probability=0)
    hu = torch.tensor([0.0, 80.0]).repeat_interleave(32).expand(2, 64, 64)
    image = (hu + 32768).to(torch.uint16)
    views = BatchViews(config, 0.5, 1.0)(image, generator())
    assert all(view.std() > 0.05 for view in views)


def test_full_precision_is_restored() -> None:
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        images = values_of(slices(2, 64, 16))
        chosen = torch.tensor([[0.0, 0, 50, 50]]).expand(2, 4)
        with full_precision(torch.device("cpu")):
            coarse = resized_crops(images, chosen, torch.zeros(2, 2), 32)
        assert torch.get_float32_matmul_precision() == "medium"
        torch.set_float32_matmul_precision("highest")
        torch.testing.assert_close(coarse, resized_crops(images, chosen, torch.zeros(2, 2), 32), rtol=0, atol=0.05)
    finally:
        torch.set_float32_matmul_precision(before)


def test_full_precision_also_goes_with_torch_s_newer_switches() -> None:
    products: Any = torch.backends.cuda.matmul
    if not hasattr(products, "fp32_precision"):
        pytest.skip("this torch has the old switch alone")
    before = torch.get_float32_matmul_precision()
    try:
        products.fp32_precision = "tf32"
        with full_precision(torch.device("cpu")):
            assert products.fp32_precision == "ieee"
        assert products.fp32_precision == "tf32"
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_makes_the_same_views() -> None:
    config = ViewConfig(crops=SMALL, rotation_probability=0.5, flip_horizontal=0.5)
    images = slices(6, 80, 16)
    views = BatchViews(config, 0.3, 0.2)
    here = views(images, generator())
    with quick_gpu(torch.device("cuda"), mixed=True):
        there = views(images.cuda(), generator())
    for a, b in zip(here, there, strict=True):
        torch.testing.assert_close(a, b.cpu(), rtol=0, atol=1e-3)


def test_normalization_is_that_of_all_pixels(archive, tmp_path) -> None:  # type: ignore[no-untyped-def]
    ctprune.reduce(archive, out=tmp_path / "run")
    store = ctprune.build_store(tmp_path / "run", side=32, depth=16)
    assert normalization(store, ViewConfig()) == (store.mean, store.std)
    config = ViewConfig(window=WindowConfig(center=40, width=400))
    counts = np.bincount(np.asarray(store.pixels).ravel(), minlength=65536)
    assert np.array_equal(store.histogram, counts)
    fractions = np.clip((np.asarray(store.pixels, np.float64) - 32768 + 160) / 400, 0, 1)
    # No process looks at the pixels again.
    blind = replace(store, pixels=np.empty(0, np.uint16))
    assert normalization(blind, config) == pytest.approx((fractions.mean(), fractions.std()), rel=1e-12)


def test_defaults_are_the_references() -> None:
    swav, pair = swav_views(), pair_views()
    assert [(c.count, c.size, c.scale) for c in swav.crops] == [(2, 224, (0.9, 1.0)), (6, 96, (0.1, 0.33))]
    assert (swav.flip_horizontal, swav.rotation_probability, swav.noise_probability) == (0, 0, 0)
    assert [(c.count, c.size, c.scale) for c in pair.crops] == [(2, 224, (0.2, 1.0))]
    assert swav.views == 8
    assert pair.views == 2
    assert draw_numbers(pair, 5, generator()).shape == (2, 5, NUMBERS)
    for config in (swav, pair, BUSY, ViewConfig(window=WindowConfig()), ViewConfig(gray_window=(0.5, 1))):
        assert ViewConfig.from_dict(config.to_dict()) == config


def test_mistakes_are_one_sentence() -> None:
    for make, sentence in (
        (lambda: CropConfig(scale=(0, 1)), "area above 0"),
        (lambda: CropConfig(scale=(0.5, 0.1)), "smaller number first"),
        (lambda: CropConfig(size=4), "expected 8 to 1024"),
        (lambda: CropConfig(count=0), "expected 1 to 64"),
        (lambda: ViewConfig(crops=()), "at least one group"),
        (lambda: ViewConfig(crops=SMALL, blur_sigma=(0.1, 8)), "too small"),
        (lambda: ViewConfig(jitter_probability=1.5), "expected 0 to 1"),
        (lambda: WindowConfig(width=0), "expected 1 to 65,535"),
        (lambda: ViewConfig.from_dict({"crop": []}), "views.crop: unknown option: did you mean crops"),
        (lambda: ViewConfig.from_dict({"crops": [{"sizes": 3}]}), "sizes: unknown option: did you mean size"),
        (lambda: ViewConfig.from_dict({"ratio": 3}), "expected two numbers"),
        (lambda: BatchViews(ViewConfig(), 0.1, 0.0), "all pixels are equal"),
        (lambda: BatchViews(ViewConfig(), [0.1, 0.2], 1.0), "one channel"),
    ):
        with pytest.raises(ctprune.ConfigError, match=sentence):
            make()
    narrow = BatchViews(ViewConfig(crops=SMALL, gray_window=(0.5, 1)), 0.5, 0.5)
    with pytest.raises(ctprune.ConfigError, match="build the store with `depth` 8"):
        narrow(slices(2, 64, 16), generator())
    views = BatchViews(ViewConfig(crops=SMALL, window=WindowConfig()), 0.5, 0.5)
    for pixels, sentence in (
        (slices(2, 64), "build the store with `depth` 16"),
        (torch.zeros(2, 64, 64), "expected pixels of uint8"),
        (torch.zeros(2, 1, 64, 64, dtype=torch.int32), "expected pixels of shape"),
    ):
        with pytest.raises(ctprune.ConfigError, match=sentence):
            views(pixels, generator())
