"""The packed store: pixels equal Pillow's, and it accounts for every slice."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import ctprune
from ctprune.files import checksums
from ctprune.files.rows_file import RowsFile
from ctprune.files.run_lock import sole_writer
from ctprune.store.store import HU_OFFSET
from tests.reference import slices as reference


@pytest.fixture(scope="module")
def run(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store") / "run"
    ctprune.reduce(archive, out=folder)
    return folder


def square(picture: np.ndarray, side: int) -> np.ndarray:
    """By Pillow: the shorter side to `side`, then the middle, in torchvision's sizes."""
    rows, columns = picture.shape
    shorter = min(rows, columns)
    rows, columns = side * rows // shorter, side * columns // shorter
    resized = np.asarray(Image.fromarray(picture).resize((columns, rows), Image.Resampling.LANCZOS))
    top, left = round((rows - side) / 2), round((columns - side) / 2)
    return resized[top : top + side, left : left + side]


def slices_of(run: Path) -> list[dict[str, Any]]:
    rows = ctprune.Manifest.load(run).rows.to_dicts()
    return [dict(row, row=i) for i, row in enumerate(rows) if row["status"] in ("kept", "dropped")]


@pytest.mark.parametrize("side", [64, 96, 130])
def test_8_bits_are_gray_resized_by_pillow(run: Path, tmp_path: Path, side: int) -> None:
    store = ctprune.build_store(run, use="all", side=side, out=tmp_path / "store")
    lines = slices_of(run)
    assert store.rows.tolist() == [line["row"] for line in lines]
    for line, pixels in zip(lines, store.pixels, strict=True):
        gray = reference.gray_by_minmax(
            reference.hounsfield_units(Path(line["source"], line["path"]), line["frame"])
        )
        np.testing.assert_array_equal(pixels, square(gray, side))


def test_16_bits_are_hounsfield_units_resized_in_floating_point(run: Path, tmp_path: Path) -> None:
    store = ctprune.build_store(run, use="all", side=48, depth=16, out=tmp_path / "store")
    assert store.pixels.dtype == np.uint16
    for line, pixels in zip(slices_of(run), store.pixels, strict=True):
        hu = reference.hounsfield_units(Path(line["source"], line["path"]), line["frame"])
        expected = np.rint(square(hu.astype(np.float32), 48) + HU_OFFSET)
        np.testing.assert_array_equal(pixels, expected)


