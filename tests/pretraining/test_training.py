from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ctprune
from ctprune.networks.backbone import backbone_metadata, create_backbone
from ctprune.pretraining.batches import StoreBatches
from ctprune.pretraining.methods import METHODS, create_method
from ctprune.pretraining.methods.simclr import SimClr
from ctprune.pretraining.probe import ProbeMeasures
from ctprune.pretraining.run import PretrainingRun
from tests.labeled import write
from tests.pretraining.tiny import backbone_of, network_of, tiny


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_an_epoch(method: str, run: Path, tmp_path: Path) -> None:
    result = ctprune.pretrain(run, tiny(method), out=tmp_path / "pre")
    facts = result.summary
    assert math.isfinite(facts["final_loss"])
    assert facts["steps"] == facts["slices"] // 8
    width = create_backbone(backbone_of(method)).num_features
    assert ctprune.load_backbone(result.backbone).num_features == width
    metadata = backbone_metadata(result.backbone)
    assert (metadata["method"], metadata["manifest_digest"]) == (method, ctprune.Manifest.load(run).digest())
    assert facts["manifest_digest"] in (tmp_path / "pre/summary.json").read_text()
    card = (tmp_path / "pre/README.md").read_text()
    assert f"{facts['slices']:,} (kept)" in card
    assert "pre-trained on CT slices with" in card


def losses_of(folder: Path) -> list[float]:
    """The loss of each line of the log that has one."""
    names, *lines = (folder / "logs/metrics.csv").read_text().splitlines()
    column = names.split(",").index("loss")
    return [float(loss) for line in lines if (loss := line.split(",")[column])]


@pytest.mark.slow
def test_the_loss_falls(run: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"use": "all", "epochs": 8, "batch_size": 16, "learning_rate": 0.016}
    config = tiny("simclr", **options, backbone="resnet18", settings={"temperature": 0.5})
    ctprune.pretrain(run, config, out=tmp_path / "pre")
    losses = losses_of(tmp_path / "pre")
    assert np.mean(losses[-4:]) < np.mean(losses[:4]) - 0.3


@pytest.mark.parametrize(("method", "settings"), [("lejepa", {"regularization": 0.5}), ("mae", {})])
def test_the_loss_of_a_small_network_falls(
    method: str, settings: dict[str, float], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PretrainingRun, "_create_backbone", lambda _: network_of(method))
    options: dict[str, Any] = {"use": "all", "epochs": 4, "batch_size": 16, "learning_rate": 0.05}
    config = tiny(method, **options, settings=settings)
    ctprune.pretrain(run, config, out=tmp_path / "pre")
    losses = losses_of(tmp_path / "pre")
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4]), losses


@pytest.mark.slow
def test_the_card_calls_pictures_no_ct(tmp_path: Path) -> None:
    for number in range(16):
        write(tmp_path / "in" / f"{number}.png", number % 2 == 1, number)
    ctprune.reduce(tmp_path / "in", out=tmp_path / "run", method="all")
    result = ctprune.pretrain(tmp_path / "run", tiny(steps=1), out=tmp_path / "pre")
    assert result.summary["modalities"] == [""]
    assert "pre-trained on slices with" in (tmp_path / "pre/README.md").read_text()


def test_slices_come_as_often_as_what_they_stand_for(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[StoreBatches] = []
    orders: list[list[int]] = []

    def watched(*args: Any, **options: Any) -> StoreBatches:
        seen.append(StoreBatches(*args, **options))
        orders.append(seen[-1].order(0).tolist())
        return seen[-1]

    monkeypatch.setattr("ctprune.pretraining.run.StoreBatches", watched)
    ctprune.pretrain(run, tiny(steps=1, sample_weights=True), out=tmp_path / "pre")
    slices = ctprune.Manifest.load(run).slices()
    weights = slices.stands_for[slices.kept]
    assert weights.max() > 1
    often = np.bincount(orders[0], minlength=len(weights))
    assert (np.abs(often - weights * len(weights) / len(slices)) < 1).all()
    assert seen[0].slices == len(weights)
    card = (tmp_path / "pre" / "README.md").read_text()
    assert f"{len(weights):,} (kept, each as often as the slices that it stands for)" in card
    (tmp_path / "pre" / "summary.json").unlink()
    with pytest.raises(ctprune.ConfigError, match="sample_weights was True"):
        ctprune.pretrain(run, tiny(steps=1), out=tmp_path / "pre", resume=True)


def test_weights_to_start_from(tmp_path: Path, run: Path) -> None:
    config = tiny(weights=str(tmp_path / "none.safetensors"))
    with pytest.raises(ctprune.WeightsError, match=r"none\.safetensors"):
        ctprune.pretrain(run, config, out=tmp_path / "pre")
    assert create_backbone("resnet18").num_features == 512


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"weights": "missing.pth"}, "missing.pth: expected a file of weights"),
        ({"backbone": "resnet19"}, "resnet19"),
        ({"probe": "missing"}, "`probe` missing: expected a folder per class, found no folder"),
    ],
)
def test_mistakes_show_before_slices_are_packed(
    options: dict[str, Any], sentence: str, run: Path, tmp_path: Path
) -> None:
    with pytest.raises(ctprune.CtpruneError, match=sentence):
        ctprune.pretrain(run, tiny(side=43, **options), out=tmp_path / "pre")
    assert not list(run.glob("store-*43*"))


