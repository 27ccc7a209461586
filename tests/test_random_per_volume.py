"""`random-per-volume` draws the same number from every volume."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ctprune
from tests.conftest import Cli


def kept_by_volume(manifest: ctprune.Manifest) -> list[int]:
    slices = manifest.slices()
    return np.add.reduceat(slices.kept.astype(int), slices.starts[:-1]).tolist()


def test_every_volume_gives_the_same_number(archive: Path, tmp_path: Path) -> None:
    manifest = ctprune.reduce(archive, method="random-per-volume", budget=20, out=tmp_path)
    slices = manifest.slices()
    sizes = np.diff(slices.starts)
    found = np.array(kept_by_volume(manifest))
    assert found.sum() == 20
    # A volume has less than the others only where it has no more slices, or by the one that does not divide.
    assert all(count == size or count >= found.max() - 1 for count, size in zip(found, sizes, strict=True))
    assert (slices.exemplar[~slices.kept] == -1).all()
    assert ctprune.verify(tmp_path) == []


def test_volumes_that_are_too_small_give_all(archive: Path) -> None:
    manifest = ctprune.reduce(archive, method="random-per-volume", keep=0.9)
    sizes = np.diff(manifest.slices().starts)
    found = np.array(kept_by_volume(manifest))
    assert found.sum() == round(0.9 * sizes.sum())
    level = found.max()
    assert all(min(size, level - 1) <= count <= size for count, size in zip(found, sizes, strict=True))


def test_the_seed_decides(archive: Path) -> None:
    def kept(seed: int, threads: int) -> list[bool]:
        manifest = ctprune.reduce(archive, method="random-per-volume", budget=40, seed=seed, threads=threads)
        return manifest.slices().kept.tolist()

    assert kept(0, 1) == kept(0, 2) != kept(1, 1)


def test_the_report_cites_it(archive: Path, tmp_path: Path, cli: Cli) -> None:
    shown = cli("reduce", archive, "--method", "random-per-volume", "--keep", "20%", "--out", tmp_path / "run")
    assert shown.returncode == 0, shown.stderr
    page = ctprune.write_report(tmp_path / "run").path.read_text()
    assert "a random sample of the same number of slices from every volume (seed 0)" in page
    assert "compares no slices" in page


def test_mistakes_are_one_sentence(archive: Path) -> None:
    with pytest.raises(ctprune.ConfigError, match=r"random-per-volume needs `keep` .* or `budget`"):
        ctprune.reduce(archive, method="random-per-volume")
    with pytest.raises(ctprune.ConfigError, match="the same number from every volume"):
        ctprune.reduce(archive, method="random-per-volume", budget=3, scope="dataset")
