"""DINO: match a slow teacher's centered, sharpened output (Caron et al. 2021, arXiv 2104.14294)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from lightly.loss import DINOLoss
from lightly.models.modules import DINOProjectionHead
from lightly.models.utils import update_momentum
from torch import Tensor

from ctprune.pretraining.config import PretrainConfig
from ctprune.pretraining.methods.method import (
    Method,
    Outcome,
    Teacher,
    TrainingState,
    momentum_per_slice,
    warming_up,
)
from ctprune.pretraining.settings import DinoSettings


class Dino(Method):
    """Student and teacher; the teacher sees only the first group of crops, and is evaluated and saved."""

    alike = ("loss.center",)

    def __init__(self, backbone: torch.nn.Module, config: PretrainConfig) -> None:
        super().__init__(backbone, config)
        assert isinstance(config.settings, DinoSettings)
        self._settings = config.settings
        self._large = config.views.crops[0].count
        # The paper's 0.996 is for 1,024 slices per optimizer step.
        self.momentum = momentum_per_slice(config, config.settings.teacher_momentum, 0.996, slices=1024)
        self.head = self._create_head()
        self.teacher = Teacher(self.backbone)
        # Weight normalization cannot be copied as a whole.
        self.teacher_head = self._create_head().requires_grad_(False)
        self.teacher_head.load_state_dict(self.head.state_dict())
        self.loss = DINOLoss(
            output_dim=config.settings.outputs,
            student_temp=config.settings.student_temperature,
            center_momentum=config.settings.center_momentum,
        )

    @property
    def exported(self) -> torch.nn.Module:
        """The teacher, which is always ahead of the student (section 5.1 of the paper)."""
        return self.teacher.networks[0]

    def _create_head(self) -> torch.nn.Module:
        settings = self._settings
        with warnings.catch_warnings():
            # lightly uses torch's first weight normalization, as the published code does.
            warnings.simplefilter("ignore", FutureWarning)
            head: torch.nn.Module = DINOProjectionHead(
                self.features,
                settings.hidden,
                settings.bottleneck,
                settings.outputs,
                # The paper's head has no BatchNorm for transformers, which have none themselves.
                batch_norm=any(isinstance(part, torch.nn.BatchNorm2d) for part in self.backbone.modules()),
                freeze_last_layer=settings.freeze_epochs,
            )
        return head

    def forward(self, views: Sequence[Tensor], state: TrainingState) -> Outcome:
        """Cross-entropy of the student's views against the teacher's; moves the center."""
        features = self.embed(self.backbone, views)
        with torch.no_grad():
            found = self.embed(self.teacher.networks[0], views[: self._large])
        with torch.autocast(views[0].device.type, enabled=False):
            student = self.head(torch.cat(features).float()).chunk(len(views))
            with torch.no_grad():
                teacher = self.teacher_head(torch.cat(found).float()).chunk(self._large)
            loss = self.loss(list(teacher), list(student), teacher_temp=warming_up(self._settings, state))
            assignments = torch.softmax(teacher[0] / self._settings.teacher_temperature, dim=1)
        return Outcome(loss=loss, features=found[0].float(), assignments=assignments)

    def after_backward(self, state: TrainingState) -> None:
        """Leave the last layer alone at the beginning."""
        self.head.cancel_last_layer_gradients(state.epoch)  # type: ignore[operator]

    def after_step(self, state: TrainingState) -> None:
        """Let the teacher follow."""
        momentum = state.rising(self.momentum)
        self.teacher.follow([self.backbone], momentum)
        update_momentum(self.head, self.teacher_head, m=momentum)
