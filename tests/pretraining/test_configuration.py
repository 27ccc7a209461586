from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import ctprune
from ctprune.pretraining.config import PretrainConfig


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
