"""Random changes to training images: rotation, crop, and in `standard` brightness, contrast and blur."""

from __future__ import annotations

import torch

from ctprune.pretraining.view_config import ViewConfig
from ctprune.pretraining.view_parameters import ViewPlan, draw_views, view_generator
from ctprune.pretraining.views import BatchViews

#: Sets these random numbers apart from those of an epoch's order, which come from seed and epoch alone.
_STREAM = 1


class Augmentation:
    """Makes one view of each training image, independent of batches and device.

    Args:
        config: What a view looks like, from `ctprune.finetuning.course_options.augmented_view`.
    """

    def __init__(self, config: ViewConfig) -> None:
        self._config = config
        # Views stay fractions of white: the backbone normalizes.
        self._views = BatchViews(config, mean=0.0, std=1.0)

    def plan(self, images: int, side: int, seed: int, epoch: int) -> ViewPlan:
        """Decide on all images of an epoch at once, from seed and epoch alone, so that batches change nothing.

        Args:
            images: Number of training images.
            side: Rows and columns of the images.
            seed: The training's seed.
            epoch: Number of the epoch.

        >>> from ctprune.finetuning.course_options import augmented_view
        >>> augmentation = Augmentation(augmented_view("light", 32))
        >>> plan = augmentation.plan(5, 32, seed=0, epoch=1)
        >>> augmentation(torch.zeros(2, 32, 32, dtype=torch.uint8), plan, 3, 5).shape
        torch.Size([2, 1, 32, 32])
        """
        return draw_views(self._config, images, side, view_generator(seed, epoch, _STREAM))

    def __call__(self, pixels: torch.Tensor, plan: ViewPlan, start: int, stop: int) -> torch.Tensor:
        """Change images as the plan of the epoch says.

        Args:
            pixels: uint8 of shape (n, side, side) or (n, 3, side, side).
            plan: The epoch's plan.
            start: Place of the first of these images in the epoch's order.
            stop: Place after the last one, `start` + n.

        Returns:
            float32 from 0 to 255 of shape (n, 1, side, side) or (n, 3, side, side).
        """
        (view,) = self._views(pixels, ViewPlan(table=plan.table[start:stop], noise=plan.noise))
        changed: torch.Tensor = view * 255
        return changed
