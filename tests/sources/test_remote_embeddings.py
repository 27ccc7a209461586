"""Later commands take the embeddings of a run in an object store, and copy them only where they compare these."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import ctprune
from ctprune.manifest.local_run import local_run
from tests.backbones import write_resnet18
from tests.sources.faulty import Plan

pytest.importorskip("torch")

OUT = "s3://bucket/runs/deep"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_resnet18(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("embedded") / "in"
    ctprune.phantom.write_archive(folder, patients=1, seed=3, size=64, slices=8)
    return folder


@pytest.fixture(scope="module")
def here(source: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run in a folder, whose network is gone: nothing can be embedded again."""
    out = tmp_path_factory.mktemp("deep") / "run"
    own = weights.with_name("own.safetensors")
    shutil.copy(weights, own)
    ctprune.reduce(source, method="deep", weights=own, keep=0.4, out=out)
    own.unlink()
    return out


@pytest.fixture
def there(here: Path, source: Path, weights: Path, bucket: Path) -> str:
    """The same in an object store."""
    own = weights.with_name("own.safetensors")
    shutil.copy(weights, own)
    ctprune.reduce(source, method="deep", weights=own, keep=0.4, out=OUT)
    own.unlink()
    return OUT


def copied(faults: Plan) -> list[str]:
    """Files of embeddings that were asked for."""
    return [key for key in faults.requests if "/embeddings/" in key]


def test_embeddings_are_copied_where_they_are_compared(
    here: Path, there: str, faults: Plan, tmp_path: Path
) -> None:
    faults.requests.clear()
    ctprune.Manifest.load(there)
    assert ctprune.check(there, out=tmp_path / "checked")
    assert not copied(faults)
    swept = [ctprune.sweep(run, methods=["deep"], thresholds={"deep": [0.5, 0.99]}) for run in (there, here)]
    assert swept[0].curve("deep")[1].tolist() == swept[1].curve("deep")[1].tolist()
    assert len(copied(faults)) == 3
    pages = [ctprune.write_report(run, out=tmp_path / f"{n}.html").path for n, run in enumerate((there, here))]
    measures = [page.read_text().count("embeddings") for page in pages]
    assert measures[0] == measures[1] > 0
    # Once they are here, they are not copied again.
    assert max(faults.requests[key] for key in copied(faults)) <= 2


def test_embeddings_are_a_target_and_are_used_again(
    here: Path, there: str, source: Path, weights: Path, bucket: Path
) -> None:
    options: dict[str, Any] = {"method": "retrieval", "features": "embeddings", "weights": weights, "budget": 5}
    found = [ctprune.reduce(source, target=target, **options).slices() for target in (there, here)]
    assert found[0].kept.tolist() == found[1].kept.tolist()
    ctprune.reduce(source, method="facility", features="embeddings", weights=weights, budget=6, out=there)
    (summary,) = bucket.rglob("summary.json")
    assert json.loads(summary.read_text())["embeddings"]["slices_embedded"] == 0
    ctprune.reduce(source, out="s3://bucket/runs/hashed")
    with pytest.raises(
        ctprune.ConfigError, match="target s3://bucket/runs/hashed: expected embeddings by the same"
    ):
        ctprune.reduce(source, target=Path("s3://bucket/runs/hashed"), **options)


def test_damaged_embeddings_are_one_sentence(there: str, bucket: Path) -> None:
    (file,) = bucket.rglob("embeddings.npy")
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(
        ctprune.ManifestError,
        match=rf"^{OUT}: about-\w+/embeddings/embeddings.npy is missing or damaged: run 'ctprune reduce' again",
    ):
        ctprune.sweep(there, methods=["deep"])
    assert not (local_run(there) / "embeddings" / "embeddings.json").exists()
