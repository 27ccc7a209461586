from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from lightly.loss import NTXentLoss, SIGReg
from lightly.models.modules.memory_bank import MemoryBankModule
from torch import Tensor

from ctprune.errors import ConfigError
from ctprune.networks.backbone import create_backbone
from ctprune.pretraining.methods import TrainingState, create_method
from ctprune.pretraining.methods.lejepa import sigreg
from ctprune.pretraining.methods.mocov2 import KeyQueue
from ctprune.pretraining.methods.simclr import nt_xent
from tests.pretraining.tiny import START, Flat, flat, network_of, number, tiny, unit, views_of


def test_swav_equals_a_loop_from_the_paper() -> None:
    method, config = flat("swav")
    views = views_of(4)
    method.before_step(START)
    assert torch.allclose(method.prototypes.weight.norm(dim=1), torch.ones(32), atol=1e-6)
    found = method(views, START).loss
    settings: Any = config.settings
    # The head sees all views together, as its BatchNorm does.
    features = torch.cat([method.backbone(view.expand(-1, 3, -1, -1)) for view in views])
    projections = method.head(features).view(4, 8, -1)
    scores = [[[number(unit(z) @ c) for c in method.prototypes.weight] for z in view] for view in projections]
    total = 0.0
    for coding in (0, 1):
        shares = np.exp(np.array(scores[coding]) / settings.epsilon)
        shares /= shares.sum()
        for _ in range(settings.sinkhorn_iterations):
            shares /= shares.sum(axis=0, keepdims=True) * shares.shape[1]
            shares /= shares.sum(axis=1, keepdims=True) * shares.shape[0]
        shares *= shares.shape[0]
        for other in range(4):
            if other == coding:
                continue
            for code, score in zip(shares, scores[other], strict=True):
                logits = np.array(score) / settings.temperature
                logarithms = logits - np.log(np.exp(logits).sum())
                total -= float((code * logarithms).sum()) / len(shares) / 3 / 2
    assert found.item() == pytest.approx(total, rel=1e-4)


def test_swav_s_queue_equals_a_loop_from_the_paper() -> None:
    torch.manual_seed(0)
    config = tiny(
        "swav", settings={"queue": 24, "queue_epochs": 2, "prototypes": 32, "hidden": 128, "projection": 64}
    )
    method: Any = create_method(config, Flat())
    settings: Any = config.settings
    plain, _ = flat("swav")
    plain.load_state_dict({name: value for name, value in method.state_dict().items() if name != "queue"})
    seen: list[list[Tensor]] = [[], []]
    # Steps 0 to 2 fill the queue of 24 with batches of 8; from step 3 and from epoch 2 on it is used.
    for step, epoch, used in (
        (0, 0, False),
        (1, 2, False),
        (2, 2, False),
        (3, 1, False),
        (4, 2, True),
        (5, 3, True),
    ):
        views = views_of(4, seed=step)
        state = TrainingState(epoch=epoch, step=step, steps=10)
        method.before_step(state)
        plain.before_step(state)
        found, without = number(method(views, state).loss), number(plain(views, state).loss)
        features = torch.cat([method.backbone(view.expand(-1, 3, -1, -1)) for view in views])
        projections = torch.nn.functional.normalize(method.head(features), dim=1).detach().view(4, 8, -1)
        if not used:
            assert found == pytest.approx(without, rel=1e-6)
        else:
            assert found == pytest.approx(_swapped(method, projections, seen, settings), rel=1e-4)
            assert abs(found - without) > 1e-4
        for crop in (0, 1):
            # The newest come first, in the order of the batch.
            seen[crop] = [*projections[crop], *seen[crop]][:24]
            stored = method.queue[crop][: len(seen[crop])]
            assert torch.allclose(stored, torch.stack(seen[crop]), atol=1e-5)


