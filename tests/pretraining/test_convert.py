"""Backbones as ONNX and as timm has them: the same features, their origin, and one sentence where it fails."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
from safetensors import SafetensorError

import ctprune
from ctprune.converting import convert
from ctprune.converting.onnx_file import origin_of
from ctprune.errors import ConfigError, OutputError
from ctprune.networks.backbone import backbone_metadata, create_backbone, load_backbone, save_backbone
from ctprune.networks.gray_backbone import GrayBackbone, Normalization
from tests.conftest import Cli
from tests.pretraining.tiny import tiny
from tests.printed import result_of


@pytest.fixture(scope="module")
def pretrained(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pretrained") / "pre"
    ctprune.pretrain(run, tiny("simclr", backbone="resnet18", steps=2), out=out)
    return out


def features(weights: Path, images: np.ndarray) -> np.ndarray:
    network = GrayBackbone(load_backbone(weights), Normalization.of_weights(backbone_metadata(weights))).eval()
    with torch.inference_mode():
        return network(torch.from_numpy(images)).numpy()


def test_onnx_takes_gray_images_of_any_number_and_size(pretrained: Path, tmp_path: Path) -> None:
    file = tmp_path / "backbone.onnx"
    found = ctprune.convert_backbone(pretrained, file, to="onnx")
    assert found.largest_difference < 1e-5
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    for shape in [(1, 32, 32), (3, 48, 40)]:
        images = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
        [made] = session.run(["features"], {"gray": images})
        np.testing.assert_allclose(made, features(pretrained, images), rtol=1e-3, atol=1e-4)
    # Nothing of this machine: torch would name its own files and ours.
    whole = file.read_bytes()
    assert b"File " not in whole
    assert str(Path(ctprune.__file__).parent).encode() not in whole
    [said] = [prop.value for prop in onnx.load(file).metadata_props if prop.key == "ctprune"]
    metadata = backbone_metadata(pretrained)
    assert {name: metadata[name] for name in json.loads(said)} == json.loads(said)
    assert {"manifest_digest", "reduction", "reduced"} <= json.loads(said).keys()


def test_timm_reads_the_folder_with_its_normalization_and_card(pretrained: Path, tmp_path: Path) -> None:
    ctprune.convert_backbone(pretrained, tmp_path / "timm", to="timm", side=32)
    model = timm.create_model(f"local-dir:{tmp_path / 'timm'}", pretrained=True).eval()
    images = np.random.default_rng(1).integers(0, 256, (2, 32, 32), np.uint8)
    config = model.pretrained_cfg
    assert config["input_size"] == (3, 32, 32)
    gray = torch.from_numpy(images)[:, None].expand(-1, 3, -1, -1).float() / 255
    mean, std = (torch.tensor(config[name]).reshape(3, 1, 1) for name in ("mean", "std"))
    with torch.inference_mode():
        made = model((gray - mean) / std).numpy()
    np.testing.assert_allclose(made, features(pretrained, images), rtol=1e-3, atol=1e-4)
    front, card = (tmp_path / "timm" / "README.md").read_text().split("---\n")[1:]
    assert "library_name: timm" in front
    assert "license" not in front
    assert "local-dir:" in card
    assert "config.yaml" not in card
    assert {file.name for file in (tmp_path / "timm").iterdir()} == {
        *("README.md", "config.json", "curves.png", "model.safetensors")
    }
    assert load_backbone(tmp_path / "timm" / "model.safetensors").num_features == model.num_features


@pytest.fixture(scope="module")
def kept(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pre-training that kept the backbone of its first epoch, too."""
    out = tmp_path_factory.mktemp("kept") / "pre"
    ctprune.pretrain(run, tiny("simclr", epochs=2, backbone_every=1), out=out)
    return out


def card_of(weights: Path, out: Path) -> tuple[str, bool]:
    """The card of the converted backbone, and whether it has curves."""
    ctprune.convert_backbone(weights, out, to="timm", side=32)
    card, curves = (out / "README.md").read_text().split("---\n")[2], (out / "curves.png").is_file()
    assert ("curves.png" in card) == curves
    return card, curves


def reduction_in(card: str, run: Path) -> bool:
    manifest = ctprune.Manifest.load(run)
    counts = manifest.counts()
    slices = f"{counts['kept']:,} of {counts['kept'] + counts['dropped']:,} slices kept"
    how = f"hash, threshold 6, volume scope: {slices}, by ctprune {manifest.ctprune_version}"
    digest = manifest.digest()[:16]
    return f"| reduction | {how} |" in card and f"| manifest | `{digest}…` (SHA-256) |" in card


