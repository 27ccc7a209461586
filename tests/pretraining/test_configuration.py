from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import ctprune
from ctprune.pretraining.config import PretrainConfig
from ctprune.pretraining.view_config import WindowConfig


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"method": "mae"}, "expected one of swav, mocov2"),
        ({"optimizer": "adagrad"}, "expected one of lars"),
        ({"batch_size": 1}, "expected 2 or more"),
        ({"optimizer": "lars", "weight_decay": 0}, "switches off the scaling"),
        ({"epochs": 0}, "expected a whole number, 1 or more"),
        ({"colour": 1}, "not an option of pre-training"),
        ({"settings": {"prototype": 3}}, "not a setting of SwavSettings"),
        ({"settings": {"temperature": 0}}, "expected a number above 0"),
        ({"method": "mocov2", "batch_size": 24}, "expected a multiple of the batch size 24"),
        ({"method": "byol", "views": {"crops": [{"count": 3, "size": 32}]}}, "takes 2 views"),
        ({"views": {"window": {"center": 40}}}, "views.window needs Hounsfield units"),
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


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("swav", (128, "lars", 0.15, 1e-6, True)),
        ("mocov2", (128, "sgd", 0.015, 1e-4, True)),
        ("byol", (64, "adam", 1e-3, 1.5e-6, True)),
        ("simclr", (256, "lars", 0.3, 1e-6, False)),
        ("dino", (128, "sgd", 0.015, 1e-4, False)),
    ],
)
def test_the_paper_preset_is_the_reference_s_or_the_paper_s(method: str, expected: tuple[Any, ...]) -> None:
    config = PretrainConfig.resolve({"method": method})
    found = (config.batch_size, config.optimizer, config.learning_rate, config.weight_decay, config.decay_biases)
    assert found == expected
    assert PretrainConfig.from_dict(config.to_dict()) == config


def test_the_queue_is_the_paper_s_in_the_paper_preset_and_shorter_in_the_others() -> None:
    queues = {}
    for name in ("paper", "small", "smoke"):
        settings: Any = PretrainConfig.resolve({"method": "mocov2"}, preset_name=name).settings
        queues[name] = settings.queue
    assert queues == {"paper": 65536, "small": 1024, "smoke": 64}


def test_hounsfield_units_are_seen_through_a_window() -> None:
    assert PretrainConfig.resolve({"depth": 16}).views.window == WindowConfig()
    lung = {"window": {"center": -600, "width": 1500}}
    assert PretrainConfig.resolve({"depth": 16, "views": lung}).views.window == WindowConfig(
        center=-600, width=1500
    )
    assert PretrainConfig.resolve({}).views.window is None
    with pytest.raises(ctprune.ConfigError, match=r"--depth 16 needs views\.window"):
        PretrainConfig(depth=16)