def _swapped(method: Any, projections: Tensor, queue: list[list[Tensor]], settings: Any) -> float:
    """The loss of a batch whose codes come from batch and queue together: projections of shape (views, n, d)."""
    prototypes = method.prototypes.weight
    total = 0.0
    for coding in (0, 1):
        together = [*projections[coding], *queue[coding]]
        shares = np.exp(np.array([[number(z @ c) for c in prototypes] for z in together]) / settings.epsilon)
        for _ in range(settings.sinkhorn_iterations):
            shares /= shares.sum(axis=0, keepdims=True) * shares.shape[1]
            shares /= shares.sum(axis=1, keepdims=True) * shares.shape[0]
        shares *= shares.shape[0]
        for other in range(len(projections)):
            if other == coding:
                continue
            for code, z in zip(shares[:8], projections[other], strict=True):
                logits = np.array([number(z @ c) for c in prototypes]) / settings.temperature
                total -= float((code * (logits - np.log(np.exp(logits).sum()))).sum()) / 8 / 3 / 2
    return total


def test_mocov2_equals_a_loop_and_keeps_its_keys() -> None:
    method, config = flat("mocov2")
    settings: Any = config.settings
    first, second = views_of(2)
    negatives = method.loss.memory_bank.bank.clone()
    found = method([first, second], START).loss
    backbone, head = method.teacher.networks
    queries = method.head(method.backbone(first.expand(-1, 3, -1, -1)))
    keys = head(backbone(second.expand(-1, 3, -1, -1)))
    total = 0.0
    for query, key in zip(queries, keys, strict=True):
        scores = [unit(query) @ unit(key), *(unit(query) @ negative for negative in negatives)]
        exponentials = [math.exp(number(score) / settings.temperature) for score in scores]
        total -= math.log(exponentials[0] / sum(exponentials)) / 8
    assert found.item() == pytest.approx(total, rel=1e-5)
    bank = method.loss.memory_bank.bank
    assert torch.allclose(bank[:8], torch.stack([unit(key) for key in keys]), atol=1e-6)
    assert torch.equal(bank[8:], negatives[8:])


def test_byol_equals_a_loop_and_its_target_follows() -> None:
    method, config = flat("byol")
    settings: Any = config.settings
    views = views_of(2)
    with torch.no_grad():
        method.backbone.layer.weight += 0.1
    found = method(views, START).loss
    backbone, head = method.teacher.networks
    total = 0.0
    for own, other in ((0, 1), (1, 0)):
        predictions = method.predictor(method.head(method.backbone(views[own].expand(-1, 3, -1, -1))))
        targets = head(backbone(views[other].expand(-1, 3, -1, -1)))
        for prediction, target in zip(predictions, targets, strict=True):
            total += number(((unit(prediction) - unit(target)) ** 2).sum()) / 8 / 2
    assert found.item() == pytest.approx(total, rel=1e-5)
    before = backbone.layer.weight.clone()
    state = TrainingState(epoch=0, step=5, steps=10)
    method.after_step(state)
    momentum = 1 - (1 - settings.teacher_momentum) / 2
    expected = momentum * before + (1 - momentum) * method.backbone.layer.weight
    assert torch.allclose(backbone.layer.weight, expected, atol=1e-6)


def test_simclr_equals_a_loop() -> None:
    method, config = flat("simclr")
    settings: Any = config.settings
    views = views_of(2)
    found = method(views, START).loss
    features = torch.cat([method.backbone(view.expand(-1, 3, -1, -1)) for view in views])
    projections = [unit(z) for z in method.head(features)]
    total = 0.0
    for i, z in enumerate(projections):
        partner = (i + 8) % 16
        exponentials = [math.exp(number(z @ other) / settings.temperature) for other in projections]
        total -= math.log(exponentials[partner] / (sum(exponentials) - exponentials[i])) / 16
    assert found.item() == pytest.approx(total, rel=1e-4)


def test_dino_equals_a_loop_and_moves_its_center() -> None:
    method, config = flat("dino")
    settings: Any = config.settings
    views = views_of(4)
    method.loss.center += 0.01 * torch.arange(64)
    center = method.loss.center.clone()[0, 0]
    found = method(views, START).loss
    features = torch.cat([method.backbone(view.expand(-1, 3, -1, -1)) for view in views])
    student = method.head(features).view(4, 8, -1)
    teacher_features = [method.teacher.networks[0](view.expand(-1, 3, -1, -1)) for view in views[:2]]
    teacher = method.teacher_head(torch.cat(teacher_features)).view(2, 8, -1)
    total = 0.0
    for t in range(2):
        for s in range(4):
            if s == t:
                continue
            for row in range(8):
                sharp = (teacher[t, row] - center) / settings.teacher_start_temperature
                target = torch.exp(sharp) / torch.exp(sharp).sum()
                logits = student[s, row] / settings.student_temperature
                total -= number((target * (logits - torch.exp(logits).sum().log())).sum()) / 8 / 6
    assert found.item() == pytest.approx(total, rel=1e-4)
    moved = settings.center_momentum * center + (1 - settings.center_momentum) * teacher.mean(dim=(0, 1))
    assert torch.allclose(method.loss.center[0, 0], moved, atol=1e-6)


