"""Fine-tuning in two processes: each on its part of every batch, and together what one does alone."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import ctprune
from ctprune.finetuning.config import FinetuneConfig
from ctprune.finetuning.peers import Peers
from ctprune.finetuning.recipe import recipe_of
from ctprune.finetuning.target_training import TargetTraining
from ctprune.finetuning.training import SeedTraining
from ctprune.networks.gray_backbone import GrayBackbone, Normalization
from ctprune.options.option import all_options
from ctprune.options.shared import TARGETS
from tests.finetuning.small import SMALL
from tests.test_recipe import CPU, Tiny, data

TOGETHER: dict[str, Any] = SMALL | {
    "backbone": "test_vit",
    "epochs": 2,
    "frozen_epochs": 1,
    "schedule": "cosine",
    "augment": "light",
    "class_weights": True,
    "seeds": 1,
}


class Part(Peers):
    """One process of two, alone: it remembers its gradients in place of sending them."""

    def __init__(self, rank: int, count: int = 2) -> None:
        super().__init__()
        self.rank, self.count = rank, count
        self.steps: list[torch.Tensor] = []

    def add_up_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        self.steps.append(torch.cat([one.grad.flatten() for one in parameters if one.grad is not None]))


@pytest.mark.parametrize("target", TARGETS)
def test_gradients_of_the_parts_add_up_to_those_of_the_batch(target: str, tmp_path: Path) -> None:
    def first_step(peers: Part) -> tuple[torch.Tensor, float]:
        torch.manual_seed(3)
        backbone = Tiny()
        # What an image gives must not depend on the others of its part.
        for index in (1, 4):
            backbone.layers[index] = torch.nn.Identity()
        config = FinetuneConfig(
            target=target, epochs=1, frozen_epochs=0, batch_size=40, side=12, class_weights=target != "regression"
        )
        given = data()
        # Classes of unequal size, so that weights by class weigh.
        given.labels[:] = np.arange(46) % 3 == 0
        network = GrayBackbone(backbone, Normalization((0.56,), (0.29,)))
        inputs = (network, given, config, 5, CPU, "32", tmp_path / "no", lambda _: None, peers)
        if target == "classes":
            run: SeedTraining = SeedTraining(*inputs)
        else:
            columns = 2 if target == "multi-label" else 1
            targets = (np.arange(46 * columns).reshape(46, columns) % 3).astype(float)
            if target == "multi-label":
                targets = np.minimum(targets, 1)
            run = TargetTraining(*inputs, targets=targets, outputs=3 if target == "ordinal" else columns)
        run.run()
        return peers.steps[0], run.history[0].train_loss

    whole, loss = first_step(Part(0, 1))
    parts = [first_step(Part(rank)) for rank in (0, 1)]
    torch.testing.assert_close(parts[0][0] + parts[1][0], whole, rtol=1e-4, atol=1e-6)
    assert parts[0][1] + parts[1][1] == pytest.approx(loss, rel=1e-5)
    assert not torch.allclose(parts[0][0], whole / 2, rtol=1e-2)


def test_parts_are_even_and_hold_two_images() -> None:
    for start, stop in ((0, 64), (64, 71), (3, 5)):
        ranges = [Part(rank, 3).part(start, stop) for rank in range(3)]
        assert [row for one in ranges for row in range(*one)] == list(range(start, stop))
        lengths = [stop - start for start, stop in ranges]
        assert max(lengths) - min(lengths) <= 1
    recipe = recipe_of(FinetuneConfig())
    assert recipe.batches(21, 8, 3) == [(0, 8), (8, 21)]
    assert recipe.batches(22, 8, 3) == [(0, 8), (8, 16), (16, 22)]


def test_batchnorm_spans_devices_on_gpus_alone() -> None:
    for device, kind in (("cuda", torch.nn.SyncBatchNorm), ("cpu", torch.nn.BatchNorm2d)):
        fabric: Any = SimpleNamespace(world_size=2, global_rank=1, device=torch.device(device))
        network = Peers(fabric).with_batchnorm(GrayBackbone(Tiny(), Normalization((0.5,), (0.2,))))
        found = [type(one) for one in network.modules() if isinstance(one, torch.nn.modules.batchnorm._BatchNorm)]
        assert found == [kind] * 2


def test_other_processes_are_told_the_same_options() -> None:
    several: list[dict[str, Any]] = [
        {"devices": 2, "unit": "volume", "pool": "top-k", "seeds": 3, "augment": "light"},
        {"devices": 2, "target": "ordinal", "levels": ("a", "b", "c"), "subgroup_columns": ["sex"], "seeds": [4]},
        {"nodes": 2, "positive": "ill", "schedule": "cosine", "normalize": "0.5,0.2"},
    ]
    for options in several:
        config = FinetuneConfig(**options)
        told = json.loads(json.dumps(all_options(config)))
        assert FinetuneConfig(**told) == config


@pytest.mark.slow
def test_two_processes_do_what_one_does(folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First in processes that ctprune starts, until Ctrl-C; then in those that another program has started."""
    pytest.importorskip("timm", reason="the extra timm is not installed")
    alone = ctprune.finetune(folders, out=tmp_path / "alone", **TOGETHER)
    seen = []

    def counted(peers: Peers, parameters: Iterable[torch.nn.Parameter]) -> None:
        seen.append(peers.count)
        sent(peers, parameters)

    def stop(now: ctprune.Progress) -> None:
        if (now.stage, now.done) == ("training", 2):
            raise KeyboardInterrupt

    sent = Peers.add_up_gradients
    monkeypatch.setattr(Peers, "add_up_gradients", counted)
    out = tmp_path / "two"
    with pytest.raises(ctprune.Interrupted, match="rerun to resume"):
        ctprune.finetune(folders, out=out, progress=stop, devices=2, **TOGETHER)
    assert (out / "progress" / "seed-0.ckpt").exists()
    assert not torch.distributed.is_initialized()

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    flags = []
    for name, value in TOGETHER.items():
        flags += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    command = [sys.executable, "-m", "ctprune", "finetune", str(folders), "--out", str(out), "--devices", "2"]
    other = subprocess.Popen(
        command + flags,
        env=os.environ | shared | {"RANK": "1", "LOCAL_RANK": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with monkeypatch.context() as patch:
        for name, value in (shared | {"RANK": "0", "LOCAL_RANK": "0"}).items():
            patch.setenv(name, value)
        both = ctprune.finetune(folders, out=out, devices=2, **TOGETHER)
    assert (other.communicate()[0], other.returncode) == ("", 0)

    # Two epochs and the last one again, as Ctrl-C came in the middle of it.
    steps = len(recipe_of(FinetuneConfig(batch_size=8)).batches(sum(alone.splits["train"].values()), 8, 2))
    assert seen == [2] * (3 * steps)
    found, expected = (
        np.array(pq.read_table(folder / "predictions.parquet")["probabilities"].to_pylist())
        for folder in (out, tmp_path / "alone")
    )
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert both.pooled["accuracy"] == alone.pooled["accuracy"]
    assert sorted(os.listdir(out)) == sorted(os.listdir(tmp_path / "alone"))
    again = ctprune.finetune(folders, out=out, devices=2, **TOGETHER)
    assert again.to_dict() == both.to_dict()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"mode": "linear", "devices": 2}, "devices 2: expected 1, as only `mode` finetune"),
        ({"mode": "knn", "nodes": 2}, "nodes 2: expected 1, as only `mode` finetune"),
        ({"preset": "reference", "devices": 0}, "devices 0: expected 1, as only `mode` finetune"),
        ({"devices": 5, "batch_size": 8}, "batch_size 8: expected at least 10, two images for each of 5 devices"),
        ({"nodes": 2}, "the processes of the other machines were not started"),
    ],
)
def test_what_does_not_fit_is_refused_before_images_are_read(
    options: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(ctprune.ConfigError, match=re.escape(sentence)):
        ctprune.finetune(tmp_path / "nothing", out=tmp_path / "ft", device="cpu", **options)


def test_one_of_several_processes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ctprune.ConfigError, match="torchrun has started 2 processes here: give `devices` 2"):
        ctprune.finetune(tmp_path, out=tmp_path / "ft")
