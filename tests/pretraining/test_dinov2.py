from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightly.loss import DINOLoss, IBOTPatchLoss, KoLeoLoss
from torch import Tensor

import ctprune
from ctprune.networks.backbone import create_backbone
from ctprune.pretraining.config import PretrainConfig
from ctprune.pretraining.health import feature_std
from ctprune.pretraining.methods import TrainingState, create_method
from ctprune.pretraining.methods.centering import Sinkhorn
from ctprune.pretraining.methods.koleo import koleo
from ctprune.pretraining.methods.tokens import Tokens
from ctprune.pretraining.optimizers import create_optimizer
from ctprune.pretraining.run import PretrainingRun
from tests.pretraining.dispatched import counted
from tests.pretraining.tiny import START, number, stopped_after, tiny, unit

HALF: dict[str, Any] = {"probability": 0.5, "ratio": (0.1, 0.5)}
SMALL = {"outputs": 16, "hidden": 32, "bottleneck": 8}
EVEN = {**SMALL, "centering": "sinkhorn", "separate_heads": True, "patch_weight": 0.5, "koleo_weight": 0.2}


def created(**settings: Any) -> Any:
    """DINOv2 whose teacher is not its student any more."""
    torch.manual_seed(0)
    method: Any = create_method(tiny("dinov2", settings={**SMALL, **settings}), create_backbone("test_vit"))
    with torch.no_grad():
        for parameter in [*method.backbone.parameters(), *method.heads.parameters()]:
            parameter.add_(0.02 * torch.randn_like(parameter))
    return method


def views(slices: int = 5) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(slices, 1, side, side, generator=generator) for side in (64, 64, 32, 32)]


def tokens_of(vit: Any, view: Tensor, mask: Tensor | None = None, mask_token: Tensor | None = None) -> Tensor:
    """Tokens as timm computes them, with patches replaced before positions are added."""
    patches = vit.patch_embed(view.expand(-1, 3, -1, -1))
    if mask is not None:
        patches = torch.where(mask.reshape(*patches.shape[:3], 1), mask_token, patches)
    return vit.norm(vit.blocks(vit._pos_embed(patches)))


def test_the_loss_equals_a_loop_from_the_papers_with_centers() -> None:
    method = created()
    method.class_targets.center += 0.01 * torch.arange(16)
    method.patch_targets.center -= 0.02 * torch.arange(16)
    centers = method.class_targets.center.clone(), method.patch_targets.center.clone()
    seen, patches, _ = followed(method, views())
    assert method(views(), START).loss.item() == pytest.approx(
        looped(method, views(), centered(seen, centers[0]), centered(patches, centers[1])), rel=1e-4
    )
    # The centers follow the means of class tokens, and of masked patches.
    for targets, before, outputs in zip(
        (method.class_targets, method.patch_targets), centers, (seen, patches), strict=True
    ):
        assert torch.allclose(targets.center, 0.9 * before + 0.1 * torch.stack(outputs).mean(dim=0), atol=1e-6)


def test_the_loss_equals_a_loop_from_the_papers_with_even_assignments() -> None:
    method = created(**EVEN)
    seen, patches, _ = followed(method, views())
    assert len(method.heads) == 2
    expected = looped(method, views(), even(seen), even(patches))
    assert method(views(), START).loss.item() == pytest.approx(expected, rel=1e-4)


@torch.no_grad()
def followed(method: Any, images: list[Tensor]) -> tuple[list[Tensor], list[Tensor], list[tuple[int, int]]]:
    """The teacher's outputs for class tokens and masked patches, and the image and place of each of the latter."""
    masks = method._masks(images[0], START).tokens[:, 1:]
    heads = method.teacher_heads
    seen, patches, places = [], [], []
    for image, view in enumerate([row for of_crop in images[:2] for row in of_crop]):
        tokens = tokens_of(method.exported, view[None])[0]
        seen.append(heads[0](tokens[:1])[0])
        for place in range(16):
            if masks[image, place]:
                patches.append(heads[-1](tokens[None, 1 + place])[0])
                places.append((image, place))
    return seen, patches, places


