from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import ctprune
from ctprune.backbone import backbone_metadata, create_backbone
from ctprune.pretraining.config import PretrainConfig
from ctprune.pretraining.health import CollapseAlarm, knn_accuracy, rankme
from ctprune.pretraining.leakage import excluded_rows
from ctprune.pretraining.methods import METHODS, Moment, create_method
from ctprune.pretraining.optimizers import create_optimizer
from ctprune.pretraining.run import Pretraining
from ctprune.pretraining.show_views import write_views
from tests.conftest import Cli

START = Moment(epoch=0, step=0, steps=10)

#: Small enough for seconds; every other option is the preset's.
TINY: dict[str, Any] = {"side": 32, "batch_size": 8, "epochs": 1, "log_every": 1, "backbone": "resnet18"}


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def run(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    ctprune.reduce(archive, out=folder)
    return folder


def tiny(method: str = "swav", **options: Any) -> PretrainConfig:
    crops = [{"count": 2, "size": 32, "scale": [0.5, 1.0]}]
    if method in ("swav", "dino"):
        crops.append({"count": 2, "size": 16, "scale": [0.2, 0.5]})
    views = {"crops": crops, "blur_sigma": [0.1, 1.0]}
    return PretrainConfig.resolve({"method": method, **TINY, "views": views, **options}, preset_name="smoke")


class Flat(torch.nn.Module):
    """A backbone of one layer, so that a loop can follow it."""

    num_features = 6

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3 * 4 * 4, 6)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(torch.nn.functional.adaptive_avg_pool2d(images, 4).flatten(1))


def views_of(count: int, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(8, 1, 16, 16, generator=generator) for _ in range(count)]


def flat(method: str) -> tuple[Any, PretrainConfig]:
    torch.manual_seed(0)
    config = tiny(method)
    return create_method(config, Flat()), config


def number(scalar: Tensor) -> float:
    return scalar.detach().item()


def unit(vector: Tensor) -> Tensor:
    return vector / vector.norm()


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
    moment = Moment(epoch=0, step=5, steps=10)
    method.after_step(moment)
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


def test_dino_equals_a_loop_and_moves_its_centre() -> None:
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


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_an_epoch(method: str, run: Path, tmp_path: Path) -> None:
    result = ctprune.pretrain(run, out=tmp_path / "pre", config=tiny(method))
    facts = result.summary
    assert math.isfinite(facts["final_loss"])
    assert facts["steps"] == facts["slices"] // 8
    assert ctprune.load_backbone(result.backbone).num_features == 512
    metadata = backbone_metadata(result.backbone)
    assert (metadata["method"], metadata["manifest_digest"]) == (method, ctprune.Manifest.load(run).digest())
    assert facts["manifest_digest"] in (tmp_path / "pre/summary.json").read_text()
    assert f"{facts['slices']:,} (kept)" in (tmp_path / "pre/README.md").read_text()


@pytest.mark.slow
def test_the_loss_falls(run: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"use": "all", "epochs": 8, "batch_size": 16, "learning_rate": 1e-3}
    config = tiny("simclr", **options, settings={"temperature": 0.5})
    ctprune.pretrain(run, out=tmp_path / "pre", config=config)
    lines = (tmp_path / "pre/logs/metrics.csv").read_text().splitlines()
    names = lines[0].split(",")
    losses = [float(dict(zip(names, line.split(","), strict=True))["loss"] or "nan") for line in lines[1:]]
    losses = [loss for loss in losses if math.isfinite(loss)]
    assert np.mean(losses[-4:]) < np.mean(losses[:4]) - 0.3


def without(line: str, column: int) -> list[str]:
    fields = line.split(",")
    return fields[:column] + fields[column + 1 :]


