from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from lightly.utils.lars import LARS
from torch import Tensor

from ctprune.pretraining.lars import Lars
from ctprune.pretraining.optimizers import create_optimizer, rate_factor, set_rates, weight_decay
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


@pytest.mark.parametrize(("scaling", "expected"), [("linear", 6.0), ("sqrt", 6.0**0.5), ("none", 1.0)])
def test_rates_go_with_the_slices_of_a_step(scaling: str, expected: float) -> None:
    config = tiny(batch_size=64, accumulate=3, rate_scaling=scaling)
    assert rate_factor(config, 8) == pytest.approx(expected)


def test_weight_decay_rises_where_there_is_one() -> None:
    config = tiny("dino", weight_decay=0.04, final_weight_decay=0.4)
    optimizer = create_optimizer(config, torch.nn.Linear(3, 2))
    for step, expected in ((0, 0.04), (5, 0.22), (10, 0.4)):
        set_rates(optimizer, learning_rate=step / 10, weight_decay=weight_decay(config, step, 10))
        assert [group["weight_decay"] for group in optimizer.param_groups] == [pytest.approx(expected), 0.0]
        assert [group["lr"] for group in optimizer.param_groups] == [step / 10] * 2
    assert weight_decay(tiny(weight_decay=0.04), 7, 10) == 0.04


def start() -> list[torch.nn.Parameter]:
    """Weights of several shapes and layouts, one of them all 0."""
    generator = torch.Generator().manual_seed(3)
    shapes = [(8, 4, 3, 3), (16, 8), (16,), (5,), (2, 3)]
    weights = [torch.randn(shape, generator=generator) for shape in shapes]
    weights[0] = weights[0].to(memory_format=torch.channels_last)
    weights[3].zero_()
    return [torch.nn.Parameter(weight.clone()) for weight in weights]


def stepped(optimizer: torch.optim.Optimizer, weights: list[torch.nn.Parameter]) -> list[list[Tensor]]:
    """The weights after each of some steps; the second tensor's gradients begin late, the last one's are 0."""
    generator = torch.Generator().manual_seed(4)
    found = []
    for step in range(6):
        for number, weight in enumerate(weights):
            # In memory as the weight is, which is what autograd gives.
            gradient = torch.empty_like(weight).copy_(torch.randn(weight.shape, generator=generator))
            weight.grad = None if number == 1 and step < 2 else gradient * (number != 4 or step > 3)
        for group in optimizer.param_groups:
            group["lr"] = 0.1 + step / 10
        optimizer.step()
        found.append([weight.detach().clone() for weight in weights])
    return found


def grouped(weights: list[torch.nn.Parameter]) -> list[dict[str, Any]]:
    matrices = [weight for weight in weights if weight.ndim > 1 or not weight.any()]
    others = [weight for weight in weights if weight.ndim == 1 and weight.any()]
    return [{"params": matrices}, {"params": others, "weight_decay": 0.0}]


def test_lars_equals_lightly_s_step_by_step() -> None:
    ours, theirs = start(), start()
    found = stepped(Lars(grouped(ours), lr=0.1, momentum=0.9, weight_decay=1e-2), ours)
    expected = stepped(LARS(grouped(theirs), lr=0.1, momentum=0.9, weight_decay=1e-2), theirs)
    for one, other in zip(found, expected, strict=True):
        for own, of_lightly in zip(one, other, strict=True):
            assert torch.equal(own, of_lightly)


def test_lars_goes_on_from_a_saved_state() -> None:
    whole, parts = start(), start()
    first = Lars(grouped(whole), lr=0.1, momentum=0.9, weight_decay=1e-2)
    stepped(first, whole)
    second = Lars(grouped(parts), lr=0.1, momentum=0.9, weight_decay=1e-2)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    with torch.no_grad():
        for own, other in zip(parts, whole, strict=True):
            own.copy_(other)
    for one, other in zip(stepped(first, whole)[-1], stepped(second, parts)[-1], strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_adam_for_all_tensors_together_equals_it_for_each(
    name: str, kind: type[torch.optim.Adam], fused: bool
) -> None:
    ours, theirs = torch.nn.ParameterList(start()), torch.nn.ParameterList(start())
    config = tiny(optimizer=name, decay_biases=True, weight_decay=0.1)
    found = stepped(create_optimizer(config, ours, fused=fused), list(ours))
    expected = stepped(kind(theirs.parameters(), weight_decay=0.1, foreach=False, fused=False), list(theirs))
    for one, other in zip(found, expected, strict=True):
        for own, of_loop in zip(one, other, strict=True):
            assert torch.allclose(own, of_loop, rtol=1e-5, atol=1e-6)


def test_sgd_for_all_tensors_together_equals_it_for_each() -> None:
    ours, theirs = torch.nn.ParameterList(start()), torch.nn.ParameterList(start())
    config = tiny(optimizer="sgd", decay_biases=True, weight_decay=0.1)
    found = stepped(create_optimizer(config, ours), list(ours))
    loop = torch.optim.SGD(theirs.parameters(), weight_decay=0.1, momentum=0.9, foreach=False)
    for one, other in zip(found, stepped(loop, list(theirs)), strict=True):
        for own, of_loop in zip(one, other, strict=True):
            assert torch.equal(own, of_loop)
