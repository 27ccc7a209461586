"""The steps from slices to views, each for a whole batch with parameters per slice, on any device.

Linear steps (resampling, mirroring, blur) multiply each slice by a matrix for its rows and one for its columns:
two batched products, fast on a GPU and on a CPU. Arithmetic is in float32 throughout; with 16 bits per pixel, the
reduced precision of tensor cores would cost several Hounsfield units, so it is switched off here.

Images have the shape (n, rows, columns) or, with channels, (n, channels, rows, columns); all channels of an image
are treated alike.
"""

from __future__ import annotations

import torch
from torch import Tensor


def values_of(pixels: Tensor) -> Tensor:
    """Pixels of uint8, uint16 or int32 as float32, every value exact."""
    if pixels.dtype == torch.uint16:
        # Few operations know uint16.
        pixels = pixels.view(torch.int16).to(torch.int32) & 0xFFFF
    return pixels.float()


def rotate(images: Tensor, degrees: Tensor) -> Tensor:
    """Turn each image counter-clockwise around its middle, bilinear; beyond the edge its value is repeated.

    Args:
        images: Float32 of shape (n, side, side) or (n, channels, side, side).
        degrees: Float32 of shape (n,).

    >>> rotate(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.tensor([90.0])).round().tolist()
    [[[2.0, 4.0], [1.0, 3.0]]]
    """
    angle = torch.deg2rad(degrees)
    cos, sin = torch.cos(angle), torch.sin(angle)
    nothing = torch.zeros_like(cos)
    turn = torch.stack([cos, -sin, nothing, sin, cos, nothing], dim=1).reshape(-1, 2, 3)
    with_channels = images if images.ndim == 4 else images[:, None]
    grid = torch.nn.functional.affine_grid(turn, list(with_channels.shape), align_corners=False)
    turned = torch.nn.functional.grid_sample(
        with_channels, grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return turned.view(images.shape)


def resized_crops(images: Tensor, boxes: Tensor, flips: Tensor, size: int) -> Tensor:
    """Crop each image, resample it to `size` rows and columns, mirror it.

    As torchvision's `resized_crop` does it with bilinear interpolation and antialiasing: a triangle as wide as the
    step between two samples, at least one pixel, on the pixels of the crop alone.

    Args:
        images: Float32 of shape (n, side, side) or (n, channels, side, side).
        boxes: Top, left, rows, columns, of shape (n, 4).
        flips: 1 to mirror left and right, top and bottom, else 0; (n, 2).
        size: Rows and columns of the result.

    >>> ramp = torch.arange(4.0).expand(1, 4, 4)
    >>> resized_crops(ramp, torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([[1.0, 0]]), 2)[0, 0].tolist()
    [2.2857141494750977, 0.7142857313156128]
    """
    side = images.shape[-1]
    rows = resampling_matrices(boxes[:, 0], boxes[:, 2], flips[:, 1], side, size)
    columns = resampling_matrices(boxes[:, 1], boxes[:, 3], flips[:, 0], side, size)
    return _product(rows, images, columns)


def _product(rows: Tensor, images: Tensor, columns: Tensor) -> Tensor:
    """Each image times the matrix of its rows, from the left, and the one of its columns."""
    if images.ndim == 4:
        rows, columns = rows[:, None], columns[:, None]
    return torch.matmul(torch.matmul(rows, images), columns.transpose(-2, -1))


def _each(values: Tensor, images: Tensor) -> Tensor:
    """A number for each image, (n,), in a shape that fits all pixels of the images."""
    return values.reshape(-1, *(1 for _ in images.shape[1:]))


def resampling_matrices(start: Tensor, length: Tensor, flip: Tensor, side: int, size: int) -> Tensor:
    """For each image the weights of `side` pixels in `size` samples of a stretch of them, (n, size, side)."""
    step = (length / size)[:, None]
    reach = step.clamp(min=1)
    position = torch.arange(size, device=start.device) + 0.5
    position = torch.where(flip[:, None] > 0, size - position, position)
    # Relative to the stretch, where numbers are small, and in units of the triangle's reach.
    samples = position * step / reach
    pixel = torch.arange(side, device=start.device) - start[:, None]
    inside = (pixel >= 0) & (pixel < length[:, None])
    pixels = torch.where(inside, (pixel + 0.5) / reach, torch.inf)
    # Minus the triangle; dividing by the sum turns the sign.
    weights = (pixels[:, None, :] - samples[:, :, None]).abs_().sub_(1).clamp_(max=0)
    return weights.div_(weights.sum(dim=2, keepdim=True))


def window(values: Tensor, windows: Tensor, offset: float) -> Tensor:
    """Values as fractions of a window, clipped to [0, 1].

    Args:
        values: HU + offset, float32 of shape (n, …); changed in place.
        windows: Center and width in HU, (n, 2).
        offset: Number that was added to HU.
    """
    low = windows[:, 0] - windows[:, 1] / 2 + offset
    return values.sub_(_each(low, values)).div_(_each(windows[:, 1], values)).clamp_(0, 1)


def jitter(views: Tensor, factor: Tensor, about_mean: Tensor) -> Tensor:
    """Change brightness and contrast in the order given, as torchvision's `adjust_…` functions do.

    Args:
        views: Fractions, float32 of shape (n, …); changed in place.
        factor: Factor of the first and the second step, (n, 2).
        about_mean: 1 where that step is about the view's mean (contrast), 0 where it is about 0; (n, 2).
    """
    for step in (0, 1):
        times = _each(factor[:, step], views)
        # One mean for all channels, so that the differences between channels stay.
        mean = views.mean(dim=tuple(range(1, views.ndim)), keepdim=True)
        middle = mean * _each(about_mean[:, step], views)
        views = views.mul_(times).add_((1 - times) * middle).clamp_(0, 1)
    return views


def blur(views: Tensor, sigma: Tensor, taps: Tensor) -> Tensor:
    """Blur each view with a Gaussian, mirrored at the edges; 0 leaves it as it is.

    Args:
        views: Float32 of shape (n, …, size, size).
        sigma: Standard deviation in pixels, (n,).
        taps: Taps from `blur_taps` for that size; their radius cuts the Gaussian.
    """
    size = views.shape[-1]
    distance = torch.arange(len(taps), device=views.device)
    weight = torch.exp(-0.5 * (distance / sigma.clamp(min=1e-3)[:, None]) ** 2)
    weight = weight / (2 * weight.sum(dim=1, keepdim=True) - 1)
    matrices = (weight @ taps.flatten(1)).reshape(-1, size, size)
    return _product(matrices, views, matrices)


def blur_taps(size: int, radius: int) -> Tensor:
    """For each distance, the pairs of pixels that far apart, mirrored at the edges: (radius + 1, size, size).

    >>> blur_taps(4, 1)[1].int().tolist()
    [[0, 2, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 2, 0]]
    """
    at = torch.arange(size)
    taps = torch.zeros(radius + 1, size, size)
    for offset in range(-radius, radius + 1):
        source = (at + offset).abs()
        source = size - 1 - (size - 1 - source).abs()
        taps[abs(offset)].index_put_((at, source), torch.tensor(1.0), accumulate=True)
    return taps


def add_noise(views: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    """Add Gaussian noise and clip to [0, 1].

    Args:
        views: Fractions, float32 of shape (n, …); changed in place.
        sigma: Standard deviation, (n,).
        noise: Noise of standard deviation 1, as large as the views; changed in place.
    """
    return views.add_(noise.mul_(_each(sigma, noise))).clamp_(0, 1)