class _StopAfter:
    """A request to stop that comes after some steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __bool__(self) -> bool:
        self.left -= 1
        return self.left <= 0


@pytest.mark.slow
@pytest.mark.parametrize(("method", "stop_at"), [("swav", 3), ("mocov2", 3), ("swav", 2)])
def test_resumed_equals_uninterrupted(
    method: str, stop_at: int, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(method, epochs=2, accumulate=1)
    whole = ctprune.pretrain(run, out=tmp_path / "whole", config=config)

    class Stopped:
        def __enter__(self) -> _StopAfter:
            return _StopAfter(stop_at)

        def __exit__(self, *_: object) -> None: ...

    with monkeypatch.context() as patch:
        patch.setattr("ctprune.pretraining.run.StopRequest", Stopped)
        with pytest.raises(ctprune.Interrupted, match=f"interrupted at step {stop_at} of"):
            # There is nothing to go on from yet, so it begins.
            Pretraining(run, tmp_path / "parts", config, resume=True).carry_out()
    # What chance has done in between must not matter.
    torch.manual_seed(123)
    parts = Pretraining(run, tmp_path / "parts", config, resume=True).carry_out()
    own, other = (ctprune.load_backbone(result.backbone).state_dict() for result in (whole, parts))
    assert all(torch.equal(own[name], other[name]) for name in own)
    assert parts.summary["final_loss"] == whole.summary["final_loss"]
    full, other_full = (
        torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True)["module"]
        for name in ("whole", "parts")
    )
    assert all(torch.equal(full[name], other_full[name]) for name in full)
    names, *lines = (tmp_path / "whole/logs/metrics.csv").read_text().splitlines()
    _, *other_lines = (tmp_path / "parts/logs/metrics.csv").read_text().splitlines()
    speed = names.split(",").index("images_per_second")
    assert [without(line, speed) for line in lines] == [without(line, speed) for line in other_lines]
    # What is finished is not done again, and not with other options.
    assert Pretraining(run, tmp_path / "parts", config, resume=True).carry_out().summary == parts.summary
    with pytest.raises(ctprune.ConfigError, match="other options"):
        Pretraining(run, tmp_path / "parts", tiny(method, epochs=3), resume=True).carry_out()


@pytest.mark.slow
def test_sigterm_saves_and_the_command_goes_on(run: Path, tmp_path: Path, cli: Cli) -> None:
    arguments = ["pretrain", run, "--preset", "smoke", "--side", "32", "--batch-size", "4", "--epochs", "30"]
    arguments += ["--out", tmp_path / "pre", "--log-every", "1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "ctprune", *map(str, arguments)], env=environment, stderr=subprocess.PIPE, text=True
    )
    log = tmp_path / "pre/logs/metrics.csv"
    for _ in range(600):
        if log.exists() and len(log.read_text().splitlines()) > 2:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume goes on from there" in error
    assert "Traceback" not in error
    step = torch.load(tmp_path / "pre/checkpoints/last.ckpt", weights_only=True)["step"]
    assert step >= 1
    wrong = cli(*arguments[:8], "--batch-size", "2", "--out", tmp_path / "pre", "--resume")
    assert wrong.returncode == 2
    assert "was" in wrong.stderr
    assert "Traceback" not in wrong.stderr


@pytest.mark.slow
def test_command_and_config_file_repeat_a_run(run: Path, tmp_path: Path, cli: Cli) -> None:
    arguments = ["pretrain", run, "--preset", "smoke", "--side", "32", "--batch-size", "8", "--epochs", "1"]
    first = cli(*arguments, "--out", "first", "--json")
    assert first.returncode == 0, first.stderr
    second = cli("pretrain", run, "--config", "first/config.yaml", "--out", "second", "--json")
    assert second.returncode == 0, second.stderr
    one, two = json.loads(first.stdout), json.loads(second.stdout)
    assert one["final_loss"] == two["final_loss"]
    assert one["settings"] == two["settings"]
    assert one["use"] == "kept"
    assert one["slices"] == ctprune.Manifest.load(run).counts()["kept"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"method": "mae"}, "expected one of swav, mocov2"),
        ({"optimizer": "adam"}, "expected one of lars"),
        ({"batch_size": 1}, "expected 2 or more"),
        ({"optimizer": "lars", "weight_decay": 0}, "switches off the scaling"),
        ({"epochs": 0}, "expected a whole number, 1 or more"),
        ({"colour": 1}, "not an option of pre-training"),
        ({"settings": {"prototype": 3}}, "not a setting of SwavSettings"),
        ({"settings": {"temperature": 0}}, "expected a number above 0"),
        ({"method": "mocov2", "batch_size": 24}, "expected a multiple of the batch size 24"),
        ({"method": "byol", "views": {"crops": [{"count": 3, "size": 32}]}}, "takes 2 views"),
        ({"views": {"window": {"center": 40}}}, "needs Hounsfield units"),
    ],
)
def test_options_that_cannot_be_used(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ctprune.ConfigError, match=expected):
        PretrainConfig.resolve(options, preset_name="smoke")


def test_presets_and_files_make_a_configuration(tmp_path: Path) -> None:
    paper = PretrainConfig.resolve({})
    assert (paper.epochs, paper.batch_size, paper.optimizer, paper.warmup_epochs) == (800, 128, "lars", 10)
    assert (paper.learning_rate, paper.start_learning_rate, paper.final_learning_rate) == (0.15, 0.3, 0.00015)
    assert [(crop.count, crop.size, crop.scale) for crop in paper.views.crops] == [
        (2, 224, (0.9, 1.0)),
        (6, 96, (0.1, 0.33)),
    ]
    file = tmp_path / "config.yaml"
    file.write_text("method: byol\nepochs: 7\nsettings: {hidden: 32}\n")
    config = PretrainConfig.resolve({"epochs": 9}, preset_name="small", file=file)
    assert (config.method, config.epochs, config.backbone) == ("byol", 9, "resnet18")
    assert config.settings.hidden == 32
    file.write_text("- a list")
    with pytest.raises(ctprune.ConfigError, match="expected options by name"):
        PretrainConfig.resolve({}, file=file)
    with pytest.raises(ctprune.ConfigError, match="expected a YAML file"):
        PretrainConfig.resolve({}, file=tmp_path / "none.yaml")


def test_bad_input_is_one_sentence(run: Path, tmp_path: Path, cli: Cli) -> None:
    for arguments, code, expected in [
        ([tmp_path, "--out", "pre"], 1, "found none"),
        ([run], 2, "--out is missing"),
        ([run, "--out", "pre", "--method", "mae"], 2, "expected one of swav"),
        ([run, "--out", "pre", "--preset", "smoke", "--backbone", "vgg"], 2, "--backbone vgg"),
        ([run, "--out", "pre", "--preset", "smoke", "--batch-size", "5000"], 2, "take a smaller batch"),
        ([run, "--out", run, "--preset", "smoke"], 1, "is not empty"),
        ([run, "--out", "pre", "--preset", "smoke", "--exclude", "none"], 1, "found neither"),
    ]:
        result = cli("pretrain", *arguments)
        assert result.returncode == code, result.stderr
        assert expected in result.stderr
        assert "Traceback" not in result.stderr


def test_a_damaged_checkpoint_is_refused(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "pre"
    (out / "checkpoints").mkdir(parents=True)
    (out / "config.yaml").write_text("{}")
    (out / "checkpoints/last.ckpt").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(ctprune.WeightsError, match="damaged"):
        Pretraining(run, out, tiny(), resume=True).carry_out()


def test_rankme_and_knn_equal_numpy() -> None:
    features = torch.randn(40, 12, generator=torch.Generator().manual_seed(0)) @ torch.diag(torch.arange(12.0))
    values = np.linalg.svd(features.numpy().astype(float), compute_uv=False)
    shares = values / values.sum() + 1e-7
    assert rankme(features) == pytest.approx(math.exp(-(shares * np.log(shares)).sum()), rel=1e-9)
    labels = torch.arange(40) % 3
    units = features.numpy() / np.linalg.norm(features.numpy(), axis=1, keepdims=True)
    right = 0
    for i in range(40):
        cosines = [(float(units[i] @ units[j]), int(labels[j])) for j in range(40) if j != i]
        votes = [0.0, 0.0, 0.0]
        for cosine, label in sorted(cosines, reverse=True)[:20]:
            votes[label] += math.exp(cosine / 0.1)
        right += int(np.argmax(votes)) == int(labels[i])
    assert knn_accuracy(features, labels) == pytest.approx(right / 40)


def test_alarms_need_many_bad_lines() -> None:
    alarm = CollapseAlarm(prototypes=8)
    features = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    uniform = torch.full((16, 8), 1 / 8)
    found = [alarm.check(loss=math.log(8), features=features, assignments=uniform) for _ in range(20)]
    assert found[:19] == [""] * 19
    assert "stuck at ln(8)" in found[19]
    assert not alarm.check(loss=1.0, features=features, assignments=torch.eye(8).repeat(2, 1))
    single = torch.zeros(16, 8)
    single[:, 3] = 1
    found = [alarm.check(loss=0.5, features=features, assignments=single) for _ in range(20)]
    assert "one and the same prototype" in found[-1]


def test_exclusion_equals_comparing_every_pair(run: Path, tmp_path: Path) -> None:
    manifest = ctprune.Manifest.load(run)
    test_set = tmp_path / "test"
    test_set.mkdir()
    slices = [row for row in manifest.table.to_pylist() if row["status"] in ("kept", "dropped")]
    files = Counter(row["path"] for row in slices)
    # Files of one frame, so that each brings one fingerprint.
    chosen = [row for row in slices if files[row["path"]] == 1][::9]
    for number, row in enumerate(chosen):
        os.link(Path(row["source"], row["path"]), test_set / f"{number}.dcm")
    prints = [row["fingerprint"] for row in chosen]
    for threshold in (0, 4):
        found = excluded_rows(manifest, [test_set], threshold=threshold)
        expected = []
        for index, row in enumerate(manifest.table.to_pylist()):
            if row["status"] not in ("kept", "dropped"):
                continue
            bits = [
                bin(int.from_bytes(row["fingerprint"], "big") ^ int.from_bytes(other, "big")).count("1")
                for other in prints
            ]
            if min(bits) <= threshold:
                expected.append(index)
        assert found.rows.tolist() == expected
        assert len(expected) >= len(set(prints))
    with pytest.raises(ctprune.ConfigError, match="expected 0 to 64"):
        excluded_rows(manifest, [test_set], threshold=65)


@pytest.mark.slow
def test_excluded_slices_do_not_train_and_the_probe_is_logged(archive: Path, run: Path, tmp_path: Path) -> None:
    probe = tmp_path / "probe"
    rows = ctprune.Manifest.load(run).kept().to_pylist()
    for number, row in enumerate(rows[:24]):
        folder = probe / ("upper" if number % 2 else "lower")
        folder.mkdir(parents=True, exist_ok=True)
        os.link(Path(row["source"], row["path"]), folder / f"{number}.dcm")
    config = tiny(exclude=[str(probe / "upper")], exclude_threshold=0, probe=str(probe))
    facts = ctprune.pretrain(run, out=tmp_path / "pre", config=config).summary
    assert facts["excluded"]["slices"] >= 12
    assert facts["slices"] == len(rows) - facts["excluded"]["slices"]
    sample = ctprune.pretrain(
        run, out=tmp_path / "sample", config=dataclasses.replace(config, use="random", probe=None)
    ).summary
    assert sample["slices"] == facts["slices"]
    assert 0 <= facts["knn_accuracy"] <= 1
    weights = backbone_metadata(tmp_path / "pre/backbone.safetensors")
    assert str(tmp_path) not in json.dumps(weights)


def test_views_can_be_looked_at(run: Path, tmp_path: Path) -> None:
    for depth in (8, 16):
        store = ctprune.build_store(run, side=32, depth=depth, out=tmp_path / f"store-{depth}")
        write_views(store, tiny().views, tmp_path / "views.png", slices=3)
        assert (tmp_path / "views.png").read_bytes().startswith(b"\x89PNG")


def test_weights_to_start_from(tmp_path: Path, run: Path) -> None:
    config = tiny(weights=str(tmp_path / "none.safetensors"))
    with pytest.raises(ctprune.WeightsError, match=r"none\.safetensors"):
        ctprune.pretrain(run, out=tmp_path / "pre", config=config)
    assert create_backbone("resnet18").num_features == 512
