"""BYOL: predict a slow copy's projection of the other view (Grill et al. 2020, arXiv 2006.07733)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead
from torch import Tensor

from ctprune.pretraining.config import PretrainConfig
from ctprune.pretraining.methods.method import Method, Outcome, Teacher, TrainingState
from ctprune.pretraining.settings import ByolSettings


class Byol(Method):
    """Online network with a predictor, and its slow copy as the target."""

    def __init__(self, backbone: torch.nn.Module, config: PretrainConfig) -> None:
        super().__init__(backbone, config)
        assert isinstance(config.settings, ByolSettings)
        self._settings = config.settings
        hidden, projection = config.settings.hidden, config.settings.projection
        self.head = BYOLProjectionHead(self.features, hidden, projection)
        self.predictor = BYOLPredictionHead(projection, hidden, projection)
        self.teacher = Teacher(self.backbone, self.head)
        self.loss = NegativeCosineSimilarity()

    def forward(self, views: Sequence[Tensor], state: TrainingState) -> Outcome:
        """2 - 2 cos of prediction and target, averaged over both directions: from 0 (alike) to 4."""
        # View by view: BatchNorm must not see both together.
        features = [self.embed(self.backbone, [view])[0] for view in views]
        predictions = [self.predictor(self.head(found)).float() for found in features]
        with torch.no_grad():
            backbone, head = self.teacher.networks
            targets = [head(self.embed(backbone, [view])[0]).float() for view in views]
        with torch.autocast(views[0].device.type, enabled=False):
            similarity = self.loss(predictions[0], targets[1]) + self.loss(predictions[1], targets[0])
        return Outcome(loss=2 + similarity, features=features[0].detach().float())

    def after_step(self, state: TrainingState) -> None:
        """Let the target follow."""
        momentum = state.rising(self._settings.teacher_momentum)
        self.teacher.follow([self.backbone, self.head], momentum)
