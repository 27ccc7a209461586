"""Kept slices as links, copies and pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ctprune
from tests.conftest import Cli
from tests.reference import slices as reference


def single_frame_kept(manifest: ctprune.Manifest) -> list[dict]:
    rows = manifest.rows.to_dicts()
    paths = [row["path"] for row in rows]
    return [row for row in manifest.kept().to_dicts() if paths.count(row["path"]) == 1]


def target(folder: Path, row: dict, suffix: str) -> Path:
    return folder / f"{row['volume']:05d}" / f"{row['slice_index']:05d}{suffix}"


@pytest.mark.parametrize("mode", ["link", "copy"])
def test_links_and_copies_hold_the_file(manifest: ctprune.Manifest, tmp_path: Path, mode: str) -> None:
    config = ctprune.ExportConfig(mode=mode, folder=tmp_path / "kept")
    exported = ctprune.export_kept(manifest, config)
    rows = single_frame_kept(manifest)
    assert exported.written == len(rows)
    assert exported.written + sum(exported.left_out.values()) == manifest.counts()["kept"]
    for row in rows:
        file = target(tmp_path / "kept", row, ".dcm")
        assert file.is_symlink() == (mode == "link")
        assert file.read_bytes() == Path(row["source"], row["path"]).read_bytes()


def test_pictures_are_the_gray_that_was_fingerprinted(manifest: ctprune.Manifest, tmp_path: Path) -> None:
    config = ctprune.ExportConfig(mode="png", folder=tmp_path / "kept")
    assert ctprune.export_kept(manifest, config).written == manifest.counts()["kept"]
    for row in manifest.kept().to_dicts():
        gray = np.asarray(Image.open(target(tmp_path / "kept", row, ".png")))
        assert gray.shape == (row["rows"], row["columns"])
        assert reference.dhash(gray) == row["fingerprint"]


def test_deep_pictures_hold_hounsfield_units(manifest: ctprune.Manifest, tmp_path: Path) -> None:
    config = ctprune.ExportConfig(mode="png", folder=tmp_path / "kept", png_depth=16)
    ctprune.export_kept(manifest, config)
    for row in manifest.kept().to_dicts():
        values = np.asarray(Image.open(target(tmp_path / "kept", row, ".png"))).astype(int)
        assert values.min() - 32768 == np.rint(row["min_hu"])
        assert values.max() - 32768 == np.rint(row["max_hu"])


def test_a_run_on_disk_is_exported_as_one_in_memory(archive: Path, tmp_path: Path) -> None:
    manifest = ctprune.reduce(archive, out=tmp_path / "run")
    given = {"memory": manifest, "folder": tmp_path / "run", "file": tmp_path / "run" / "manifest.parquet"}
    trees = []
    for name, one in given.items():
        exported = ctprune.export_kept(one, ctprune.ExportConfig(mode="link", folder=tmp_path / name))
        tree = {file.relative_to(tmp_path / name): file.readlink() for file in (tmp_path / name).rglob("*.*")}
        trees.append((tree, exported.left_out))
    assert trees[0][0]
    assert trees[0][1]
    assert trees[1:] == trees[:1] * 2


def test_8_bit_pictures_have_no_hounsfield_units(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "in" / "a.png")
    manifest = ctprune.reduce(tmp_path / "in")
    config = ctprune.ExportConfig(mode="png", folder=tmp_path / "kept", png_depth=16)
    assert "expected png_depth 8" in next(iter(ctprune.export_kept(manifest, config).left_out))


@pytest.mark.parametrize("mode", ["link", "copy"])
def test_names_of_files_do_not_travel(tmp_path: Path, mode: str) -> None:
    (tmp_path / "in").mkdir()
    for name in ("Doe.Jane.PNG", "Doe.Jane"):
        picture = np.random.default_rng(len(name)).integers(0, 255, (9, 9), np.uint8)
        Image.fromarray(picture).save(tmp_path / "in" / name, format="PNG")
    manifest = ctprune.reduce(tmp_path / "in", method="all")
    ctprune.export_kept(manifest, ctprune.ExportConfig(mode=mode, folder=tmp_path / "kept"))
    names = sorted(file.relative_to(tmp_path / "kept").as_posix() for file in (tmp_path / "kept").rglob("*.*"))
    others = sorted(file.name for file in (tmp_path / "kept" / "00000").iterdir() if not file.suffix)
    assert names + others == ["00000/00001.png", "00000"]


def test_nothing_is_overwritten(manifest: ctprune.Manifest, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "mine").write_text("precious")
    with pytest.raises(ctprune.OutputError, match="nothing is overwritten"):
        ctprune.export_kept(manifest, ctprune.ExportConfig(mode="copy", folder=tmp_path / "kept"))
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_command_line_exports(cli: Cli, archive: Path, tmp_path: Path) -> None:
    result = cli("reduce", archive, "--out", "run", "--export", "png", "--export-dir", "kept", "--json")
    assert result.returncode == 0, result.stderr
    kept = ctprune.Manifest.load(tmp_path / "run").counts()["kept"]
    assert len(list((tmp_path / "kept").rglob("*.png"))) == kept
    assert (
        f"exported: {kept} kept slices"
        in cli("reduce", archive, "--out", "run", "--export", "png", "--export-dir", "again").stdout
    )


def test_what_cannot_be_exported_gives_exit_code_3(cli: Cli, manifest: ctprune.Manifest, tmp_path: Path) -> None:
    several = [row for row in manifest.kept().to_dicts() if row not in single_frame_kept(manifest)]
    source = Path(several[0]["source"], several[0]["path"])
    result = cli("reduce", source, "--out", "run", "--export", "link", "--export-dir", "kept")
    assert result.returncode == 3
    assert "use --export png" in result.stderr
    quiet = cli("reduce", source, "--out", "run", "--export", "link", "--export-dir", "other", "--quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (3, "", "")


@pytest.mark.parametrize(("mode", "is_told"), [("copy", True), ("link", True), ("png", False)])
def test_files_that_keep_their_headers_are_not_called_anonymous(
    cli: Cli, archive: Path, tmp_path: Path, mode: str, is_told: bool
) -> None:
    options = ["reduce", archive, "--out", "run", "--export", mode, "--export-dir", "kept"]
    told = cli(*options).stderr
    assert ("kept is not anonymous" in told) == is_told
    assert ("patients' names and IDs included" in told) == is_told
    assert "not anonymous" not in cli("reduce", archive, "--out", "run").stderr