def test_simclr_s_loss_and_gradient_equal_lightly_s() -> None:
    generator = torch.Generator().manual_seed(0)
    ours = torch.randn(2, 16, 8, generator=generator).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    found, expected = nt_xent(*ours, temperature=0.1), NTXentLoss(temperature=0.1)(*theirs)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    found.backward()
    expected.backward()
    assert torch.allclose(ours.grad, theirs.grad, rtol=1e-4, atol=1e-7)


def test_moco_s_queue_equals_lightly_s_memory_bank() -> None:
    torch.manual_seed(5)
    ours = KeyQueue(24, 3)
    torch.manual_seed(5)
    theirs = MemoryBankModule((24, 3))
    for step in range(7):
        keys = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
        for one, other in zip(ours(keys, update=step != 2), theirs(keys, update=step != 2), strict=True):
            assert torch.equal(one, other)
        assert torch.equal(ours.bank_ptr, theirs.bank_ptr)


def test_lejepa_equals_a_loop_from_the_paper() -> None:
    method, config = flat("lejepa")
    settings: Any = config.settings
    views = views_of(4)
    state = START._replace(batch=3)
    found = method(views, state).loss
    features = torch.cat([method.backbone(view.expand(-1, 3, -1, -1)) for view in views])
    projections = method.head(features).view(4, 8, -1).detach().double().numpy()
    prediction = 0.0
    for row in range(8):
        mean = (projections[0, row] + projections[1, row]) / 2
        prediction += sum(float(np.square(z[row] - mean).mean()) for z in projections) / 8 / 4
    directions = method._directions(state, torch.device("cpu")).double().numpy()
    assert np.allclose(np.linalg.norm(directions, axis=0), 1)
    step = settings.reach / (settings.points - 1)
    spread = 0.0
    for view in projections:
        for direction in directions.T:
            # Over both halves of the axis, the ends with half their weight.
            for point in range(-settings.points + 1, settings.points):
                t = point * step
                gaussian = math.exp(-t * t / 2)
                empirical = np.exp(1j * t * (view @ direction)).mean()
                weight = step / 2 if abs(point) == settings.points - 1 else step
                spread += weight * 8 * abs(empirical - gaussian) ** 2 * gaussian / 4 / directions.shape[1]
    expected = settings.regularization * spread + (1 - settings.regularization) * prediction
    assert found.item() == pytest.approx(expected, rel=1e-4)


def test_lejepa_looks_along_other_directions_for_each_batch_and_seed() -> None:
    method, _ = flat("lejepa")
    cpu = torch.device("cpu")
    first, second = (method._directions(START._replace(batch=batch), cpu) for batch in (0, 1))
    assert not torch.equal(first, second)
    assert torch.equal(first, method._directions(START._replace(step=7), cpu))
    other = create_method(tiny("lejepa", seed=1), Flat())
    assert not torch.equal(first, other._directions(START, cpu))  # type: ignore[operator]