def test_longer_sides_are_cropped_and_pictures_spread_to_16_bits(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    random = np.random.default_rng(0)
    pictures = {"tall": (90, 41), "wide": (33, 100), "tiny": (2, 3)}
    for name, shape in pictures.items():
        picture = random.integers(0, 256, shape, np.uint8)
        Image.fromarray(picture).save(tmp_path / "in" / f"{name}.png")
    ctprune.reduce(tmp_path / "in", out=tmp_path / "run", method="all")
    lines = slices_of(tmp_path / "run")
    shallow = ctprune.build_store(tmp_path / "run", side=32).pixels
    deep = ctprune.build_store(tmp_path / "run", side=32, depth=16).pixels
    for line, small, wide in zip(lines, shallow, deep, strict=True):
        picture = np.asarray(Image.open(Path(line["source"], line["path"])))
        np.testing.assert_array_equal(small, square(picture, 32))
        exact = square(picture.astype(np.float32) * 257, 32)
        # Pillow 13 takes the columns of tall pictures first, which shows in the last bit before rounding.
        np.testing.assert_allclose(wide, np.rint(np.clip(exact, 0, 65535)), rtol=0, atol=1)


@pytest.mark.parametrize("depth", [8, 16])
def test_mean_and_std_are_those_of_all_pixels(run: Path, tmp_path: Path, depth: int) -> None:
    store = ctprune.build_store(run, side=40, depth=depth, out=tmp_path / "store")
    fractions = np.asarray(store.pixels, np.float64) / (2**depth - 1)
    assert store.mean == pytest.approx(fractions.mean(), rel=1e-12)
    assert store.std == pytest.approx(fractions.std(), rel=1e-9)


def test_the_same_bytes_at_any_number_of_threads(run: Path, tmp_path: Path) -> None:
    for threads in (1, 3):
        ctprune.build_store(run, use="all", side=32, out=tmp_path / str(threads), threads=threads)
    for name in ("pixels.npy", "rows.npy", "histogram.npy", "store.json"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes()


def test_a_random_sample_has_as_many_slices_as_were_kept(run: Path, tmp_path: Path) -> None:
    manifest = ctprune.Manifest.load(run)
    samples = [
        ctprune.build_store(run, use="random", side=16, seed=seed, out=tmp_path / str(seed)).rows
        for seed in (0, 1)
    ]
    assert all(len(sample) == manifest.counts()["kept"] for sample in samples)
    assert all((np.diff(sample) > 0).all() for sample in samples)
    assert samples[0].tolist() != samples[1].tolist()


def test_a_random_sample_without_some_slices_has_as_many_as_were_kept_of_the_rest(
    run: Path, tmp_path: Path
) -> None:
    manifest = ctprune.Manifest.load(run)
    status = np.array(manifest.rows["status"])
    kept, dropped = np.flatnonzero(status == "kept"), np.flatnonzero(status == "dropped")
    barred = np.concatenate([kept[::3], dropped[::2]])
    sizes, folders = [], []
    for without in (None, barred, barred[::-1], barred[:-1]):
        store = ctprune.build_store(run, use="random", side=16, without=without)
        sizes.append(len(store))
        folders.append(store.folder.name)
        if without is not None:
            assert not np.isin(store.rows, without).any()
            assert len(store) == len(kept) - len(np.intersect1d(kept, without))
    assert sizes[0] > sizes[1]
    assert folders[1] == folders[2]
    assert len(set(folders)) == 3
    # The others hold all their slices, so that one store serves every exclusion.
    assert len(ctprune.build_store(run, side=16, without=barred, out=tmp_path / "kept")) == len(kept)


def test_a_store_is_reused_as_long_as_it_fits(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "store"

    def identity() -> int:
        return (folder / "pixels.npy").stat().st_ino

    ctprune.build_store(run, side=16, out=folder)
    first = identity()
    ctprune.build_store(run, side=16, seed=5, out=folder)
    assert identity() == first
    ctprune.build_store(run, side=17, out=folder)
    assert identity() != first
    second = identity()
    ctprune.build_store(ctprune.reduce(run_source(run), threshold=3), side=17, out=folder)
    assert identity() != second
    third = identity()
    (folder / "pixels.npy").write_bytes((folder / "pixels.npy").read_bytes()[:-5])
    with pytest.raises(ctprune.StoreError, match="damaged"):
        ctprune.open_store(folder)
    with pytest.raises(ctprune.StoreError, match="damaged"):
        ctprune.open_store(folder, verify=False)
    notes: list[str] = []
    manifest = ctprune.reduce(run_source(run), threshold=3)
    ctprune.build_store(manifest, side=17, out=folder, note=notes.append)
    assert identity() != third
    assert ["damaged" in note and note.endswith("which is done now") for note in notes] == [True]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]


def run_source(run: Path) -> Path:
    return Path(json.loads((run / "summary.json").read_text())["sources"][0])


def test_slices_that_cannot_be_read_are_left_out_with_the_reason(archive: Path, tmp_path: Path) -> None:
    shutil.copytree(archive, tmp_path / "in")
    ctprune.reduce(tmp_path / "in", out=tmp_path / "run", method="all")
    lines = slices_of(tmp_path / "run")
    single = [line for line in lines if sum(other["path"] == line["path"] for other in lines) == 1]
    gone, cut, touched = (Path(line["source"], line["path"]) for line in single[:3])
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:3000])
    os.utime(touched, ns=(1, 1))
    store = ctprune.build_store(tmp_path / "run", side=16)
    assert store.rows.tolist() == [line["row"] for line in lines if line not in single[:3]]
    assert sum(store.left_out.values()) == 3
    assert any("has changed since the reduction read it" in reason for reason in store.left_out)
    assert ctprune.open_store(tmp_path / "run" / "store-kept-16-8").left_out == store.left_out
    shutil.rmtree(tmp_path / "in")
    with pytest.raises(ctprune.SourceError, match=r"none of .* slices could be read"):
        ctprune.build_store(tmp_path / "run", side=17)
    assert not (tmp_path / "run" / "store-kept-17-8").exists()


