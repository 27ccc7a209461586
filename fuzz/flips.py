"""One flipped bit in a result of ctprune's, read again: `python -m fuzz.flips SEED COUNT`.

Flips a random bit so many times in each kind of file and reads it as the next command would. Each time is one of:
refused in one sentence, read with the same content, read with another content (which must not happen), or ended by
another exception (which must not happen either).
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import ctprune
from ctprune.errors import CtpruneError
from ctprune.manifest.manifest import FILE_NAME
from ctprune.networks.backbone import create_backbone, save_backbone
from ctprune.pretraining.checkpoints import newest_checkpoint, write_checkpoint
from ctprune.store.store import build_store, open_store

OUTCOMES = ("refused", "same", "changed", "another exception")


@dataclass(frozen=True)
class Kind:
    """A file, and how it is read: to something that can be compared."""

    name: str
    file: Path
    read: Callable[[], Any]


def main(seed: int, count: int) -> int:
    """Flip so many bits in each file; the number of times that it was not refused and not the same."""
    chance = random.Random(seed)
    bad = 0
    with tempfile.TemporaryDirectory(prefix="ctprune-flips-") as scratch:
        for kind in kinds(Path(scratch)):
            found = Counter(attack(kind, chance) for _ in range(count))
            bad += found["changed"] + found["another exception"]
            counts = ", ".join(f"{found[outcome]:,} {outcome}" for outcome in OUTCOMES)
            print(f"{kind.name}: {counts}", flush=True)
    return bad


def kinds(folder: Path) -> list[Kind]:
    """Each kind of file that ctprune writes and reads again, at a small size."""
    ctprune.phantom.write_archive(folder / "in", patients=2, seed=1, size=64, slices=8)
    run = folder / "run"
    ctprune.reduce(folder / "in", out=run)
    store = build_store(run, side=16).folder
    network = create_backbone("resnet18")
    save_backbone(network, folder / "backbone.safetensors", name="resnet18", metadata={})
    checkpoints = folder / "checkpoints"
    write_checkpoint(checkpoints, {"step": 1, "weights": network.state_dict()}, keep=1)
    (checkpoint,) = checkpoints.iterdir()
    return [
        Kind("manifest", run / FILE_NAME, lambda: _manifest(run)),
        *(
            Kind(f"store, {name}", store / name, lambda: _opened(store))
            for name in ("pixels.npy", "rows.npy", "store.json")
        ),
        Kind("backbone", folder / "backbone.safetensors", lambda: _weights(folder / "backbone.safetensors")),
        Kind("checkpoint", checkpoint, lambda: _tensors(newest_checkpoint(checkpoints, lambda _: None)[1])),
    ]


def _manifest(run: Path) -> tuple[Any, ...]:
    found = ctprune.Manifest.load(run)
    return found.config, found.ctprune_version, found.rows.to_dicts()


def _opened(store: Path) -> tuple[Any, ...]:
    found = open_store(store)
    facts = (found.config, found.intensity, found.manifest_digest, found.mean, found.std, found.left_out)
    return facts, found.pixels.tobytes(), found.rows.tobytes()


def _weights(file: Path) -> bytes:
    found = ctprune.load_backbone(file).state_dict()
    return b"".join(np.ascontiguousarray(tensor.numpy()).tobytes() for tensor in found.values())


def _tensors(content: dict[str, Any]) -> tuple[Any, ...]:
    state: dict[str, torch.Tensor] = content["weights"]
    return content["step"], *(tensor.numpy().tobytes() for tensor in state.values())


def attack(kind: Kind, chance: random.Random) -> str:
    """Flip one bit, read, and put the file back; what came of it."""
    before = kind.read()
    kept = kind.file.with_name("kept")
    shutil.copy2(kind.file, kept)
    offset = chance.randrange(kind.file.stat().st_size)
    try:
        with kind.file.open("r+b") as file:
            file.seek(offset)
            byte = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([byte ^ 1 << chance.randrange(8)]))
        try:
            return "same" if kind.read() == before else "changed"
        except CtpruneError:
            return "refused"
        except Exception as error:
            print(f"{kind.name}, byte {offset}: {type(error).__name__}: {error}")
            return "another exception"
    finally:
        shutil.move(kept, kind.file)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])) > 0)
