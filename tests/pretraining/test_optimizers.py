from __future__ import annotations

import pytest
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


def test_biases_decay_where_the_reference_has_it_so() -> None:
    layer = torch.nn.Linear(3, 2)
    torch.nn.init.ones_(layer.bias)
    config = tiny(optimizer="lars", learning_rate=0.5, weight_decay=0.01, decay_biases=True)
    optimizer = create_optimizer(config, layer)
    bias = layer.bias.detach().clone()
    layer(torch.ones(4, 3)).square().sum().backward()
    gradient = layer.bias.grad
    assert gradient is not None
    rate = 0.001 * bias.norm() / (gradient.norm() + 0.01 * bias.norm())
    optimizer.step()
    assert torch.allclose(layer.bias, bias - 0.5 * rate * (gradient + 0.01 * bias), atol=1e-7)


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_adam_decays_what_it_shall(name: str, kind: type[torch.optim.Optimizer]) -> None:
    for decay_biases, expected in ((False, [[2], [1]]), (True, [[2, 1], []])):
        optimizer = create_optimizer(tiny(optimizer=name, decay_biases=decay_biases), torch.nn.Linear(3, 2))
        assert type(optimizer) is kind
        found = [[parameter.ndim for parameter in group["params"]] for group in optimizer.param_groups]
        assert found == expected
        assert [group["weight_decay"] for group in optimizer.param_groups] == [1e-4, 0.0]
