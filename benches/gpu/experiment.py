"""A short experiment: SwAV with equal steps on all slices, on those that the hash keeps, on as many random ones.

The steps are chosen so that one pre-training of each arm fits the time; further seeds follow while there is time.
After each pre-training a linear probe on other patients is measured and written. So few steps and patients make no
verdict: `docs/compare.md` says what one takes.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import ctprune
from benches.gpu.box import Box
from benches.gpu.pack import read_about, unpack_slices
from ctprune.pretraining.config import PretrainConfig

#: What each arm pre-trains on, see `ctprune.PretrainConfig`.
ARMS = {"all": "all", "hash": "kept", "random": "random"}

#: Of the hash, in bits.
_THRESHOLD = 6

#: Rows and columns of the packed slices, and of the two kinds of crops.
_SIDE, _LARGE, _SMALL = 96, 64, 32

#: The shortest and the longest training, and steps from which its speed is told.
_LEAST_STEPS, _MOST_STEPS, _TRIAL_STEPS = 5, 5000, 10

#: What the arms may take of a part's time, to leave some for what was not foreseen.
_SHARE = 0.85


def run(box: Box) -> None:
    work = Path(box.work)
    slices, labels = unpack_slices(Path(box.data), work / "data")
    folder = work / "run"
    manifest = ctprune.reduce(slices, out=folder, method="hash", threshold=_THRESHOLD)
    kept = len(manifest.kept())
    about = read_about(Path(box.data))
    options = _options(kept, tiny=box.tiny)
    if about["exclude_task"]:
        options["exclude"] = [str(labels.parent)]
    box.write(
        "facts",
        data=about["data"],
        near_task_left_out=about["exclude_task"],
        slices=len(manifest),
        kept=kept,
        threshold=_THRESHOLD,
        backbone=options["backbone"],
        batch_size=options["batch_size"],
        views=f"2 × {_LARGE} + 4 × {_SMALL}",
    )
    arms = _Arms(box, folder, labels, options)
    arms.probe("no pre-training", None, seed=0, facts={})
    steps = 2 if box.tiny else arms.affordable()
    longest, seed = 0.0, 0
    while seed == 0 or (not box.tiny and box.left() > len(ARMS) * longest):
        for arm in ARMS:
            began = time.time()
            arms.carry_out(arm, steps, seed)
            longest = max(longest, time.time() - began)
        seed += 1


def _options(kept: int, *, tiny: bool) -> dict[str, Any]:
    # Half of what is kept, or less: some of it may be left out as too close to the task.
    batch = 128
    while batch > 8 and 2 * batch > kept:
        batch //= 2
    views = {
        "crops": [
            {"count": 2, "size": _LARGE, "scale": [0.5, 1.0]},
            {"count": 4, "size": _SMALL, "scale": [0.1, 0.33]},
        ]
    }
    return {
        "method": "swav",
        "backbone": "test_resnet" if tiny else "resnet18",
        "batch_size": 8 if tiny else batch,
        "side": _SIDE,
        "views": views,
        "warmup_epochs": 0 if tiny else 1,
    }


class _Arms:
    """The pre-trainings and their probes."""

    def __init__(self, box: Box, folder: Path, labels: Path, options: dict[str, Any]) -> None:
        self._box, self._folder, self._labels, self._options = box, folder, labels, options
        self._trials = 0
        self._probe_seconds = 0.0

    def carry_out(self, arm: str, steps: int, seed: int) -> None:
        """Pre-train an arm, probe it, write what was found."""
        name = f"{arm}-{seed}"
        summary, weights = self._pretrain(name, use=ARMS[arm], steps=steps, seed=seed)
        facts = {
            "steps": steps,
            "slices": summary["slices"],
            "final_loss": summary["final_loss"],
            "pretraining_seconds": summary["seconds"],
        }
        self.probe(arm, weights, seed=seed, facts=facts)

    def affordable(self) -> int:
        """Steps with which one pre-training of each arm fits the time."""
        # The first one packs the slices, too.
        step = self._trial(_TRIAL_STEPS) / _TRIAL_STEPS
        if _TRIAL_STEPS * step < 0.03 * self._box.left():
            # Two lengths tell a step's time from that of what comes but once.
            short = self._trial(_TRIAL_STEPS)
            longer = self._trial(6 * _TRIAL_STEPS)
            step = max((longer - short) / (5 * _TRIAL_STEPS), longer / (12 * _TRIAL_STEPS))
        steps = int((_SHARE * self._box.left() / len(ARMS) - self._probe_seconds) / step)
        steps = max(_LEAST_STEPS, min(steps, _MOST_STEPS))
        self._box.write("speed", seconds_per_step=round(step, 5), steps=steps)
        return steps

    def _trial(self, steps: int) -> float:
        began = time.time()
        self._trials += 1
        self._pretrain(f"trial-{self._trials}", use="all", steps=steps, seed=0)
        return time.time() - began

    def _pretrain(self, name: str, *, use: str, steps: int, seed: int) -> tuple[dict[str, Any], Path]:
        options = self._options | {"use": use, "steps": steps, "seed": seed}
        config = PretrainConfig.resolve(options, preset_name="small")
        result = ctprune.pretrain(self._folder, config, out=Path(self._box.work) / name)
        return result.summary, result.backbone

    def probe(self, arm: str, weights: Path | None, *, seed: int, facts: dict[str, Any]) -> None:
        """Measure a linear probe, on patients that no pre-training has seen."""
        began = time.time()
        result = ctprune.finetune(
            self._labels,
            out=Path(self._box.work) / f"probe-{arm.replace(' ', '-')}-{seed}",
            weights=weights,
            backbone=self._options["backbone"] if weights is None else None,
            mode="linear",
            side=_SIDE,
            seeds=1,
            device=self._box.device,
        )
        self._probe_seconds = time.time() - began
        auc = result.pooled["auc"]
        self._box.write(
            "arm",
            arm=arm,
            seed=seed,
            auc=auc["mean"],
            interval=[auc.get("low"), auc.get("high")],
            images=sum(result.splits[result.evaluated_split].values()),
            evaluated=result.evaluated_split,
            probe_seconds=round(self._probe_seconds, 2),
            **facts,
        )
