"""The preset `reference`, against Lightning's own callbacks, step by step; and how pictures become squares."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import ctprune
from ctprune.finetuning import training
from ctprune.finetuning.config import FinetuneConfig
from ctprune.finetuning.fitting import fit_gray
from ctprune.finetuning.images import read_images
from ctprune.finetuning.recipe import ReferenceRecipe, recipe_of
from ctprune.finetuning.training import SeedTraining, TrainingSet
from ctprune.networks.gray_backbone import GrayBackbone, Normalization
from ctprune.tasks import list_task

CPU = torch.device("cpu")
MEAN, STD = 0.56, 0.29
State = dict[str, np.ndarray]


class Tiny(torch.nn.Module):
    """Two convolutions with BatchNorm. Biases before it would have gradients of rounding errors alone."""

    num_features = 6

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(3, 4, 3, bias=False),
            torch.nn.BatchNorm2d(4),
            torch.nn.ReLU(),
            torch.nn.Conv2d(4, 6, 3, bias=False),
            torch.nn.BatchNorm2d(6),
            torch.nn.ReLU(),
            torch.nn.AdaptiveAvgPool2d(1),
            torch.nn.Flatten(),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images)


def state_of(backbone: torch.nn.Module, head: torch.nn.Module) -> State:
    found = {f"backbone.{name}": value for name, value in backbone.state_dict().items()}
    found |= {f"head.{name}": value for name, value in head.state_dict().items()}
    return {name: value.detach().numpy().copy() for name, value in found.items()}


class Recorded(SeedTraining):
    """A training that remembers its weights after each step."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.steps: list[State] = []

    def _step(self, images: torch.Tensor, rows: np.ndarray, epoch: int, share: float) -> torch.Tensor:
        loss = super()._step(images, rows, epoch, share)
        self.steps.append(state_of(self.network.backbone, self.head))
        return loss


def data() -> TrainingSet:
    """33 images to train, so that the last batch of 8 is a single one, and 13 to choose the epoch."""
    random = np.random.default_rng(0)
    labels = np.arange(46) % 2
    pixels = random.integers(0, 200, (46, 12, 12)) + 25 * labels[:, None, None]
    return TrainingSet(pixels.astype(np.uint8), labels, np.arange(33), np.arange(33, 46), 2)


def lightning_run(
    given: TrainingSet, backbone: torch.nn.Module, head: torch.nn.Module, config: FinetuneConfig, folder: Path
) -> tuple[list[State], list[float], State, int]:
    """The notebook's module, callbacks and loaders; weights and rate after each step, best weights and epoch."""
    import pytorch_lightning as lightning
    from pytorch_lightning.callbacks import BackboneFinetuning, ModelCheckpoint

    steps: list[State] = []
    rates: list[float] = []

    def image(row: int, flipped: bool) -> torch.Tensor:
        picture = torch.from_numpy(given.pixels[row])
        # Rows and columns are swapped at reading, and the first axis is flipped then.
        picture = picture.T.flip(0) if flipped else picture.T
        return ((picture.float() / 255 - MEAN) / STD).expand(3, -1, -1)

    class Net(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = backbone
            self.classifier = head

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.classifier(self.backbone(images))

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), config.learning_rate, weight_decay=config.weight_decay)

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            images, labels = batch
            return torch.nn.functional.cross_entropy(self(images), labels)

        def on_train_batch_end(self, *_: Any) -> None:
            steps.append(state_of(self.backbone, self.classifier))
            rates.append(self.optimizers().param_groups[0]["lr"])

        def on_validation_epoch_start(self) -> None:
            self.right: list[bool] = []

        def validation_step(self, batch: Any, index: int) -> None:
            images, labels = batch
            self.right.append(bool(self(images).argmax(1) == labels))

        def on_validation_epoch_end(self) -> None:
            self.log("val/accuracy", torch.tensor(np.mean(self.right)))

    net = Net()

    class Batches:
        """The order and the flips of ctprune's own training, so that only the recipe is compared."""

        def __iter__(self) -> Iterator[list[tuple[int, bool]]]:
            generator = torch.Generator().manual_seed(training.mixed(5, net.current_epoch + 1))
            order = given.train[torch.randperm(len(given.train), generator=generator).numpy()]
            flips = torch.rand(len(order), generator=generator) < 0.5
            items = list(zip(order.tolist(), flips.tolist(), strict=True))
            size = config.batch_size
            yield from (items[start : start + size] for start in range(0, len(items), size))

        def __len__(self) -> int:
            return -(-len(given.train) // config.batch_size)

    class Images(torch.utils.data.Dataset):
        def __getitem__(self, item: tuple[int, bool]) -> tuple[torch.Tensor, int]:
            return image(*item), int(given.labels[item[0]])

    class Select(torch.utils.data.Dataset):
        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            return image(given.select[index], False), int(given.labels[given.select[index]])

        def __len__(self) -> int:
            return len(given.select)

    best = ModelCheckpoint(
        dirpath=folder, monitor="val/accuracy", mode="max", filename="{epoch}", save_last=True, save_top_k=2
    )
    frozen = [BackboneFinetuning(unfreeze_backbone_at_epoch=config.frozen_epochs)] if config.frozen_epochs else []
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=config.epochs,
        callbacks=[best, *frozen],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=1,
    )
    trainer.fit(
        net,
        torch.utils.data.DataLoader(Images(), batch_sampler=Batches()),  # type: ignore[arg-type]
        torch.utils.data.DataLoader(Select(), batch_size=1),
    )
    saved = torch.load(best.best_model_path, weights_only=True)
    weights = {name.replace("classifier.", "head."): value.numpy() for name, value in saved["state_dict"].items()}
    return steps, rates, weights, int(saved["epoch"]) + 1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("frozen_epochs", [3, 0])
