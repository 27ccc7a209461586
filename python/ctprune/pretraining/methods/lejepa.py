"""LeJEPA: predict the mean of the views, spread as a Gaussian (Balestriero & LeCun 2025, arXiv 2511.08544)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightly.loss.lejepa_loss import lejepa_invariance_loss
from lightly.models.modules import LeJEPAProjectionHead
from lightly.utils import dist
from torch import Tensor
from torch.nn.functional import normalize

from ctprune.pretraining.config import PretrainConfig
from ctprune.pretraining.methods.chance import batch_generator, sent
from ctprune.pretraining.methods.method import Method, Outcome, TrainingState, in_float32
from ctprune.pretraining.settings import LejepaSettings


class LeJepa(Method):
    """One network without teacher or negatives: SIGReg keeps its projections from collapsing."""

    def __init__(self, backbone: torch.nn.Module, config: PretrainConfig) -> None:
        super().__init__(backbone, config)
        assert isinstance(config.settings, LejepaSettings)
        self._settings = config.settings
        self._seed = config.seed
        self._large = config.views.crops[0].count
        self.head = LeJEPAProjectionHead(self.features, config.settings.hidden, config.settings.projection)

    def forward(self, views: Sequence[Tensor], state: TrainingState) -> Outcome:
        """λ SIGReg + (1 - λ) × the mean squared distance of all projections to the mean of the first group's."""
        features = self.embed(self.backbone, views)
        settings = self._settings
        with torch.autocast(views[0].device.type, enabled=False):
            projections = self.head(torch.cat(in_float32(features))).unflatten(0, (len(views), -1))
            prediction = lejepa_invariance_loss(all_proj=projections, global_proj=projections[: self._large])
            spread = sigreg(
                projections,
                self._directions(state, projections.device),
                reach=settings.reach,
                points=settings.points,
            )
            loss = settings.regularization * spread + (1 - settings.regularization) * prediction
        return Outcome(loss=loss, features=features[0].detach().float())

    def _directions(self, state: TrainingState, device: torch.device) -> Tensor:
        """Random directions, columns of length 1: others for each batch, the same on all devices."""
        settings = self._settings
        generator = batch_generator(self._seed, state.batch)
        drawn = sent(torch.randn(settings.projection, settings.directions, generator=generator), device)
        return normalize(drawn, dim=0)


def sigreg(projections: Tensor, directions: Tensor, *, reach: float, points: int) -> Tensor:
    """Distance of the projections from a standard Gaussian along each direction, over the slices of all devices.

    The Epps-Pulley statistic: slices × the integral of |φ(t) - exp(-t²/2)|² exp(-t²/2) over [-reach, reach], with
    the characteristic function φ of the slices' coordinates; mean over views and directions. As lightly's
    `SIGReg`, which draws its directions from torch's own generator, and with several devices waits for the number
    of slices.

    Args:
        projections: float32 of shape (views, n, d).
        directions: Columns of length 1, float32 of shape (d, directions).
        reach: End of the integral.
        points: Points of the trapezoidal rule in [0, reach], 2 or more; the other half is its mirror image.

    >>> one = torch.zeros(1, 8, 2)
    >>> round(sigreg(one, torch.eye(2), reach=3.0, points=17).item(), 3)
    3.216
    """
    t = torch.linspace(0, reach, points, device=projections.device)
    angles = (projections @ directions)[..., None] * t
    # Real and imaginary part of the sums over slices, (2, views, directions, points).
    sums = torch.stack([angles.cos().sum(dim=1), angles.sin().sum(dim=1)])
    slices = projections.shape[1] * dist.world_size()
    real, imaginary = _of_all(sums) / slices
    gaussian = torch.exp(-t.square() / 2)
    error = ((real - gaussian).square() + imaginary.square()) * gaussian
    integrals: Tensor = torch.trapezoid(error, dx=reach / (points - 1), dim=-1)
    statistic: Tensor = 2 * slices * integrals.mean()
    return statistic


def _of_all(sums: Tensor) -> Tensor:
    """The sum of all processes' tensors.

    Processes step along the mean of their gradients, so each multiplies the gradient of its own part by the number
    of processes.
    """
    processes = dist.world_size()
    if processes == 1:
        return sums
    own = sums.detach()
    total = own.clone()
    torch.distributed.all_reduce(total)
    with_gradient: Tensor = total + processes * (sums - own)
    return with_gradient