@torch.no_grad()
def looped(method: Any, images: list[Tensor], targets: list[Any], patch_targets: list[Any]) -> float:
    settings = method._settings
    vit, slices = method.backbone.vit, len(images[0])
    masks = method._masks(images[0], START).tokens[:, 1:]
    assert 0 < masks.sum() < masks.numel() / 2
    _, _, places = followed(method, images)
    student, outputs = [], {}
    for crop, of_crop in enumerate(images):
        for row in range(slices):
            image = crop * slices + row
            mask = masks[image][None] if crop < 2 else None
            tokens = tokens_of(vit, of_crop[row][None], mask, method.backbone.mask_token[0, 0])[0]
            student.append(tokens[0])
            if crop < 2:
                outputs[image] = method.heads[-1](tokens[1:])
    total = 0.0
    # DINO: each of two targets with the three other views.
    for crop in range(2):
        for other in range(4):
            for row in range(slices):
                if crop != other:
                    output = method.heads[0](student[other * slices + row][None])[0]
                    total += entropy(targets[crop * slices + row], output) / slices / 6
    # iBOT: the mean over an image's masked patches, over all images; those without count as 0.
    for (image, place), target in zip(places, patch_targets, strict=True):
        share = 1 / int(masks[image].sum()) / (2 * slices)
        total += settings.patch_weight * share * entropy(target, outputs[image][place])
    # KoLeo: of the backbone's class tokens, within each large crop.
    for crop in range(2):
        units = [unit(token) for token in student[crop * slices : (crop + 1) * slices]]
        for row in range(slices):
            nearest = min(number((units[row] - units[j]).norm()) for j in range(slices) if j != row)
            total -= settings.koleo_weight * math.log(nearest) / slices
    return total


def entropy(target: Any, output: Tensor) -> float:
    logits = output.double().numpy() / 0.1
    return -float((np.asarray(target) * (logits - np.log(np.exp(logits).sum()))).sum())


def centered(outputs: list[Tensor], center: Tensor) -> list[Any]:
    """Softmax of the smallest temperature, that of the first epoch."""
    exponentials = [np.exp((output - center).double().numpy() / 0.04) for output in outputs]
    return [row / row.sum() for row in exponentials]


def even(outputs: list[Tensor]) -> list[Any]:
    """Sinkhorn-Knopp as in SwAV's paper: columns are outputs, rows are what is assigned."""
    shares = np.exp(torch.stack(outputs).double().numpy() / 0.04)
    shares /= shares.sum()
    for _ in range(3):
        shares /= shares.sum(axis=0, keepdims=True) * shares.shape[1]
        shares /= shares.sum(axis=1, keepdims=True) * shares.shape[0]
    return list(shares * shares.shape[0])


def test_the_loss_equals_lightly_s_parts() -> None:
    method = created()
    images = views()
    masks = method._masks(images[0], START)
    student = [tokens_of(method.backbone.vit, view) for view in images[2:]]
    masked = tokens_of(
        method.backbone.vit, torch.cat(images[:2]), masks.tokens[:, 1:], method.backbone.mask_token[0, 0]
    )
    seen = tokens_of(method.exported, torch.cat(images[:2]))
    classes = [*masked[:, 0].chunk(2), *(tokens[:, 0] for tokens in student)]
    dino = DINOLoss(output_dim=16)(
        list(method.teacher_heads[0](seen[:, 0]).chunk(2)),
        [method.heads[0](tokens) for tokens in classes],
        teacher_temp=0.04,
    )
    mask = masks.tokens[:, 1:].reshape(10, 4, 4)
    ibot = IBOTPatchLoss(output_dim=16)(
        method.teacher_heads[0](seen[:, 1:].reshape(10, 4, 4, -1)[mask]),
        method.heads[0](masked[:, 1:].reshape(10, 4, 4, -1)[mask]),
        mask,
        teacher_temp=0.04,
    )
    spread = sum(KoLeoLoss()(tokens) for tokens in classes[:2])
    assert method(images, START).loss.item() == pytest.approx(number(dino + ibot + 0.1 * spread), rel=1e-5)


