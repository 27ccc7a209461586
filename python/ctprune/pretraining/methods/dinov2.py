"""DINOv2: DINO's loss, the same for masked patches, and KoLeo (Oquab et al. 2023, arXiv 2304.07193)."""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from lightly.models.modules import DINOv2ProjectionHead
from lightly.models.utils import update_momentum
from lightly.utils import dist
from torch import Tensor

from ctprune.networks.gray_backbone import repeat_gray
from ctprune.pretraining.config import PretrainConfig
from ctprune.pretraining.methods.centering import Centering, Sinkhorn, cross_entropies
from ctprune.pretraining.methods.chance import batch_generator, sent
from ctprune.pretraining.methods.koleo import koleo
from ctprune.pretraining.methods.masks import draw_masks
from ctprune.pretraining.methods.method import (
    Method,
    Outcome,
    Teacher,
    TrainingState,
    momentum_per_slice,
    warming_up,
)
from ctprune.pretraining.settings import Dinov2Settings


class Dinov2(Method):
    """Student and teacher: the first crops are masked for the student; the teacher sees only these, unmasked."""

    alike = ("class_targets.center", "patch_targets.center")

    def __init__(self, backbone: torch.nn.Module, config: PretrainConfig) -> None:
        # This module needs timm, an extra; whoever has such a backbone has it.
        from ctprune.pretraining.methods.tokens import Tokens, check_grid, masked_transformer

        super().__init__(backbone, config)
        assert isinstance(config.settings, Dinov2Settings)
        self._settings = config.settings
        self._seed = config.seed
        self._large = config.views.crops[0].count
        transformer = masked_transformer(backbone, config)
        check_grid(transformer, config)
        self._patch = transformer.patch_embed.patch_size
        self._prefix = transformer.num_prefix_tokens
        # The paper's 0.992 is for 2,048 slices per optimizer step.
        self.momentum = momentum_per_slice(config, config.settings.teacher_momentum, 0.992, slices=2048)
        self.backbone = Tokens(transformer)
        self.heads = self._create_heads()
        self.teacher = Teacher(self.backbone)
        # Weight normalization cannot be copied as a whole.
        self.teacher_heads = self._create_heads().requires_grad_(False)
        self.teacher_heads.load_state_dict(self.heads.state_dict())
        self.class_targets = self._create_targets()
        self.patch_targets = self._create_targets()

    @property
    def exported(self) -> torch.nn.Module:
        """The teacher, as a network of timm."""
        exported: torch.nn.Module = self.teacher.networks[0].vit  # type: ignore[assignment]
        return exported

    def _create_heads(self) -> torch.nn.ModuleList:
        """One head for class tokens and patches, or one for each."""
        settings = self._settings
        with warnings.catch_warnings():
            # lightly uses torch's first weight normalization, as the published code does.
            warnings.simplefilter("ignore", FutureWarning)
            return torch.nn.ModuleList(
                DINOv2ProjectionHead(self.features, settings.hidden, settings.bottleneck, settings.outputs)
                for _ in range(2 if settings.separate_heads else 1)
            )

    def _create_targets(self) -> torch.nn.Module:
        settings = self._settings
        if settings.centering == "sinkhorn":
            return Sinkhorn(settings.sinkhorn_iterations)
        return Centering(settings.outputs, settings.center_momentum)

    def forward(self, views: Sequence[Tensor], state: TrainingState) -> Outcome:
        """DINO's loss of class tokens, iBOT's of masked patches, and KoLeo of the first group of crops."""
        settings = self._settings
        large = repeat_gray(torch.cat(list(views[: self._large])))
        large = large.contiguous(memory_format=torch.channels_last)
        masks = self._masks(views[0], state)
        tokens = self.backbone(large, masks.tokens)
        small = [found[:, 0] for found in self.embed(self.backbone, views[self._large :])]
        with torch.no_grad():
            seen = self.teacher.networks[0](large)
        temperature = warming_up(settings, state)
        with torch.autocast(large.device.type, enabled=False):
            classes = tokens[:, 0].float()
            of_views = torch.cat([classes, *(found.float() for found in small)])
            student, student_patches = _through(self.heads, of_views, self._masked(tokens, masks))
            with torch.no_grad():
                teacher, teacher_patches = _through(
                    self.teacher_heads, seen[:, 0].float(), self._masked(seen, masks)
                )
                targets = self.class_targets(teacher, temperature)
                patch_targets = self.patch_targets(teacher_patches, temperature)
                assignments = torch.softmax(teacher[: len(views[0])] / settings.teacher_temperature, dim=1)
            loss = self._of_classes(student.chunk(len(views)), targets.chunk(self._large))
            entropies = cross_entropies(student_patches, patch_targets, settings.student_temperature)
            loss = loss + settings.patch_weight * (entropies * masks.weights).sum() / len(large)
            if settings.koleo_weight:
                loss = loss + settings.koleo_weight * sum(koleo(view) for view in classes.chunk(self._large))
        features = seen[: len(views[0]), 0].float()
        return Outcome(loss=loss, features=features, assignments=assignments)

    def _of_classes(self, student: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
        """Mean over all pairs of a target and another view of the same slices."""
        logs = torch.stack([torch.log_softmax(one / self._settings.student_temperature, dim=1) for one in student])
        pairs = -torch.einsum("tnk,snk->ts", torch.stack(list(targets)), logs)
        pairs = pairs.masked_fill(torch.eye(*pairs.shape, dtype=torch.bool, device=pairs.device), 0)
        return pairs.sum() / (len(targets) * (len(student) - 1) * len(student[0]))

    def _masks(self, view: Tensor, state: TrainingState) -> Masks:
        """The patches masked for this batch's student: new ones per batch, alike for any number of devices."""
        settings = self._settings
        slices, device = len(view), view.device
        masks = draw_masks(
            random.Random(batch_generator(self._seed, state.batch).initial_seed()),
            crops=self._large,
            slices=slices,
            grid=(view.shape[2] // self._patch[0], view.shape[3] // self._patch[1]),
            probability=settings.mask_probability,
            ratio=settings.mask_ratio,
            rank=dist.rank(),
            processes=dist.world_size(),
        ).reshape(self._large * slices, -1)
        # Counted on the CPU, so that nothing waits for the GPU.
        images, patches = masks.nonzero()
        weights = 1 / masks.sum(axis=1)[images]
        tokens = np.pad(masks, [(0, 0), (self._prefix, 0)])
        return Masks(
            tokens=sent(torch.tensor(tokens), device),
            indices=sent(torch.tensor(images * masks.shape[1] + patches), device),
            weights=sent(torch.tensor(weights, dtype=torch.float32), device),
        )

    def _masked(self, tokens: Tensor, masks: Masks) -> Tensor:
        """The masked patches among the tokens of images, float32 of shape (masked, features)."""
        return tokens[:, self._prefix :].flatten(0, 1).index_select(0, masks.indices).float()

    def after_backward(self, state: TrainingState) -> None:
        """Freeze the last layers at the beginning."""
        if state.epoch >= self._settings.freeze_epochs:
            return
        for head in self.heads:
            for parameter in head.last_layer.parameters():  # type: ignore[union-attr]
                parameter.grad = None

    def after_step(self, state: TrainingState) -> None:
        """Let the teacher follow."""
        momentum = state.rising(self.momentum)
        self.teacher.follow([self.backbone], momentum)
        update_momentum(self.heads, self.teacher_heads, m=momentum)


class Masks(NamedTuple):
    """Masks of the first group of crops.

    Attributes:
        tokens: Which tokens of each image are masked, bool of shape (images, tokens).
        indices: Which of all images' patches, in order, int64 of shape (masked,).
        weights: One divided by the number of masked patches of the image, float32 of shape (masked,).
    """

    tokens: Tensor
    indices: Tensor
    weights: Tensor


def _through(heads: torch.nn.ModuleList, classes: Tensor, patches: Tensor) -> tuple[Tensor, Tensor]:
    if len(heads) == 2:
        return heads[0](classes), heads[1](patches)
    of_classes, of_patches = heads[0](torch.cat([classes, patches])).split([len(classes), len(patches)])
    return of_classes, of_patches