@pytest.mark.slow
def test_dino_saves_and_probes_the_teacher_at_the_rate_that_fits_the_batch(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    methods: list[Any] = []
    probed: list[Any] = []

    class FakeProbe:
        def measure(self, backbone: torch.nn.Module, _: torch.device) -> ProbeMeasures:
            probed.append(backbone)
            return ProbeMeasures(0.5, 0.5, 0.5)

    def remember(config: Any, backbone: torch.nn.Module) -> Any:
        methods.append(create_method(config, backbone))
        return methods[-1]

    monkeypatch.setattr("ctprune.pretraining.run.create_method", remember)
    monkeypatch.setattr(PretrainingRun, "_create_probe", lambda *_: FakeProbe())
    notes: list[str] = []
    settings = {"outputs": 64, "hidden": 32, "bottleneck": 16, "teacher_momentum": None, "freeze_epochs": 0}
    config = tiny("dino", steps=3, accumulate=2, learning_rate=0.32, settings=settings)
    result = PretrainingRun(run, tmp_path / "pre", config, note=notes.append).carry_out()
    *_, method = methods
    teacher, student = method.teacher.networks[0], method.backbone
    saved = ctprune.load_backbone(result.backbone).state_dict()
    assert all(torch.equal(value, teacher.state_dict()[name]) for name, value in saved.items())
    assert not torch.equal(saved["conv1.0.weight"], student.state_dict()["conv1.0.weight"])
    assert probed
    assert all(network is teacher for network in probed)
    facts = result.summary
    assert (facts["slices_per_step"], facts["learning_rate"]) == (16, pytest.approx(0.02))
    assert facts["teacher_momentum"] == pytest.approx(0.996 ** (1 / 64))
    assert notes == ["learning rate 0.02: 0.32 times 16 / 256 slices per optimizer step"]
    card = (tmp_path / "pre/README.md").read_text()
    assert "the weights are the teacher's" in card
    assert (
        "learning rate 0.02 (0.32 for 256 slices), weight decay 0.04 to 0.4, gradients up to a norm of 3" in card
    )
    lines = [line.split(",") for line in (tmp_path / "pre/logs/metrics.csv").read_text().splitlines()]
    names, first = lines[0], lines[1]
    assert 0 < float(first[names.index("assignment_entropy")]) <= 1
    # From 0 along a cosine, as there is no warm-up: the first step has the whole rate.
    assert float(first[names.index("learning_rate")]) == pytest.approx(0.02)


@pytest.mark.slow
def test_gradients_are_clipped_before_the_step(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    norms: list[float] = []
    before = SimClr.after_backward

    def measure(method: Any, state: Any) -> None:
        gradients = [p.grad.flatten() for p in method.parameters() if p.grad is not None]
        norms.append(float(torch.cat(gradients).norm()))
        before(method, state)

    monkeypatch.setattr(SimClr, "after_backward", measure)
    for clip in (0.0, 0.01):
        config = tiny("simclr", steps=2, clip_gradients=clip)
        ctprune.pretrain(run, config, out=tmp_path / str(clip))
    assert min(norms[:2]) > 0.02
    assert norms[2:] == [pytest.approx(0.01, rel=1e-3)] * 2


@pytest.mark.slow
def test_a_queue_longer_than_an_epoch_is_noted(run: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    config = tiny("mocov2", steps=1, settings={"queue": 1024, "hidden": 0, "projection": 16})
    result = PretrainingRun(run, tmp_path / "pre", config, note=notes.append).carry_out()
    slices = result.summary["slices"]
    assert f"longer than an epoch of {slices:,} slices" in notes[0]
    assert result.summary["notes"] == notes[:1]
    assert f"**Note:** {notes[0]}" in (tmp_path / "pre/README.md").read_text()
