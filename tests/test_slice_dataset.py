"""`ctprune.torch.SliceDataset`: from files as from a store, in this process and in workers."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ctprune

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def run(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slices") / "run"
    ctprune.reduce(archive, out=folder)
    return folder


@pytest.mark.parametrize(("use", "depth"), [("kept", 8), ("all", 8), ("kept", 16)])
def test_files_give_what_a_store_has(run: Path, tmp_path: Path, use: str, depth: int) -> None:
    store = ctprune.build_store(run, use=use, depth=depth, side=40, out=tmp_path / "store")
    packed = ctprune.torch.SliceDataset(tmp_path / "store")
    files = ctprune.torch.SliceDataset(run, use=use, depth=depth, side=40)
    assert len(packed) == len(files) == len(store)
    assert packed.rows.tolist() == files.rows.tolist() == store.rows.tolist()
    for index in range(len(store)):
        expected = store.pixels[index : index + 1].astype(np.float32) - (0 if depth == 8 else 32768)
        for dataset in (packed, files):
            assert dataset[index].dtype == (torch.uint8 if depth == 8 else torch.float32)
            assert np.array_equal(dataset[index].numpy().astype(np.float32), expected)
    assert torch.equal(packed[-1], packed[len(packed) - 1])
    with pytest.raises(IndexError, match=f"slice {len(packed)} does not exist"):
        packed[len(packed)]


def test_a_manifest_in_memory_and_a_store_that_is_open_are_taken(
    run: Path, manifest: ctprune.Manifest, tmp_path: Path
) -> None:
    store = ctprune.build_store(run, side=40, out=tmp_path / "store")
    for source in (store, manifest):
        options = {} if source is store else {"side": 40}
        dataset = ctprune.torch.SliceDataset(source, **options)
        assert np.array_equal(dataset[3].numpy()[0], store.pixels[3])
        # As it goes to a worker that is spawned, without the pixels.
        sent = pickle.dumps(dataset)
        assert len(sent) < store.pixels.nbytes
        assert torch.equal(pickle.loads(sent)[3], dataset[3])
        assert len(pickle.loads(sent)) == len(dataset)
        if source is manifest:
            stands_for = manifest.slices().stands_for
            assert pickle.loads(sent).weights.tolist() == stands_for[stands_for > 0].tolist()


WORKERS = """
import sys, torch, ctprune
dataset = ctprune.torch.SliceDataset(sys.argv[1], side=32, transform=lambda image: image.float() / 255)
loader = torch.utils.data.DataLoader(
    dataset, batch_size=8, num_workers=1, multiprocessing_context="fork", timeout=60
)
found = torch.cat(list(loader))
assert found.shape == (len(dataset), 1, 32, 32)
assert torch.equal(found, torch.stack([dataset[index] for index in range(len(dataset))]))
assert 0 <= found.min() < found.max() <= 1
"""


def test_workers_load_batches(run: Path) -> None:
    # In a process of its own: one with the threads of other tests must not be forked.
    subprocess.run([sys.executable, "-c", WORKERS, str(run)], check=True)


def test_options_of_a_store_are_its_own(run: Path, tmp_path: Path) -> None:
    ctprune.build_store(run, side=32, out=tmp_path / "store")
    with pytest.raises(ctprune.ConfigError, match="side belongs to a reduction"):
        ctprune.torch.SliceDataset(tmp_path / "store", side=32)
    with pytest.raises(ctprune.ConfigError, match="side 4: expected"):
        ctprune.torch.SliceDataset(run, side=4)
    with pytest.raises(ctprune.ConfigError, match="a store can hold a random sample"):
        ctprune.torch.SliceDataset(run, use="random")
    with pytest.raises(ctprune.ManifestError, match=r"expected the folder of a reduction"):
        ctprune.torch.SliceDataset(tmp_path)


def test_a_file_that_is_gone_is_said(archive: Path, tmp_path: Path) -> None:
    shutil.copytree(archive, tmp_path / "in")
    manifest = ctprune.reduce(tmp_path / "in")
    dataset = ctprune.torch.SliceDataset(manifest, side=32)
    [row] = manifest.rows.take(dataset.rows[:1]).to_dicts()
    file = Path(row["source"], row["path"])
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(ctprune.SourceError, match="has changed since the reduction read it"):
        dataset[0]
    file.unlink()
    with pytest.raises(ctprune.SourceError, match="the file is gone"):
        dataset[0]


def test_torch_is_loaded_when_it_is_used() -> None:
    code = "import sys, ctprune; ctprune.torch; assert 'torch' not in sys.modules; print(dir(ctprune.torch))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "SliceDataset" in done.stdout
