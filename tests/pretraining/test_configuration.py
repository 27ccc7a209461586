from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ctprune
from ctprune.pretraining.config import PretrainConfig
from ctprune.pretraining.optimizers import rate_factor
from ctprune.pretraining.presets import is_transformer
from ctprune.pretraining.settings import SETTINGS
from ctprune.pretraining.view_config import WindowConfig


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"method": "moco"}, "expected one of swav, mocov2"),
        ({"optimizer": "adagrad"}, "expected one of lars"),
        ({"batch_size": 1}, "expected 2 or more"),
        ({"optimizer": "lars", "weight_decay": 0}, "switches off the scaling"),
        ({"epochs": 0}, "expected a whole number, 1 or more"),
        ({"color": 1}, "color: unknown option: expected one of use, side"),
        ({"epoch": 1}, r"epoch: unknown option: did you mean epochs\?"),
        ({"settings": {"prototype": 3}}, r"settings.prototype: unknown option: did you mean prototypes\?"),
        ({"settings": {"temperature": 0}}, "expected a number above 0"),
        ({"method": "mocov2", "batch_size": 24}, "expected a multiple of the batch size 24"),
        ({"batch_size": 24, "settings": {"queue": 64}}, "expected a multiple of the batch size 24"),
        ({"rate_scaling": "cubic"}, "expected one of linear, sqrt, none"),
        ({"final_weight_decay": -1}, "expected 0 to"),
        ({"optimizer": "lars", "final_weight_decay": 0}, "switches off the scaling"),
        ({"probe_patient_pattern": "p1"}, "expected one group in parentheses, found 0"),
        ({"probe_patient_pattern": "("}, "probe_patient_pattern"),
        ({"sample_weights": True, "use": "all"}, "sample_weights belongs to `use` kept"),
        ({"keep_checkpoints": 0}, "expected a whole number, 1 or more"),
        ({"method": "byol", "views": {"crops": [{"count": 3, "size": 32}]}}, "takes 2 views"),
        ({"views": {"window": {"center": 40}}}, "views.window needs Hounsfield units"),
        (
            {"method": "mae", "backbone": "resnet18"},
            "`method` mae needs a vision transformer of timm, such as vit_",
        ),
        ({"method": "mae", "positives": "neighbors:2"}, "`method` mae has one view of a slice"),
        ({"method": "mae", "views": {"crops": [{"size": 32}]}}, "takes 1 view of a slice, found 2"),
        (
            {"method": "mae", "settings": {"decoder_width": 34}},
            "a multiple of 4 and of `settings.decoder_heads` 4",
        ),
        ({"method": "mae", "settings": {"mask_ratio": 1.5}}, "settings.mask_ratio 1.5: expected"),
        ({"method": "lejepa", "views": {"crops": [{"count": 1}]}}, "needs 2 or more crops in the first group"),
        ({"depth": 16, "views": {"gray_window": [0.5, 1]}}, "views.gray_window belongs to `depth` 8"),
        ({"views": {"gray_window": [0, 1]}}, "expected a fraction of the stored gray range above 0 and up to 1"),
        ({"views": {"gray_window": 0.5}}, "views.gray_window 0.5: expected two numbers"),
    ],
)
def test_options_that_cannot_be_used(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ctprune.ConfigError, match=expected):
        PretrainConfig.resolve(options, preset_name="smoke")


def test_presets_and_files_make_a_configuration(tmp_path: Path) -> None:
    paper = PretrainConfig.resolve({})
    assert (paper.epochs, paper.batch_size, paper.optimizer, paper.warmup_epochs) == (800, 128, "lars", 10)
    # The reference's program goes from 0 to 0.15 at a batch of 128, and back to 0.
    assert (paper.learning_rate, paper.start_learning_rate, paper.final_learning_rate) == (0.3, 0.0, 0.0)
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


