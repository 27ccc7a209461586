from __future__ import annotations

import torch

from ctprune.pretraining.optimizers import create_optimizer
from tests.pretraining.tiny import tiny


def test_lars_equals_its_formula() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 2)
    config = tiny(optimizer="lars", learning_rate=0.5, weight_decay=0.01)
    optimizer = create_optimizer(config, layer)
    before, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    layer(torch.ones(4, 3)).square().sum().backward()
    gradient, of_bias = layer.weight.grad, layer.bias.grad
    assert gradient is not None
    assert of_bias is not None
    decayed = gradient + 0.01 * before
    rate = 0.001 * before.norm() / (gradient.norm() + 0.01 * before.norm())
    optimizer.step()
    assert torch.allclose(layer.weight, before - 0.5 * rate * decayed, atol=1e-6)
    assert torch.allclose(layer.bias, bias - 0.5 * of_bias, atol=1e-6)