def test_koleo_s_value_and_gradient_equal_lightly_s() -> None:
    ours = torch.randn(9, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    found, expected = koleo(ours), KoLeoLoss()(theirs)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    found.backward()
    expected.backward()
    assert torch.allclose(ours.grad, theirs.grad, rtol=1e-4, atol=1e-7)


def test_even_assignments_are_finite_for_large_outputs_and_for_none() -> None:
    far = torch.tensor([[40.0, 0.0, 0.0], [0.0, 40.0, 0.0], [-40.0, 0.0, -40.0]])
    shares = Sinkhorn(3)(far, 0.04)
    assert torch.isfinite(shares).all()
    assert torch.allclose(shares[:2].sum(dim=1), torch.ones(2))
    assert Sinkhorn(3)(torch.zeros(0, 4), 0.04).shape == (0, 4)


@pytest.mark.parametrize("name", ["test_vit", "vit_tiny_patch16_224", "deit_tiny_patch16_224", "test_vit3"])
def test_tokens_are_timm_s(name: str) -> None:
    transformer: Any = create_backbone(name).eval()
    images = torch.randn(2, 3, 48, 48)
    with torch.no_grad():
        torch.testing.assert_close(Tokens(transformer)(images), transformer.forward_features(images))


def test_the_teacher_is_an_ordinary_backbone_that_follows() -> None:
    method = created()
    plain = create_backbone("test_vit")
    assert method.exported.state_dict().keys() == plain.state_dict().keys()
    before = {name: value.clone() for name, value in method.exported.state_dict().items()}
    method.after_step(TrainingState(epoch=0, step=5, steps=10))
    momentum = 1 - (1 - 0.9) / 2
    student = method.backbone.vit.state_dict()
    for name, value in method.exported.state_dict().items():
        assert torch.allclose(value, momentum * before[name] + (1 - momentum) * student[name], atol=1e-6)
    heads = zip(method.heads.parameters(), method.teacher_heads.parameters(), strict=True)
    assert all(not torch.equal(own, other) for own, other in heads)


def test_last_layers_rest_in_the_first_epochs() -> None:
    method = created(freeze_epochs=1, separate_heads=True)
    for epoch, rests in ((0, True), (1, False)):
        method.zero_grad()
        method(views(), START).loss.backward()
        method.after_backward(START._replace(epoch=epoch))
        missing = {name for name, p in method.named_parameters() if p.requires_grad and p.grad is None}
        of_last = {name for name, _ in method.heads.named_parameters(prefix="heads") if "last_layer" in name}
        assert missing == (of_last if rests else set())
        assert len(of_last) == 4


def test_even_assignments_wait_for_nothing() -> None:
    method = created(**EVEN)
    with counted() as found:
        method(views(), START).loss.backward()
    assert found.waits == {}


def test_the_loss_falls_and_features_stay_apart() -> None:
    torch.manual_seed(0)
    # With centers the loss first falls to what is alike for all slices, and then rises.
    settings = {**SMALL, "centering": "sinkhorn"}
    config = tiny("dinov2", optimizer="adamw", learning_rate=1e-3, settings=settings)
    method = create_method(config, create_backbone("test_vit"))
    optimizer = create_optimizer(config, method)
    generator = torch.Generator().manual_seed(2)
    slices = torch.randn(8, 1, 64, 64, generator=generator)
    losses = []
    for step in range(20):
        # After the warm-up of the temperature, which the loss depends on.
        state = TrainingState(epoch=1, step=step, steps=20, batch=step)
        noisy = [slices + 0.1 * torch.randn(slices.shape, generator=generator) for _ in range(4)]
        outcome = method([*noisy[:2], *(view[:, :, 16:48, 16:48] for view in noisy[2:])], state)
        outcome.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        method.after_step(state._replace(step=step + 1))
        losses.append(number(outcome.loss))
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.5
    assert feature_std(outcome.features) > 0.02


def test_a_resumed_training_with_several_batches_per_step_has_the_same_bits(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    config = tiny("dinov2", steps=4, batch_size=4, accumulate=2)
    method = type(create_method(config, create_backbone("test_vit")))
    masks = method._masks  # type: ignore[attr-defined]

    def watched(self: Any, view: Tensor, state: TrainingState) -> Any:
        batches.append(state.batch)
        return masks(self, view, state)

    monkeypatch.setattr(method, "_masks", watched)
    whole = ctprune.pretrain(run, config, out=tmp_path / "whole")
    assert batches == list(range(8))
    with stopped_after(2, monkeypatch), pytest.raises(ctprune.Interrupted):
        ctprune.pretrain(run, config, out=tmp_path / "parts")
    parts = PretrainingRun(run, tmp_path / "parts", config, resume=True).carry_out()
    assert batches[8:] == list(range(8))
    own, other = (ctprune.load_backbone(result.backbone).state_dict() for result in (whole, parts))
    assert all(torch.equal(own[key], other[key]) for key in own)
    assert parts.summary["final_loss"] == whole.summary["final_loss"]
    assert "the weights are the teacher's" in (tmp_path / "whole/README.md").read_text()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {"backbone": "resnet50"},
            r"^backbone resnet50: `method` dinov2 needs a vision transformer of timm, such as",
        ),
        (
            {"batch_size": 1, "accumulate": 2},
            r"^batch_size 1: expected 2 or more: `settings\.koleo_weight` compares",
        ),
        ({"settings": {"centering": "mean"}}, r"settings\.centering mean: expected one of softmax, sinkhorn"),
        ({"settings": {"mask_ratio": [0.5, 0.1]}}, r"settings\.mask_ratio"),
        ({"settings": {"mask_probability": 0}}, r"settings\.mask_probability 0: expected"),
        (
            {"views": {"crops": [{"count": 1, "size": 32}, {"count": 2, "size": 32}]}},
            "2 or more crops in the first",
        ),
    ],
)
def test_options_that_cannot_be_used(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ctprune.ConfigError, match=expected):
        PretrainConfig.resolve({"method": "dinov2", **options}, preset_name="smoke")


