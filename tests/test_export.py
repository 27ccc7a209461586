"""Kept slices as links, copies and pictures."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ctprune
from tests.conftest import Cli
from tests.printed import result_of
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
        tree = {
            file.relative_to(tmp_path / name): file.readlink() if file.is_symlink() else file.read_text()
            for file in (tmp_path / name).rglob("*.*")
        }
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
    assert names + others == ["00000/00001.png", "index.csv", "00000"]
    assert "Doe" not in (tmp_path / "kept" / "index.csv").read_text()


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
    assert result_of("reduce", result.stdout)["exported"]["written"] == kept
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


def indexed(folder: Path) -> list[dict[str, str]]:
    with (folder / "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("mode", ["link", "copy", "png"])
def test_the_index_has_a_line_for_each_file(manifest: ctprune.Manifest, tmp_path: Path, mode: str) -> None:
    exported = ctprune.export_kept(manifest, mode=mode, folder=tmp_path / "kept")
    lines = indexed(tmp_path / "kept")
    files = {path for path in (tmp_path / "kept").rglob("*") if path.suffix in (".png", ".dcm")}
    assert {tmp_path / "kept" / line["path"] for line in lines} == files
    assert len(lines) == exported.written
    rows = manifest.rows.to_dicts()
    studies: dict[str, str] = {}
    for line in lines:
        row = rows[int(line["row"])]
        assert row["status"] == "kept"
        assert target(tmp_path / "kept", row, Path(line["path"]).suffix) == tmp_path / "kept" / line["path"]
        assert (int(line["volume"]), int(line["slice_index"])) == (row["volume"], row["slice_index"])
        assert float(line["position_mm"]) == row["position_mm"]
        spacing = [float(line["row_spacing_mm"]), float(line["column_spacing_mm"])]
        assert spacing == row["pixel_spacing_mm"]
        assert (int(line["rows"]), int(line["columns"])) == (row["rows"], row["columns"])
        # A study has one number, and no two have the same one.
        assert studies.setdefault(row["study_instance_uid"], line["study"]) == line["study"]
    assert len(set(studies.values())) == len(studies) > 1
    # Nobody is named.
    text = (tmp_path / "kept" / "index.csv").read_text()
    for row in rows:
        names = [row[name] for name in ("path", "sop_instance_uid", "study_instance_uid") if row[name]]
        assert not [name for name in names if name in text]


def test_all_slices_can_be_exported(manifest: ctprune.Manifest, tmp_path: Path) -> None:
    counts = manifest.counts()
    exported = ctprune.export_kept(manifest, use="all", folder=tmp_path / "all")
    assert exported.written == counts["kept"] + counts["dropped"] > counts["kept"]
    assert [int(line["row"]) for line in indexed(tmp_path / "all")] == list(range(exported.written))


def test_random_slices_are_as_many_of_each_volume(archive: Path, tmp_path: Path) -> None:
    run = ctprune.reduce(archive, out=tmp_path / "run")
    other = ctprune.reduce(archive, out=tmp_path / "other", keep=0.3)
    wanted = np.bincount(other.kept()["volume"], minlength=run.slices().volumes)
    found = {}
    for name, seed in (("a", 0), ("again", 0), ("b", 1)):
        ctprune.export_kept(
            tmp_path / "run", like=tmp_path / "other", seed=seed, folder=tmp_path / name, mode="link"
        )
        # Frames of one file cannot be linked, and are drawn all the same.
        ctprune.export_kept(run, like=tmp_path / "other", seed=seed, folder=tmp_path / f"{name}-png")
        found[name] = [int(line["row"]) for line in indexed(tmp_path / f"{name}-png")]
        volumes = run.slices().volume[found[name]]
        assert np.bincount(volumes, minlength=len(wanted)).tolist() == wanted.tolist()
        assert {int(line["row"]) for line in indexed(tmp_path / name)} <= set(found[name])
    assert found["a"] == found["again"] != found["b"]


def test_random_slices_need_a_reduction_of_the_same_files(archive: Path, tmp_path: Path) -> None:
    run = ctprune.reduce(archive)
    ctprune.phantom.write_archive(tmp_path / "others", patients=1, seed=5, size=64, slices=8)
    ctprune.reduce(tmp_path / "others", out=tmp_path / "other")
    with pytest.raises(ctprune.ConfigError, match="its slices are not those of this reduction"):
        ctprune.export_kept(run, like=tmp_path / "other", folder=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_nothing_is_written_into_a_source(archive: Path, manifest: ctprune.Manifest) -> None:
    before = sorted(archive.rglob("*"))
    with pytest.raises(ctprune.ConfigError, match="lies inside the source"):
        ctprune.export_kept(manifest, folder=archive / "kept")
    assert sorted(archive.rglob("*")) == before


@pytest.mark.parametrize("mode", ["png", "copy", "link", "nifti", "nifti-slices"])
def test_a_file_that_has_changed_is_left_out(ct_file: Path, tmp_path: Path, mode: str) -> None:
    """Another patient's slice under the same name is not the one that was chosen."""
    source = tmp_path / "in"
    shutil.copytree(ct_file.parent, source)
    manifest = ctprune.reduce(source, out=tmp_path / "run", method="all")
    name = manifest.rows["path"][0]
    shutil.copyfile(source / manifest.rows["path"][-1], source / name)
    found = ctprune.export_kept(tmp_path / "run", mode=mode, folder=tmp_path / "kept")
    slices = manifest.counts()["kept"]
    # A volume without one of its slices is none.
    changed = slices if mode == "nifti" else 1
    assert found.left_out == {"the file has changed since the reduction read it": changed}
    assert found.written == slices - changed


