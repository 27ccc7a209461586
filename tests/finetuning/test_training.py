"""Fine-tuning against plain loops and scikit-learn, its modes, and going on after a kill."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.numpy import load_file
from sklearn import metrics as sk

import ctprune
from ctprune.finetuning import checkpoint, training
from ctprune.finetuning.config import FinetuneConfig
from ctprune.finetuning.heads import NeighborHead, load_head, save_head
from ctprune.finetuning.images import read_images
from ctprune.finetuning.network import choose_normalization, find_weights
from ctprune.finetuning.probes import linear_probe
from ctprune.finetuning.recipe import joined_batches
from ctprune.finetuning.result import FinetuneResult
from ctprune.finetuning.training import SeedTraining, TrainingSet
from ctprune.finetuning.votes import TEMPERATURE
from ctprune.networks.gray_backbone import GrayBackbone, Normalization
from ctprune.tasks import list_task
from tests.finetuning.small import SMALL
from tests.finetuning.test_inputs import order


def test_a_folder_per_class_in_three_modes_and_prediction(folders: Path, weights: Path, tmp_path: Path) -> None:
    for mode in ("finetune", "linear", "knn"):
        options = {"epochs": 2, "frozen_epochs": 1} if mode == "finetune" else {}
        result = ctprune.finetune(
            folders, out=tmp_path / mode, mode=mode, weights=weights, seeds=2, val_fraction=0.3, **SMALL, **options
        )
        check_result(tmp_path / mode, result)
        check_prediction(tmp_path / mode, folders)


def check_result(out: Path, result: FinetuneResult) -> None:
    about = json.loads((out / "metrics.json").read_text())
    assert about == result.to_dict()
    assert FinetuneResult.load(out).to_dict() == about
    table = pq.read_table(out / "predictions.parquet")
    assert json.loads(table.schema.metadata[b"ctprune"])["classes"] == ["healthy", "ill"]
    rows = [row for row in table.to_pylist() if row["split"] == about["evaluated_split"]]
    assert {row["seed"] for row in rows} == {0, 1}
    for seed in about["per_seed"]:
        mine = [row for row in rows if row["seed"] == seed["seed"]]
        truth = [row["label"] == "ill" for row in mine]
        score = [row["probabilities"][1] for row in mine]
        assert seed["metrics"]["auc"] == pytest.approx(sk.roc_auc_score(truth, score))
        assert seed["metrics"]["accuracy"] == pytest.approx(sk.accuracy_score(truth, np.array(score) > 0.5))
    means = [seed["metrics"]["auc"] for seed in about["per_seed"]]
    assert about["pooled"]["auc"]["mean"] == pytest.approx(np.mean(means))
    assert "Classifier of healthy, ill" in (out / "README.md").read_text()
    assert sorted(path.name for path in (out / "plots").iterdir())[0] == "calibration.png"
    assert not (out / "progress").exists()


def check_prediction(out: Path, folders: Path) -> None:
    """`predict` gives the mean of what stands in the table."""
    rows = [row for row in pq.read_table(out / "predictions.parquet").to_pylist() if row["split"] == "val"]
    names = sorted({row["image"] for row in rows})
    found = ctprune.predict(out, [folders / name for name in names], out=out.parent / "p.csv", device="cpu")
    assert found.classes == ("healthy", "ill")
    for path, probabilities in zip(found.images, found.probabilities, strict=True):
        mine = [row["probabilities"] for row in rows if path.endswith(row["image"])]
        np.testing.assert_allclose(np.mean(mine, axis=0), probabilities, atol=1e-6)
    assert len((out.parent / "p.csv").read_text().splitlines()) == len(names) + 1


def folder_bytes(out: Path) -> dict[str, bytes]:
    """All files but those that hold times; of weights the tensors: safetensors orders metadata by chance."""
    return {
        str(file.relative_to(out)): weights_bytes(file) if file.suffix == ".safetensors" else file.read_bytes()
        for file in sorted(out.rglob("*"))
        if file.is_file() and file.name not in ("metrics.json", "history.csv", "README.md")
    }


def weights_bytes(file: Path) -> bytes:
    tensors = load_file(file)
    return b"".join(name.encode() + tensors[name].tobytes() for name in sorted(tensors))


def test_a_killed_training_goes_on_to_the_same_bytes(
    folders: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = SMALL | {"weights": weights, "epochs": 3, "frozen_epochs": 1, "seeds": 2, "class_weights": True}
    options |= {"augment": "light", "schedule": "cosine", "warmup_epochs": 1}
    whole = ctprune.finetune(folders, out=tmp_path / "whole", **options)
    card = (tmp_path / "whole" / "README.md").read_text()
    assert "In training, all classes weighed the same in total" in card
    assert "learning rate 0.0001 (1 epoch of warm-up, then falling to 0 as a cosine), weight decay" in card
    assert "32 × 32 pixels, horizontal flips, augmentation `light`." in card
    assert [seed["images_used"] for seed in whole.per_seed] == [28, 28]

    class Kill(BaseException):
        """What no handler sees, as a kill."""

    def stop_at(seed: int, epoch: int, how: type[BaseException]) -> Callable[[ctprune.Progress], None]:
        def stop(now: ctprune.Progress) -> None:
            if (now.stage, now.part, now.done) == ("training", f"seed {seed + 1}/2", epoch):
                raise how

        return stop

    monkeypatch.setattr(checkpoint, "CHECKPOINT_SECONDS", 0.0)
    out = tmp_path / "parts"
    with pytest.raises(Kill):
        ctprune.finetune(folders, out=out, progress=stop_at(0, 3, Kill), **options)
    assert (out / "progress" / "seed-0.ckpt").exists()
    monkeypatch.setattr(checkpoint, "CHECKPOINT_SECONDS", 1e9)
    seen: list[tuple[str, int]] = []
    with pytest.raises(ctprune.Interrupted, match="rerun to resume"):
        ctprune.finetune(folders, out=out, progress=stop_at(1, 2, KeyboardInterrupt), **options)
    assert not (out / "metrics.json").exists()
    done = ctprune.finetune(
        folders,
        out=out,
        progress=lambda now: seen.append((now.part, now.done)) if now.stage == "training" else None,
        **options,
    )
    # Of the second seed the first epoch was saved by Ctrl-C, and the first seed was done.
    assert [pair for pair in seen if pair[0] == "seed 2/2" and pair[1]] == [("seed 2/2", 2), ("seed 2/2", 3)]
    assert not [pair for pair in seen if pair[0] == "seed 1/2" and pair[1] in (1, 2, 3)]
    assert folder_bytes(out) == folder_bytes(tmp_path / "whole")
    assert done.pooled == whole.pooled
    # Finished: read, not trained.
    again = ctprune.finetune(folders, out=out, progress=stop_at(0, 0, Kill), **options)
    assert again.to_dict() == done.to_dict()
    with pytest.raises(ctprune.OutputError, match="other data, weights or options"):
        ctprune.finetune(folders, out=out, **(options | {"epochs": 4}))
    (out / "inputs.json").write_text("]")
    with pytest.raises(ctprune.OutputError, match="other data, weights or options"):
        ctprune.finetune(folders, out=out, **options)


def test_training_equals_a_plain_loop(folders: Path, weights: Path, tmp_path: Path) -> None:
    """One frozen epoch, one of all weights, without flips; order of images as the seed says."""
    images = read_images(list_task(folders), side=32)
    rows = np.arange(20)
    data = TrainingSet(images.pixels, images.labels, rows, np.arange(20, 40), 2)
    config = FinetuneConfig(epochs=2, frozen_epochs=1, batch_size=8, flip=False, side=32)
    cpu = torch.device("cpu")
    network = GrayBackbone(ctprune.load_backbone(weights), Normalization((0.3,), (0.2,)))
    run = SeedTraining(network, data, config, 5, cpu, "32", tmp_path / "no.ckpt", lambda epoch: None)
    head = run.run()

    backbone = ctprune.load_backbone(weights)
    torch.manual_seed(5)
    linear = torch.nn.Linear(512, 2)
    optimizer = torch.optim.Adam([*backbone.parameters(), *linear.parameters()], lr=1e-4, weight_decay=5e-4)
    pictures = (torch.from_numpy(images.pixels).float() / 255 - 0.3)[:, None].expand(-1, 3, -1, -1) / 0.2
    labels = torch.from_numpy(images.labels)
    states = []
    for epoch in (1, 2):
        backbone.train(epoch == 2)
        before = {name: value.clone() for name, value in backbone.state_dict().items()}
        generator = torch.Generator().manual_seed(training.mixed(5, epoch))
        order = torch.randperm(20, generator=generator)
        losses = []
        for batch in order.split(8):
            features = backbone(pictures[batch])
            logits = linear(features.detach() if epoch == 1 else features)
            loss = torch.nn.functional.cross_entropy(logits, labels[batch])
            optimizer.zero_grad()
            loss.backward()
            if epoch == 1:
                for parameter in backbone.parameters():
                    parameter.grad = None
            optimizer.step()
            losses.append(loss.item() * len(batch))
        if epoch == 1:
            assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
        # Adam moves a weight with a gradient of nearly zero by as much as others: its rounding decides where to.
        rounding = 1e-4 if epoch == 1 else 3e-3
        assert run.history[epoch - 1].train_loss == pytest.approx(sum(losses) / 20, rel=rounding)
        backbone.eval()
        with torch.no_grad():
            accuracy = (linear(backbone(pictures[20:])).argmax(1) == labels[20:]).float().mean().item()
        assert run.history[epoch - 1].select_accuracy == pytest.approx(accuracy)
        states.append(linear.weight.detach().clone().numpy())
    np.testing.assert_allclose(head.weight, states[run.best_epoch - 1], atol=2e-5)


def test_flips_depend_on_seed_and_epoch_alone_and_batches_hold_two(folders: Path) -> None:
    assert joined_batches(17, 8) == [(0, 8), (8, 17)]
    assert joined_batches(16, 8) == [(0, 8), (8, 16)]
    assert joined_batches(1, 8) == [(0, 1)]
    assert training.mixed(1, 2) != training.mixed(2, 1)


def test_linear_probe_equals_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    random = np.random.default_rng(0)
    for classes in (2, 3):
        labels = np.arange(90) % classes
        features = (random.normal(size=(90, 12)) + labels[:, None] * random.normal(size=12)).astype(np.float32)
        features[:, 3] = 1
        train, select = (features[:60], labels[:60]), (features[60:], labels[60:])
        for weighted in (False, True):
            probe = linear_probe(train, select, classes=classes, class_weights=weighted)
            scaler = StandardScaler().fit(train[0])
            weight = "balanced" if weighted else None
            model = LogisticRegression(C=probe.strength, max_iter=1000, class_weight=weight)
            model.fit(scaler.transform(train[0]), train[1])
            expected = model.predict_proba(scaler.transform(select[0]))
            np.testing.assert_allclose(probe.head.probabilities(select[0]), expected, atol=1e-4)
            assert probe.accuracy == pytest.approx((expected.argmax(1) == select[1]).mean())


def test_neighbors_vote_as_a_plain_loop_says(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(30, 6)).astype(np.float32)
    labels = np.arange(30) % 3
    head = NeighborHead(features, labels, 7, 4)
    query = random.normal(size=(5, 6)).astype(np.float32)
    found = head.probabilities(query)
    for row, one in zip(found, query.astype(float), strict=True):
        cosines = features @ one / np.linalg.norm(features, axis=1) / np.linalg.norm(one)
        votes = np.zeros(4)
        for index in np.argsort(-cosines)[:7]:
            votes[labels[index]] += np.exp(cosines[index] / TEMPERATURE)
        np.testing.assert_allclose(row, votes / votes.sum(), atol=1e-5)
    save_head(head, tmp_path / "head.safetensors")
    np.testing.assert_array_equal(load_head(tmp_path / "head.safetensors").probabilities(query), found)


def test_normalization_is_the_backbones_imagenets_or_measured(weights: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 16, 16), dtype=np.uint8)
    known = find_weights(FinetuneConfig(weights=str(weights)))
    assert choose_normalization("auto", known, pixels) == Normalization((0.3,), (0.2,))
    assert len(choose_normalization("imagenet", known, pixels).mean) == 3
    assert choose_normalization("0.56,0.29", known, pixels) == Normalization((0.56,), (0.29,))
    measured = choose_normalization("auto", None, pixels)
    assert (measured.mean[0], measured.std[0]) == pytest.approx(((pixels / 255).mean(), (pixels / 255).std()))


def test_mixed_precision_trains_to_nearly_the_same(folders: Path, weights: Path, tmp_path: Path) -> None:
    found = {}
    for precision in ("32", "bf16"):
        ctprune.finetune(
            folders,
            out=tmp_path / precision,
            weights=weights,
            seeds=1,
            epochs=1,
            frozen_epochs=0,
            precision=precision,
            **SMALL,
        )
        table = pq.read_table(tmp_path / precision / "predictions.parquet")
        found[precision] = np.array(table["probabilities"].to_pylist())
    assert found["bf16"] == pytest.approx(found["32"], abs=0.05)
    # Else it would have run in 32 bits.
    assert (found["bf16"] != found["32"]).any()


def test_fraction_of_labels_by_patient(folders: Path, weights: Path, tmp_path: Path) -> None:
    result = ctprune.finetune(
        folders,
        out=tmp_path / "ft",
        mode="knn",
        neighbors=1,
        weights=weights,
        fraction=0.5,
        seeds=(3, 4),
        patient_pattern=r"^(p\d+)_",
        **SMALL,
    )
    train = result.splits["train"]
    for seed in result.per_seed:
        assert abs(seed["images_used"] - sum(train.values()) / 2) <= 2
    table = pq.read_table(tmp_path / "ft" / "predictions.parquet").to_pylist()
    assert result.interval_unit == "patient"
    # Numbers stand for patients, the same whatever the options.
    assert {row["patient"] for row in table} <= {f"patient-{number:04d}" for number in range(1, 21)}
    assert all(row["patient"] == f"patient-{order(folders, row['image']):04d}" for row in table)