def test_cards_have_the_reduction_wherever_the_weights_lie(
    kept: Path, pretrained: Path, run: Path, tmp_path: Path
) -> None:
    last, curves = card_of(kept, tmp_path / "last")
    assert curves
    assert reduction_in(last, run)
    assert "| epochs, steps | 2, " in last
    # The training's own card differs in how the backbone is used, and repeated.
    own = (kept / "README.md").read_text()
    assert own.partition("## How it went")[2] == last.partition("## How it went")[2]

    card, curves = card_of(kept / "backbones" / "epoch-0001.safetensors", tmp_path / "first")
    assert curves
    assert reduction_in(card, run)
    assert "| epochs, steps | 1, " in card

    without = [line for line in last.splitlines() if "curves.png" not in line]
    for number, folder in enumerate([tmp_path / "elsewhere", pretrained]):
        # Beside another pre-training, whose curves are not its own.
        folder.mkdir(exist_ok=True)
        copied = folder / "copied.safetensors"
        shutil.copyfile(kept / "backbone.safetensors", copied)
        card, curves = card_of(copied, tmp_path / f"copied-{number}")
        copied.unlink()
        assert not curves
        assert [line for line in card.splitlines() if line] == [line for line in without if line]
    again, _ = card_of(tmp_path / "last", tmp_path / "again")
    assert [line for line in again.splitlines() if line] == [line for line in without if line]


@pytest.mark.parametrize("modes", [["linear"], ["finetune", "linear"]])
def test_a_fine_tuned_backbone_still_says_where_it_comes_from(
    kept: Path, archive: Path, run: Path, tmp_path: Path, modes: list[str]
) -> None:
    weights = kept
    # The second one must neither lose nor nest what the first one carried on.
    for mode in modes:
        epochs = {"epochs": 1, "frozen_epochs": 0} if mode == "finetune" else {}
        options = {"side": 32, "batch_size": 8, "device": "cpu", "seeds": 1, **epochs}
        ctprune.finetune(archive / "labels.csv", out=tmp_path / mode, weights=weights, mode=mode, **options)
        weights = min((tmp_path / mode / "model").rglob("backbone.safetensors"))
    metadata, before = backbone_metadata(weights), backbone_metadata(kept)
    assert metadata["pretraining"] == before
    facts = {name: before[name] for name in ("manifest_digest", "modalities", "reduction", "reduced")}
    assert facts.items() <= origin_of(metadata).items()
    card, curves = card_of(weights, tmp_path / "timm")
    assert not curves
    assert reduction_in(card, run)
    assert ("Then fine-tuned on labeled images" in card) == (len(modes) == 2)


def test_what_travels_names_no_place(kept: Path, run: Path, archive: Path) -> None:
    for file in (kept / "backbone.safetensors", kept / "backbones" / "epoch-0001.safetensors"):
        said = json.dumps(backbone_metadata(file))
        assert all(str(place) not in said for place in (run, archive, kept))


def test_a_transformer_keeps_its_size(tmp_path: Path) -> None:
    save_backbone(
        create_backbone("vit_tiny_patch16_224"),
        tmp_path / "vit.safetensors",
        name="vit_tiny_patch16_224",
        metadata={},
    )
    for to in ("onnx", "timm"):
        found = ctprune.convert_backbone(tmp_path / "vit.safetensors", tmp_path / to, to=to)
        assert (found.side, found.largest_difference < 1e-4) == (224, True)
    with pytest.raises(ConfigError, match="does not take images of 100"):
        ctprune.convert_backbone(tmp_path / "vit.safetensors", tmp_path / "other", side=100)


def test_other_features_are_not_written(pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert, "_TOLERANCE", -1.0)
    with pytest.raises(OutputError, match=r"differ from the backbone's by .* nothing was written"):
        ctprune.convert_backbone(pretrained, tmp_path / "timm", to="timm", side=32)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_sentence(pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("ctprune.converting.timm_folder.save_for_hf", full)
    with pytest.raises(OutputError, match=r"timm: cannot be written: is the disk full\? .*No space left"):
        ctprune.convert_backbone(pretrained, tmp_path / "timm", to="timm", side=32)
    assert list(tmp_path.iterdir()) == []


def test_command_and_mistakes(pretrained: Path, tmp_path: Path, cli: Cli) -> None:
    done = cli("convert", pretrained, "--to", "timm", "--side", 32, "--out", "made", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert result_of("convert", done.stdout)["num_features"] == 512
    for arguments, code, sentence in [
        ((pretrained, "--to", "timm", "--out", "made"), 1, "made is not empty"),
        ((pretrained, "--out", "made/README.md"), 1, "README.md already exists"),
        ((tmp_path / "none.pth", "--out", "new"), 1, "none.pth"),
        ((pretrained, "--to", "tensorrt", "--out", "new"), 2, "onnx"),
        ((pretrained, "--backbone", "resnet50", "--out", "new"), 1, "resnet50"),
    ]:
        failed = cli("convert", *arguments, cwd=tmp_path)
        assert failed.returncode == code, failed.stderr
        assert sentence in failed.stderr
        assert "Traceback" not in failed.stderr
    assert not (tmp_path / "new").exists()