def test_backbones_whose_patches_cannot_be_masked() -> None:
    sentence = r"^backbone {}: `method` dinov2 needs a vision transformer of timm with a class token and learned"
    # Without a class token; a network of convolutions; with a token for distillation; without learned positions.
    for name in (
        "test_vit2",
        "convnext_atto",
        "deit_tiny_distilled_patch16_224",
        "vit_small_patch16_dinov3",
    ):
        with pytest.raises(ctprune.ConfigError, match=sentence.format(name)):
            create_method(tiny("dinov2", backbone=name), create_backbone(name))
    views_config = {"crops": [{"count": 2, "size": 24}]}
    with pytest.raises(ctprune.ConfigError, match="2 × 2 patches or more in the first group of crops, found 1"):
        create_method(tiny("dinov2", views=views_config), create_backbone("test_vit"))


def test_a_backbone_is_refused_before_slices_are_packed(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ctprune.ConfigError, match=r"^backbone test_vit2: `method` dinov2 needs"):
        ctprune.pretrain(run, tiny("dinov2", backbone="test_vit2", side=41), out=tmp_path / "pre")
    assert not list(run.glob("store-*41*"))


def test_presets_have_transformers_and_whole_patches() -> None:
    paper = PretrainConfig.resolve({"method": "dinov2"})
    assert (paper.backbone, paper.rate_scaling, paper.epochs) == ("vit_small_patch16_224", "sqrt", 100)
    assert PretrainConfig.resolve({"method": "dinov2"}, preset_name="vit") == paper
    for name in ("small", "smoke"):
        assert PretrainConfig.resolve({"method": "dinov2"}, preset_name=name).backbone == "vit_tiny_patch16_224"
    for name in ("paper", "small", "smoke"):
        config = PretrainConfig.resolve(
            {"method": "dinov2", "backbone": "vit_small_patch14_dinov2"}, preset_name=name
        )
        assert all(crop.size % 14 == 0 for crop in config.views.crops)
    # 0.992 for 2,048 slices.
    method = created(teacher_momentum=None)
    assert method.momentum == pytest.approx(0.992 ** (8 / 2048))