def test_reference_equals_lightnings_callbacks_step_by_step(tmp_path: Path, frozen_epochs: int) -> None:
    torch.manual_seed(0)
    given, tiny = data(), Tiny()
    config = FinetuneConfig(
        preset="reference", epochs=7, frozen_epochs=frozen_epochs, batch_size=8, learning_rate=0.01, side=64
    )
    network = GrayBackbone(tiny, Normalization((MEAN,), (STD,)), transposed=config.transposed)
    run = Recorded(network, given, config, 5, CPU, "32", tmp_path / "no.ckpt", lambda epoch: None)
    backbone, head = copy.deepcopy(network.backbone), copy.deepcopy(run.head)
    start = state_of(backbone, head)
    found = run.run()
    steps, rates, best, best_epoch = lightning_run(given, backbone, head, config, tmp_path / "lightning")

    assert len(steps) == len(run.steps) == 7 * 5
    for number, (mine, theirs) in enumerate(zip(run.steps, steps, strict=True)):
        assert mine.keys() == theirs.keys()
        for name in mine:
            np.testing.assert_allclose(
                mine[name], theirs[name], rtol=1e-4, atol=1e-5, err_msg=f"{name}, step {number}"
            )
    # What the callback really does: BatchNorm trains while the rest is frozen, and a fifth of the rate remains.
    convolution, norm = "backbone.layers.0.weight", "backbone.layers.1.weight"
    if frozen_epochs:
        assert (steps[14][convolution] == start[convolution]).all()
        assert (steps[15][convolution] != start[convolution]).any()
        assert (steps[0][norm] != start[norm]).any()
        assert rates == pytest.approx([0.01] * 20 + [0.002] * 15)
    else:
        assert rates == [0.01] * 35
    assert run.best_epoch == best_epoch
    chosen = state_of(run.network.backbone, run.head)
    for name, value in best.items():
        np.testing.assert_allclose(chosen[name], value, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found.weight, chosen["head.weight"])


def test_of_equal_epochs_the_reference_takes_the_first_and_the_default_the_smaller_loss() -> None:
    for recipe, takes_it in ((ReferenceRecipe(1, 0.1, 224), False), (recipe_of(FinetuneConfig()), True)):
        assert recipe.is_better(0.8, 0.1, (0.8, 0.2)) == takes_it
        assert recipe.is_better(0.9, 0.3, (0.8, 0.2))
        assert not recipe.is_better(0.7, 0.1, (0.8, 0.2))
    assert ReferenceRecipe(1, 0.1, 224).batches(9, 4) == [(0, 4), (4, 8), (8, 9)]
    assert ReferenceRecipe(1, 0.1, 32).batches(9, 4) == [(0, 4), (4, 9)]


def test_squeeze_is_torchs_interpolation_by_area() -> None:
    random = np.random.default_rng(0)
    for shape, side in (((37, 61), 16), ((300, 201), 224), ((20, 13), 32), ((16, 16), 16)):
        picture = random.integers(0, 256, shape, dtype=np.uint8)
        out = np.empty((side, side), np.uint8)
        fit_gray(picture, out, "squeeze")
        tensor = torch.from_numpy(picture).double()[None, None]
        expected = torch.nn.functional.interpolate(tensor, (side, side), mode="area")[0, 0].numpy()
        assert np.abs(out - expected).max() <= 0.5 + 1e-9


def test_pad_shows_all_of_a_picture_and_crop_its_middle() -> None:
    picture = np.full((10, 30), 90, np.uint8)
    picture[:, 0], picture[:, -1], picture[0, 15] = 200, 250, 7
    out = np.empty((30, 30), np.uint8)
    fit_gray(picture, out, "pad")
    np.testing.assert_array_equal(out[10:20], picture)
    assert (out[:10] == 7).all()
    assert (out[20:] == 7).all()
    half = np.empty((15, 15), np.uint8)
    fit_gray(picture, half, "pad")
    square = np.full((30, 30), 7, np.uint8)
    square[10:20] = picture
    np.testing.assert_array_equal(
        half, np.asarray(Image.fromarray(square).resize((15, 15), Image.Resampling.LANCZOS))
    )
    middle = np.empty((10, 10), np.uint8)
    fit_gray(picture, middle, "crop")
    np.testing.assert_array_equal(middle, picture[:, 10:20])