def test_volumes_in_one_file(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    (tmp_path / "in").mkdir()
    volume = np.random.default_rng(2).integers(-1000, 1000, (20, 24, 9)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "in" / "a.nii")
    with gzip.open(tmp_path / "in" / "b.nii.gz", "wb") as file:
        file.write((tmp_path / "in" / "a.nii").read_bytes())
    ctprune.reduce(tmp_path / "in", out=tmp_path / "run", method="all")
    store = ctprune.build_store(tmp_path / "run", side=20)
    assert len(store) == 18
    np.testing.assert_array_equal(store.pixels[:9], store.pixels[9:])


def test_ctrl_c_leaves_nothing_behind(run: Path, tmp_path: Path) -> None:
    def stop(progress: ctprune.Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(ctprune.Interrupted, match="nothing was written"):
        ctprune.build_store(run, side=32, out=tmp_path / "store", progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_progress_reaches_the_end(run: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    store = ctprune.build_store(
        run, side=16, out=tmp_path / "store", progress=lambda now: seen.append((now.done, now.total))
    )
    assert seen[-1] == (len(store), len(store))


def test_mistakes_are_one_sentence(run: Path, manifest: ctprune.Manifest, tmp_path: Path) -> None:
    for options, sentence in (
        ({"use": "some"}, "expected one of kept, all, random"),
        ({"side": 0}, "expected 8 to 4096"),
        ({"depth": 12}, "expected 8 or 16"),
        ({"seed": -1}, "seed -1"),
        ({"threads": -1}, "threads -1"),
    ):
        with pytest.raises(ctprune.ConfigError, match=sentence):
            ctprune.build_store(run, **options)
    with pytest.raises(ctprune.ConfigError, match="out is missing"):
        ctprune.build_store(manifest)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious").write_text("")
    with pytest.raises(ctprune.OutputError, match="nothing is overwritten"):
        ctprune.build_store(run, out=tmp_path / "mine")
    with pytest.raises(ctprune.StoreError, match="found none"):
        ctprune.open_store(tmp_path)
    with pytest.raises(ctprune.ManifestError):
        ctprune.build_store(tmp_path)


def test_one_flipped_bit_is_one_sentence_that_names_the_file(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    store = ctprune.build_store(run, side=16, out=folder)
    random = np.random.default_rng(0)
    for name in ("pixels.npy", "rows.npy", "histogram.npy", "store.json"):
        file = folder / name
        whole = file.read_bytes()
        # The first ones are of the header: of its version, of its length, of what it says.
        for bit in (50, 66, 300, 700, *random.integers(0, 8 * len(whole), 20)):
            damaged = bytearray(whole)
            damaged[bit // 8] ^= 1 << bit % 8
            file.write_bytes(damaged)
            with pytest.raises(ctprune.StoreError, match=f"{name}: .*damaged"):
                ctprune.open_store(folder)
        file.write_bytes(whole)
    assert (ctprune.open_store(folder).pixels == store.pixels).all()


def test_a_damaged_store_is_built_again_and_said_so(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    whole = ctprune.build_store(run, side=16, out=folder).pixels[:].copy()
    pixels = bytearray((folder / "pixels.npy").read_bytes())
    pixels[-7] ^= 4
    (folder / "pixels.npy").write_bytes(pixels)
    notes: list[str] = []
    again = ctprune.build_store(run, side=16, out=folder, note=notes.append)
    assert (again.pixels == whole).all()
    assert notes == [
        f"{folder}/pixels.npy: the file is damaged (its checksum does not match): build the store again, "
        "which is done now"
    ]


def test_checksums_by_block_are_those_of_the_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "BLOCK", 200)
    rows = np.arange(1000, dtype="<u4").reshape(-1, 4)
    with RowsFile(tmp_path / "rows.npy", rows.dtype, (4,)) as file:
        for start in (0, 3, 90):
            file.append(rows[start : {0: 3, 3: 90, 90: 250}[start]])
    whole = (tmp_path / "rows.npy").read_bytes()
    assert (np.load(tmp_path / "rows.npy") == rows).all()
    blocks = [whole[start : start + 200] for start in range(0, len(whole), 200)]
    assert file.checksums() == " ".join(f"{zlib.crc32(block):08x}" for block in blocks)
    assert checksums.fits(tmp_path / "rows.npy", file.checksums())
    for damaged in (whole[:-1], whole + b"\0", whole[:350] + b"!" + whole[351:]):
        (tmp_path / "rows.npy").write_bytes(damaged)
        assert not checksums.fits(tmp_path / "rows.npy", file.checksums(), threads=2)


@pytest.mark.skipif(os.name == "nt", reason="locks of another process block reading on Windows")
def test_a_run_s_folder_is_held_while_a_store_is_built_there(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    with sole_writer(tmp_path / "run"):
        with pytest.raises(ctprune.InUseError, match="in use by another ctprune"):
            ctprune.build_store(tmp_path / "run", side=16)
        ctprune.build_store(tmp_path / "run", side=16, out=tmp_path / "elsewhere")
    held: list[bool] = []
    ctprune.build_store(
        tmp_path / "run", side=16, progress=lambda *_: held.append((tmp_path / "run" / ".lock").exists())
    )
    assert held
    assert all(held)
    # A store that is there already is read, whoever writes.
    with sole_writer(tmp_path / "run"):
        ctprune.build_store(tmp_path / "run", side=16)


def test_what_a_kill_while_packing_leaves_is_swept_away(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    program = (
        "import sys, time, ctprune, ctprune.store.store\n"
        "def slow(*_, **__):\n    print('packing', flush=True)\n    time.sleep(60)\n"
        "ctprune.store.store.read_resized = slow\n"
        "ctprune.build_store(sys.argv[1], side=16)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "packing\n"
        process.kill()
    assert len(list((tmp_path / "run").glob(".*"))) == 2
    ctprune.build_store(tmp_path / "run", side=16)
    assert list((tmp_path / "run").glob(".*")) == []


def test_a_copied_archive_is_packed_again_and_its_run_stays_the_same(archive: Path, tmp_path: Path) -> None:
    shutil.copytree(archive, tmp_path / "dicoms")
    ctprune.reduce(tmp_path / "dicoms", out=tmp_path / "run")
    before = ctprune.build_store(tmp_path / "run", side=32)
    (tmp_path / "dicoms").rename(tmp_path / "moved")
    for file in (tmp_path / "moved").rglob("*"):
        os.utime(file, (1, 1))
    ctprune.reduce(tmp_path / "moved", out=tmp_path / "run")
    packed: list[int] = []
    after = ctprune.build_store(tmp_path / "run", side=32, progress=lambda now: packed.append(now.done))
    assert packed
    assert after.manifest_digest == before.manifest_digest
    np.testing.assert_array_equal(after.pixels, before.pixels)