@pytest.mark.skipif(os.name == "nt", reason="FIFOs are POSIX's")
def test_options_of_a_fifo_are_read_if_it_has_a_writer(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo.yaml"
    os.mkfifo(fifo)
    with pytest.raises(ctprune.ConfigError, match="expected a YAML file, found a FIFO that nobody writes to"):
        PretrainConfig.resolve({}, file=fifo)
    # As the shell's <(…) does.
    read, write = os.pipe()
    try:
        writer = threading.Timer(0.1, lambda: (os.write(write, b"epochs: 7\n"), os.close(write)))
        writer.start()
        assert PretrainConfig.resolve({}, file=Path(f"/dev/fd/{read}")).epochs == 7
        writer.join()
    finally:
        os.close(read)
    with pytest.raises(ctprune.ConfigError, match="expected a YAML file, found none"):
        PretrainConfig.resolve({}, file=Path("/dev/zero"))


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        # The rates that are used at this batch are the references'.
        ("swav", (128, "lars", 0.15, 1e-6, True)),
        ("mocov2", (128, "sgd", 0.015, 1e-4, True)),
        ("byol", (64, "adam", 1e-3, 1.5e-6, True)),
        ("simclr", (256, "lars", 0.3, 1e-6, False)),
        ("dino", (128, "sgd", 0.015, 1e-4, False)),
        # 0.004 for 1,024 slices, by the root of their number.
        ("dinov2", (64, "adamw", 1e-3, 0.04, False)),
        ("lejepa", (128, "adamw", 2.5e-4, 5e-4, True)),
        ("mae", (128, "adamw", 0.75e-4, 0.05, False)),
    ],
)
def test_the_paper_preset_is_the_reference_s_or_the_paper_s(method: str, expected: tuple[Any, ...]) -> None:
    config = PretrainConfig.resolve({"method": method})
    rate = rate_factor(config, 1) * config.learning_rate
    assert (config.batch_size, config.optimizer, rate, config.weight_decay, config.decay_biases) == expected
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
    with pytest.raises(ctprune.ConfigError, match=r"depth 16 needs views\.window"):
        PretrainConfig(depth=16)


def test_dino_clips_gradients_and_has_a_schedule_of_weight_decay() -> None:
    short = (0.04, 0.4, 3.0)
    for name, values in {"paper": (1e-4, 1e-4, 3.0), "vit": short, "small": short, "smoke": short}.items():
        config = PretrainConfig.resolve({"method": "dino"}, preset_name=name)
        assert (config.weight_decay, config.final_weight_decay, config.clip_gradients) == values
        other = PretrainConfig.resolve({"method": "swav"}, preset_name=name)
        assert (other.final_weight_decay, other.clip_gradients) == (None, 0.0)


@pytest.mark.parametrize("method", SETTINGS)
def test_transformers_get_adamw_and_what_their_papers_took(method: str) -> None:
    by_backbone = PretrainConfig.resolve({"method": method, "backbone": "vit_small_patch16_224"})
    assert by_backbone == PretrainConfig.resolve({"method": method}, preset_name="vit")
    larger = {"method": method, "backbone": "vit_base_patch16_224"}
    for name in ("paper", "vit"):
        assert PretrainConfig.resolve(larger, preset_name=name) == replace(
            by_backbone, backbone=larger["backbone"]
        )
    # The example of LeJEPA's authors gives all parameters the same weight decay.
    assert (by_backbone.optimizer, by_backbone.decay_biases) == ("adamw", method == "lejepa")
    own = {
        "dino": (5e-4, 0.04, 10),
        "dinov2": (2e-3, 0.04, 10),
        "lejepa": (5e-4, 0.05, 1),
        "mae": (1.5e-4, 0.05, 40),
    }
    expected = own.get(method, (1.5e-4, 0.1, 40))
    assert (by_backbone.learning_rate, by_backbone.weight_decay, by_backbone.warmup_epochs) == expected
    # What is asked for goes first, and a network without attention keeps the paper's.
    assert PretrainConfig.resolve({"backbone": "deit_tiny_patch16_224", "optimizer": "sgd"}).optimizer == "sgd"
    assert PretrainConfig.resolve({"method": "swav", "backbone": "convnext_atto"}).optimizer == "lars"


def test_transformers_are_told_by_their_names() -> None:
    timm = pytest.importorskip("timm", reason="the extra timm is not installed")
    found = {name for name in timm.list_models() if is_transformer(name)}
    known = set(timm.list_models(["vit_*", "deit*", "swin*", "beit*", "eva*", "cait*", "xcit*"]))
    assert known <= found
    for family in ("resnet", "convnext", "efficientnet", "regnet", "densenet", "mobilenet", "vgg"):
        assert not {name for name in found if name.startswith(family)}
