"""KoLeo: keeps features away from their nearest neighbors (Sablayrolles et al. 2019, arXiv 1806.03198)."""

from __future__ import annotations

import torch
from lightly.utils import dist
from torch import Tensor
from torch.nn.functional import normalize, pairwise_distance

_EPSILON = 1e-8


def koleo(features: Tensor) -> Tensor:
    """Minus the mean log distance of each slice's features to its nearest neighbor's, over all devices.

    Like lightly's loss, which looks only among the slices of one device.

    Args:
        features: float32 of shape (n, d); they are brought to length 1.

    >>> round(koleo(torch.eye(2)).item(), 4)
    -0.3466
    """
    units = normalize(features, dim=1, eps=_EPSILON)
    others = torch.cat(dist.gather(units)) if dist.world_size() > 1 else units
    with torch.no_grad():
        own = torch.arange(len(units), device=units.device) + dist.rank() * len(units)
        nearest = (units @ others.T).scatter(1, own[:, None], -torch.inf).argmax(dim=1)
    distances = pairwise_distance(units, others.index_select(0, nearest), eps=_EPSILON)
    return -(distances + _EPSILON).log().mean()