def test_sigreg_s_value_and_gradient_equal_lightly_s(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    ours = torch.randn(3, 16, 8, generator=generator).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    directions = torch.nn.functional.normalize(torch.randn(8, 20, generator=generator), dim=0)
    monkeypatch.setattr(SIGReg, "_generate_unit_vectors", lambda *_: directions)
    found = sigreg(ours, directions, reach=3.0, points=17)
    expected = SIGReg(knots=17, t_max=3.0)(theirs)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    found.backward()
    expected.backward()
    assert torch.allclose(ours.grad, theirs.grad, rtol=1e-4, atol=1e-7)


def test_sigreg_is_least_for_a_gaussian() -> None:
    generator = torch.Generator().manual_seed(0)
    gaussian = torch.randn(1, 512, 4, generator=generator)
    signs = gaussian.sign()
    found = [
        sigreg(points, torch.eye(4), reach=3.0, points=17).item()
        for points in (gaussian, 0.5 * gaussian, 2 * gaussian, signs, gaussian + 0.5)
    ]
    assert min(found[1:]) > 10 * found[0]


def test_mae_equals_a_loop_from_the_paper() -> None:
    method, _ = flat("mae")
    (view,) = views_of(1, side=64)
    # A patch of one gray has no standard deviation.
    view[0, :, :16, :16] = 3.0
    state = START._replace(batch=3)
    found = method([view], state)
    order, _ = method._drawn(8, state, torch.device("cpu"))
    transformer, decoder = method.backbone, method.decoder
    errors: list[float] = []
    for image, own, feature in zip(view, order.tolist(), found.features, strict=True):
        assert sorted(own) == list(range(16))
        # Of 4 × 4 patches a quarter is shown, and goes through the transformer without the others.
        shown, hidden = own[:4], own[4:]
        placed = transformer._pos_embed(transformer.patch_embed(image.expand(1, 3, -1, -1)))
        tokens = transformer.norm(transformer.blocks(placed[:, [0, *(1 + patch for patch in shown)]]))
        assert torch.allclose(feature, tokens[0, 0], atol=1e-5)
        narrow = decoder.narrow(tokens)[0]
        masked = decoder.transformer.mask_token[0, 0]
        patches = [narrow[1 + shown.index(patch)] if patch in shown else masked for patch in range(16)]
        together = torch.stack([narrow[0], *patches]) + decoder.transformer.pos_embed[0]
        drawn = decoder.pixels(decoder.transformer.norm(decoder.transformer.blocks(together[None])))[0]
        for patch in hidden:
            row, column = 16 * (patch // 4), 16 * (patch % 4)
            pixels = image[0, row : row + 16, column : column + 16].double().numpy().reshape(-1)
            target = (pixels - pixels.mean()) / math.sqrt(pixels.var(ddof=1) + 1e-6)
            errors += np.square(drawn[1 + patch].detach().numpy() - target).tolist()
    assert len(errors) == 8 * 12 * 256
    assert found.loss.item() == pytest.approx(np.mean(errors), rel=1e-4)


def test_mae_masks_others_in_each_batch_and_trains_all_that_it_saves() -> None:
    method, _ = flat("mae")
    cpu = torch.device("cpu")
    first, second = (method._drawn(8, START._replace(batch=batch), cpu)[0] for batch in (0, 1))
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])
    assert torch.equal(first, method._drawn(8, START._replace(step=7), cpu)[0])
    other: Any = create_method(tiny("mae", seed=1), network_of("mae"))
    assert not torch.equal(first, other._drawn(8, START, cpu)[0])
    method(views_of(1, side=64), START).loss.backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in method.backbone.parameters())


def test_the_decoder_of_mae_knows_where_patches_are() -> None:
    decoder = flat("mae")[0].decoder.transformer
    places = decoder.pos_embed[0]
    width = places.shape[1]
    # Sines and cosines of the column, then of the row, at wavelengths from 2π on; none for the class token.
    assert not places[0].any()
    frequencies = [10000 ** (-4 * number / width) for number in range(width // 4)]
    for patch in range(16):
        row, column = divmod(patch, 4)
        expected = [f(place * w) for place in (column, row) for f in (math.sin, math.cos) for w in frequencies]
        assert places[1 + patch].tolist() == pytest.approx(expected, abs=1e-5)
    assert not decoder.pos_embed.requires_grad


@pytest.mark.parametrize(
    ("backbone", "options", "expected"),
    [
        ("test_convnext", {}, "backbone test_convnext: `method` mae needs a plain vision transformer of timm"),
        # Its last normalization comes after pooling, where MAE trains nothing.
        ("test_vit2", {}, "backbone test_vit2: `method` mae needs a plain vision transformer of timm"),
        (
            "test_vit",
            {"settings": {"mask_ratio": 0.95}},
            r"mask_ratio 0\.95: of 4 × 4 patches in 64 pixels it shows 0",
        ),
        ("test_vit", {"settings": {"mask_ratio": 0}}, "it shows 16, expected at least one and not all"),
    ],
)
def test_what_mae_cannot_use_is_refused(backbone: str, options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        create_method(tiny("mae", backbone=backbone, **options), create_backbone(backbone))
