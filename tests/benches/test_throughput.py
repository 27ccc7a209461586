"""The pieces of the throughput benchmark at a size of seconds: a benchmark that nobody runs must not rot."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from benches.series import picture
from benches.throughput import Scale, check_views, measure
from benches.training_inputs import AsTheyAre, ResidentBatches, TrainingInput

from ctprune.pretraining.config import PretrainConfig

CROPS = [{"count": 2, "size": 32, "scale": [0.5, 1.0]}, {"count": 1, "size": 16, "scale": [0.2, 0.5]}]


@pytest.fixture(scope="module")
def scale() -> Scale:
    views = {"crops": CROPS, "blur_sigma": [0.1, 1.0]}
    config = PretrainConfig.resolve({"batch_size": 4, "side": 40, "views": views}, preset_name="smoke")
    return Scale(config=config, device=torch.device("cpu"), workers=0, steps=2, loader_steps=1, rounds=1)


def test_it_measures_each_input_alone_and_with_the_model(files: list[Path], tmp_path: Path, scale: Scale) -> None:
    alone, together = measure(files, tmp_path, scale)
    inputs = ["ctprune", "usual way", "usual way, small PNG", "pydicom in every epoch"]
    assert [row[0] for row in alone.rows] == inputs
    assert [row[0] for row in together.rows] == ["ctprune", "model alone", *inputs[1:]]
    assert [line["items"] for line in together.raw] == [8, 8, 4, 4, 4]
    assert all(line["seconds"][0] > 0 for line in alone.raw + together.raw)
    speed = together.raw[1]["ratios"][0]
    assert together.notes[0].startswith(f"With ctprune's input the model reaches {100 * speed:.1f} %")


@pytest.mark.parametrize(
    ("views", "complaint"),
    [
        ([torch.randn(4, 1, size, size) for size in (32, 32, 32)], "other shapes"),
        ([torch.randn(4, 1, size, size) for size in (32, 16)], "other shapes"),
        ([torch.ones(4, 1, size, size) for size in (32, 32, 16)], "constant"),
        ([torch.randn(4, 1, size, size).log() for size in (32, 32, 16)], "not finite"),
    ],
)
def test_wrong_views_are_not_timed(views: list[torch.Tensor], complaint: str, scale: Scale) -> None:
    one = TrainingInput(name="wrong", batches=ResidentBatches(views, 1), views=AsTheyAre())
    with pytest.raises(AssertionError, match=complaint):
        check_views(one, scale)


def test_a_store_of_other_pixels_is_not_timed(
    files: list[Path], tmp_path: Path, scale: Scale, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benches.throughput.picture", lambda file: picture(file).point(lambda value: value ^ 1))
    with pytest.raises(AssertionError, match="pixels differ"):
        measure(files, tmp_path, scale)