@pytest.mark.parametrize(
    "options", [{"mode": "copy"}, {"layout": "webdataset"}, {"layout": "monai"}, {"mode": "nifti"}], ids=str
)
def test_an_interrupted_export_leaves_nothing(
    manifest: ctprune.Manifest, tmp_path: Path, options: dict[str, str]
) -> None:
    def stop(now: ctprune.Progress) -> None:
        if now.done:
            now.stop()

    with pytest.raises(ctprune.Interrupted, match=r"interrupted after \d+ of \d+ slices; .* was not made"):
        ctprune.export_kept(manifest, folder=tmp_path / "kept", progress=stop, **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_read_is_left_out(archive: Path, tmp_path: Path) -> None:
    from shutil import copytree

    copytree(archive, tmp_path / "in")
    run = ctprune.reduce(tmp_path / "in")
    gone = single_frame_kept(run)[0]
    Path(gone["source"], gone["path"]).unlink()
    for mode in ("copy", "png", "nifti-slices"):
        exported = ctprune.export_kept(run, mode=mode, folder=tmp_path / mode)
        lost = run.counts()["kept"] - exported.written
        assert sum(exported.left_out.values()) == lost > 0
        assert gone["path"] not in str(exported.left_out)
        assert len(indexed(tmp_path / mode)) == exported.written


def test_a_reduction_is_exported_on_the_command_line(cli: Cli, archive: Path, tmp_path: Path) -> None:
    kept = ctprune.reduce(archive, out=tmp_path / "run").counts()["kept"]
    result = cli("export", "run", "--out", "kept")
    assert (result.returncode, result.stdout) == (0, f"exported: {kept} slices to kept\n"), result.stderr
    assert len(indexed(tmp_path / "kept")) == kept
    result = cli("export", "run", "--out", "links", "--mode", "link", "--json")
    said = result_of("export", result.stdout)
    assert result.returncode == (3 if said["left_out"] else 0)
    assert said["written"] == len(indexed(tmp_path / "links"))
    assert "links is not anonymous" in result.stderr
    assert "--mode png has pixels only" in result.stderr
    quiet = cli("export", "run", "--out", "quiet", "--quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


def test_slices_with_text_in_their_pixels_are_counted(cli: Cli, ct_file: Path, tmp_path: Path) -> None:
    import pydicom

    (tmp_path / "in").mkdir()
    for number, says in enumerate(("YES", "NO", "YES")):
        dataset = pydicom.dcmread(ct_file)
        dataset.BurnedInAnnotation = says
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
        dataset.ImagePositionPatient = [0, 0, 5 * number]
        dataset.save_as(tmp_path / "in" / f"{number}.dcm")
    run = ctprune.reduce(tmp_path / "in", method="all", out=tmp_path / "run")
    assert ctprune.export_kept(run, folder=tmp_path / "kept").burned_in == 2
    assert "2 of these slices say that text" in cli("export", "run", "--out", "again").stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run"], "--out is missing: name a new folder, such as --out kept/"),
        (
            ["run", "--out", "a", "--layout", "webdataset", "--mode", "link"],
            "--layout webdataset needs --mode copy or",
        ),
        (
            ["run", "--out", "a", "--layout", "nnssl", "--mode", "nifti"],
            "nnssl expects a name such as Dataset001_CT",
        ),
        (["run", "--out", "a", "--layout", "dinov2", "--png-depth", "16"], "needs --png-depth 8"),
        (["run", "--out", "a", "--mode", "copy", "--png-depth", "16"], "--png-depth belongs to --mode png"),
        (["run", "--out", "a", "--seed", "3"], "--seed belongs to --like"),
        (["run", "--out", "a", "--use", "all", "--like", "b"], "leave out --use"),
        (
            ["run", "--out", "a", "--shard-mb", "3"],
            "--shard-mb belongs to --layout webdataset or dinov2, not to folders",
        ),
    ],
)
def test_what_does_not_fit_together_is_said(cli: Cli, tmp_path: Path, arguments: list[str], sentence: str) -> None:
    result = cli("export", *arguments)
    assert result.returncode == 2, result.stderr
    assert sentence in result.stderr
    assert list(tmp_path.iterdir()) == []