def pictures(folder: Path) -> Path:
    """12 PNGs of 24 × 40, 8 bits and for each class two of 16 bits, and one row of a table for each."""
    random = np.random.default_rng(0)
    folder.mkdir()
    rows = ["path,label"]
    for number in range(12):
        values = random.integers(40, 250, (24, 40), dtype=np.uint8)
        deep = number >= 8
        Image.fromarray(values.astype(np.uint16) * 9 if deep else values).save(folder / f"{number:02d}.png")
        rows.append(f"{number:02d}.png,{number % 2}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder / "labels.csv"


@pytest.mark.parametrize("fit", ["pad", "squeeze", "crop"])
def test_files_become_squares_as_arrays_do(tmp_path: Path, fit: str) -> None:
    table = pictures(tmp_path / "data")
    images = read_images(list_task(table), side=16, fit=fit)
    for entry, pixels in zip(images.entries, images.pixels, strict=True):
        values = np.asarray(Image.open(tmp_path / "data" / entry.name)).astype(float)
        if entry.name >= "08.png":
            # 16 bits are mapped by their own range.
            values = np.rint((values - values.min()) / np.ptp(values) * 255)
        expected = np.empty((16, 16), np.uint8)
        fit_gray(values.astype(np.uint8), expected, fit)
        np.testing.assert_array_equal(pixels, expected)


def test_slices_of_dicom_that_are_not_square(archive: Path, tmp_path: Path) -> None:
    """What pydicom's and Rust's reader give for the same slice, cut to another shape, in a file of its own."""
    import pydicom

    manifest = ctprune.reduce(archive)
    row = next(
        row
        for row in manifest.rows.to_dicts()
        if row["status"] == "kept" and row["transfer_syntax_uid"] == "1.2.840.10008.1.2.1"
    )
    dataset = pydicom.dcmread(Path(row["source"], row["path"]))
    whole = dataset.pixel_array.copy()
    cut = np.ascontiguousarray(whole[:, 10:50])
    dataset.Columns, dataset.PixelData = 40, cut.tobytes()
    (tmp_path / "data").mkdir()
    dataset.save_as(tmp_path / "data" / "cut.dcm")
    Image.fromarray(np.eye(16, dtype=np.uint8)).save(tmp_path / "data" / "other.png")
    (tmp_path / "data" / "labels.csv").write_text("path,label\ncut.dcm,0\nother.png,1\n")
    for fit in ("pad", "squeeze"):
        images = read_images(list_task(tmp_path / "data" / "labels.csv"), side=32, fit=fit)
        gray = np.rint((cut - cut.min()) / np.ptp(cut).astype(float) * 255).astype(np.uint8)
        expected = np.empty((32, 32), np.uint8)
        fit_gray(gray, expected, fit)
        assert np.abs(images.pixels[0].astype(int) - expected).max() <= 1


def test_a_reference_run_predicts_as_it_was_trained(tmp_path: Path) -> None:
    table = pictures(tmp_path / "data")
    result = ctprune.finetune(
        table,
        out=tmp_path / "ft",
        preset="reference",
        backbone="resnet18",
        side=32,
        epochs=2,
        frozen_epochs=1,
        seeds=1,
        batch_size=4,
        val_fraction=0.3,
        device="cpu",
    )
    assert (result.config["fit"], result.config["normalize"], result.config["precision"]) == (
        "squeeze",
        "train",
        "32",
    )
    about = json.loads((tmp_path / "ft" / "model" / "model.json").read_text())
    assert (about["fit"], about["transposed"]) == ("squeeze", True)
    card = (tmp_path / "ft" / "README.md").read_text()
    assert "squeezed" in card
    assert "reference" in card
    import pyarrow.parquet as pq

    rows = pq.read_table(tmp_path / "ft" / "predictions.parquet").to_pylist()
    names = [row["image"] for row in rows]
    found = ctprune.predict(tmp_path / "ft", [tmp_path / "data" / name for name in names], device="cpu")
    by_name = {Path(name).name: row for name, row in zip(found.images, found.probabilities, strict=True)}
    for row in rows:
        np.testing.assert_allclose(by_name[row["image"]], row["probabilities"], atol=1e-6)


def test_the_default_cuts_nothing_off_and_reference_belongs_to_training() -> None:
    assert FinetuneConfig().fit == "pad"
    assert FinetuneConfig(preset="reference").fit == "squeeze"
    assert FinetuneConfig(preset="reference", fit="crop", precision="bf16").fit == "crop"
    with pytest.raises(ctprune.ConfigError, match="preset reference belongs to `mode` finetune, not to linear"):
        FinetuneConfig(preset="reference", mode="linear")
    with pytest.raises(ctprune.ConfigError, match="fit stretch: expected one of pad, squeeze, crop"):
        FinetuneConfig(fit="stretch")
    with pytest.raises(ctprune.ConfigError, match="preset paper: expected one of default, reference"):
        FinetuneConfig(preset="paper")
