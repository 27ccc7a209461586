"""Zip and tar files are read as they are: the same rows as the folder of their files."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ctprune
from ctprune.files.members import container_of, read_bytes, visit_bytes
from ctprune.reading import decoding
from ctprune.reduction import selecting
from ctprune.reduction.info import describe
from tests.conftest import Cli
from tests.containers import KINDS, files_of, write_container, write_tar, write_zip
from tests.mutations import with_modality_lut

#: Of a member they are the container's; what a pass says of its container is a row that a folder has not.
OF_THE_FILE = {"path", "source", "file_version"}
READ_TO_END = "archive whose files have rows of their own"


class Reads:
    """What a run has read, by its last progress."""

    def __init__(self) -> None:
        self.facts: dict[str, int] = {}

    def __call__(self, progress: ctprune.Progress) -> None:
        self.facts = progress.facts


def rows_in(manifest: ctprune.Manifest, prefix: str) -> list[dict[str, Any]]:
    """The rows with paths without the container's, but for the container's own."""
    rows = []
    for row in manifest.rows.to_dicts():
        if row["reason"] == READ_TO_END:
            continue
        assert row["path"].startswith(prefix), row["path"]
        rows.append({name: value for name, value in row.items() if name not in OF_THE_FILE})
        rows[-1]["path"] = row["path"].removeprefix(prefix)
    return rows


@pytest.fixture(scope="module")
def files(archive: Path) -> dict[str, bytes]:
    return files_of(archive) | {"note.txt": b"no slice", "empty.dcm": b""}


@pytest.fixture(scope="module")
def good(archive: Path, files: dict[str, bytes]) -> dict[str, bytes]:
    """Files of one slice each."""
    rows = ctprune.reduce(archive, method="all").kept().to_dicts()
    several = {row["path"] for row in rows if row["frame"]}
    names = [row["path"] for row in rows if row["path"].endswith(".dcm") and row["path"] not in several]
    return {name: files[name] for name in names}


@pytest.fixture(scope="module")
def folder(files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("unpacked")
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


@pytest.fixture(scope="module")
def packed(files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("packed")
    return {kind: write_container(root / f"all.{kind}", files) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_container_gives_what_its_folder_gives(
    kind: str, folder: Path, packed: dict[str, Path], tmp_path: Path
) -> None:
    expected = rows_in(ctprune.reduce(folder), "")
    written = set()
    for threads in (1, 2, 5):
        found = ctprune.reduce(packed[kind], out=tmp_path / str(threads), threads=threads)
        written.add((tmp_path / str(threads) / "manifest.parquet").read_bytes())
    assert len(written) == 1
    assert rows_in(found, f"all.{kind}!/") == expected
    assert found.rows["source"][0] == str(packed[kind].parent)
    assert {row["path"] for row in expected} >= {"note.txt", "empty.dcm"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_run_reads_nothing(kind: str, packed: dict[str, Path], tmp_path: Path) -> None:
    reads = Reads()
    first = ctprune.reduce(packed[kind], out=tmp_path)
    again = ctprune.reduce(packed[kind], out=tmp_path, threshold=3, progress=reads)
    failed = first.counts()["failed"]
    assert reads.facts["files_read"] == failed
    members = {row["path"] for row in first.rows.to_dicts() if row["reason"] != READ_TO_END}
    assert reads.facts["files_reused"] == len(members) - failed
    assert again.rows == ctprune.reduce(packed[kind], threshold=3).rows


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_run_goes_on(kind: str, packed: dict[str, Path], tmp_path: Path) -> None:
    reads = Reads()

    def stop(progress: ctprune.Progress) -> None:
        if progress.stage == "selecting":
            raise KeyboardInterrupt

    with pytest.raises(ctprune.Interrupted, match="rerun to resume"):
        ctprune.reduce(packed[kind], out=tmp_path, progress=stop)
    again = ctprune.reduce(packed[kind], out=tmp_path, progress=reads)
    assert reads.facts["files_read"] == again.counts()["failed"]
    assert again.rows == ctprune.reduce(packed[kind]).rows


def test_a_container_among_files_and_under_another_name(
    folder: Path, good: dict[str, bytes], packed: dict[str, Path], tmp_path: Path
) -> None:
    source = tmp_path / "in"
    (source / "sub").mkdir(parents=True)
    for kind in KINDS:
        os.link(packed[kind], source / "sub" / f"{kind.replace('.', '_')}.bin")
    (source / "plain.dcm").write_bytes(next(iter(good.values())))
    expected = len(ctprune.reduce(folder).slices())
    counts = ctprune.reduce(source).counts()
    assert counts["kept"] + counts["dropped"] == len(KINDS) * expected + 1


def test_changed_and_vanished_members_are_noticed(files: dict[str, bytes], tmp_path: Path) -> None:
    source, out, reads = tmp_path / "in", tmp_path / "run", Reads()
    source.mkdir()
    some = dict(list(files.items())[:10])
    write_zip(source / "a.zip", some)
    ctprune.reduce(source, out=out)
    del some[next(iter(some))]
    write_zip(source / "a.zip", some)
    os.utime(source / "a.zip", (1, 1))
    again = ctprune.reduce(source, out=out, progress=reads)
    assert reads.facts["files_read"] == len(some)
    assert reads.facts["files_vanished"] == 1
    assert again.rows == ctprune.reduce(source).rows


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_exclusions_match_members_and_containers(kind: str, good: dict[str, bytes], tmp_path: Path) -> None:
    names = list(good)[:4]
    write_container(tmp_path / f"a.{kind}", {name: good[name] for name in names})
    rows = ctprune.reduce(tmp_path, exclude=[f"a.{kind}!/{names[0]}"]).rows.to_dicts()
    reasons = {row["path"]: row["reason"] for row in rows}
    assert reasons[f"a.{kind}!/{names[0]}"] == f"excluded by --exclude a.{kind}!/{names[0]}"
    assert not reasons[f"a.{kind}!/{names[1]}"]
    rows = ctprune.reduce(tmp_path, exclude=[f"*.{kind}"]).rows.to_dicts()
    assert [(row["path"], row["reason"]) for row in rows] == [(f"a.{kind}", f"excluded by --exclude *.{kind}")]
    out = tmp_path.parent / f"{tmp_path.name}-run"
    ctprune.reduce(tmp_path, exclude=["**/*.dcm"], out=out)
    again = ctprune.reduce(tmp_path, out=out)
    assert again.rows == ctprune.reduce(tmp_path).rows
    assert len(again.slices()) == 4


@pytest.mark.parametrize("outer", KINDS)
@pytest.mark.parametrize("inner", ["deflated.zip", "stored.zip", "tar", "tar.gz"])
def test_containers_are_read_one_level_deep(
    outer: str, inner: str, good: dict[str, bytes], tmp_path: Path
) -> None:
    some = dict(list(good.items())[:6])
    within = write_container(tmp_path / f"in.{inner}", some).read_bytes()
    deep = write_container(tmp_path / f"deep.{inner}", {"in.zip": within}).read_bytes()
    source = tmp_path / "source"
    source.mkdir()
    write_container(
        source / f"o.{outer}", {f"x/in.{inner}": within, "y/deep": deep, **dict(list(some.items())[:1])}
    )
    written = set()
    for threads in (1, 3):
        manifest = ctprune.reduce(source, out=tmp_path / str(threads), threads=threads)
        written.add((tmp_path / str(threads) / "manifest.parquet").read_bytes())
    assert len(written) == 1
    rows = {row["path"]: row for row in manifest.rows.to_dicts()}
    for name in some:
        row = rows[f"o.{outer}!/x/in.{inner}!/{name}"]
        assert row["status"] in ("kept", "dropped")
        assert read_bytes(os.path.join(row["source"], row["path"])) == some[name]
    refused = rows[f"o.{outer}!/y/deep!/in.zip"]
    assert refused["status"] == "failed"
    assert "an archive within an archive within an archive" in refused["reason"]
    reads = Reads()
    again = ctprune.reduce(source, out=tmp_path / "1", progress=reads)
    assert again.rows == manifest.rows
    assert reads.facts["files_read"] <= 2


@pytest.mark.parametrize("kind", KINDS)
def test_later_commands_work_on_members(
    kind: str, folder: Path, packed: dict[str, Path], tmp_path: Path, cli: Cli
) -> None:
    plain = ctprune.reduce(folder, out=tmp_path / "plain")
    run = tmp_path / "run"
    manifest = ctprune.reduce(packed[kind], out=run)
    row = manifest.kept().slice(0, 1).to_dicts()[0]
    address = os.path.join(row["source"], row["path"])
    assert container_of(address) == str(packed[kind])
    shown, expected = describe(address), describe(folder / row["path"].split("!/", 1)[1])
    assert shown == expected
    volume, other = ctprune.read_volume(packed[kind], volume=0), ctprune.read_volume(folder, volume=0)
    np.testing.assert_array_equal(volume.hu, other.hu)
    store, from_folder = ctprune.build_store(run, side=48), ctprune.build_store(tmp_path / "plain", side=48)
    np.testing.assert_array_equal(store.pixels, from_folder.pixels)
    assert not store.left_out
    swept = ctprune.sweep(run, out=tmp_path / "sweep", methods=["hash", "ssim"])
    assert swept is not None
    for method in ("ssim", "mi"):
        options = {"method": method, "keep": 0.5}
        here = ctprune.reduce(packed[kind], **options)
        assert rows_in(here, f"all.{kind}!/") == rows_in(ctprune.reduce(folder, **options), "")
    for mode in ("copy", "png"):
        ctprune.export_kept(run, mode=mode, folder=tmp_path / mode)
        ctprune.export_kept(tmp_path / "plain", mode=mode, folder=tmp_path / f"{mode}-plain")
        assert files_of(tmp_path / mode) == files_of(tmp_path / f"{mode}-plain")
    linked = ctprune.export_kept(run, mode="link", folder=tmp_path / "link")
    assert "a member of an archive cannot be linked: use `mode` copy or png" in linked.left_out
    assert cli("report", run).returncode == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/webp") > 3
    assert cli("info", address).returncode == 0
    assert plain.counts()["kept"] == manifest.counts()["kept"]
    os.utime(packed[kind], (1, 1))
    with pytest.raises(ctprune.SourceError, match="none of"):
        ctprune.build_store(run, side=32)


def test_info_of_a_container_says_what_it_is(packed: dict[str, Path]) -> None:
    (zipped,) = describe(packed["stored.zip"])
    assert zipped["status"] == "skipped"
    assert zipped["reason"].startswith("a zip file of ")
    (tarred,) = describe(packed["tar.gz"])
    assert tarred["reason"] == "a gzipped tar file: add '!/' and the path of a file in it"
    (gone,) = describe(f"{packed['tar.gz']}!/no/such")
    assert (gone["status"], gone["reason"]) == ("failed", "the archive has no such readable member")


@pytest.mark.parametrize("kind", KINDS)
def test_slices_that_only_pydicom_reads(kind: str, ct_file: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for number in range(3):
        with_modality_lut(ct_file, source / f"{number}.dcm", InstanceNumber=number)
    container = write_container(tmp_path / f"a.{kind}", files_of(source))
    found, expected = ctprune.reduce(container, method="all"), ctprune.reduce(source, method="all")
    assert rows_in(found, f"a.{kind}!/") == rows_in(expected, "")
    assert set(found.kept()["reader"]) == {"pydicom"}
    run = tmp_path / "run"
    ctprune.reduce(container, method="all", out=run)
    ctprune.reduce(source, method="all", out=tmp_path / "plain")
    store, other = ctprune.build_store(run, side=32), ctprune.build_store(tmp_path / "plain", side=32)
    np.testing.assert_array_equal(store.pixels, other.pixels)


@pytest.mark.parametrize("room", [1 << 30, 1])
def test_what_pydicom_decodes_comes_from_one_pass(
    ct_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    source = tmp_path / "plain"
    source.mkdir()
    for number in range(5):
        with_modality_lut(ct_file, source / f"{number}.dcm", InstanceNumber=number)
    container = write_container(tmp_path / "a.tar.gz", files_of(source))
    monkeypatch.setattr(decoding, "_KEPT_BYTES", room)
    made: list[decoding.ForeignDecoder] = []

    class Noted(decoding.ForeignDecoder):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            made.append(self)

    monkeypatch.setattr(selecting, "ForeignDecoder", Noted)
    options: dict[str, Any] = {"method": "ssim", "threshold": 0.999}
    found, expected = (ctprune.reduce(one, **options) for one in (container, source))
    assert rows_in(found, "a.tar.gz!/") == rows_in(expected, "")
    assert set(found.kept()["reader"]) == {"pydicom"}
    assert made[0].passes == (1 if room > 1 else 5)
    assert made[1].passes == 0


@pytest.mark.parametrize("kind", KINDS)
def test_single_members_are_sources(kind: str, files: dict[str, bytes], packed: dict[str, Path]) -> None:
    names = [name for name in files if name.endswith(".dcm")][:3]
    addresses = [f"{packed[kind]}!/{name}" for name in names]
    rows = ctprune.reduce(addresses, method="all", modality="any").rows.to_dicts()
    assert {os.path.join(row["source"], row["path"]) for row in rows} == set(addresses)
    (gone,) = ctprune.reduce(f"{packed[kind]}!/gone.dcm").rows.to_dicts()
    assert (gone["status"], gone["path"]) == ("failed", f"all.{kind}!/gone.dcm")
    with pytest.raises(ctprune.ConfigError, match="overlap"):
        ctprune.reduce([packed[kind], addresses[0]])


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_of_members_come_as_they_are(kind: str, files: dict[str, bytes], packed: dict[str, Path]) -> None:
    found: dict[int, bytes | str] = {}
    names = [*files, "gone"]
    visit_bytes([f"{packed[kind]}!/{name}" for name in names], found.__setitem__)
    gone = {"gone": "the archive has no such readable member"}
    assert {names[index]: content for index, content in found.items()} == files | gone


def test_names_of_all_kinds(ct_file: Path, tmp_path: Path) -> None:
    slice_ = ct_file.read_bytes()
    long = "/".join(["f" * 90] * 4) + "/1.dcm"
    names = [long, "é/ü.dcm", "/absolute/2.dcm", "./dot//3.dcm", "with ! mark/4.dcm", "wow!/5.dcm"]
    for kind in ("deflated.zip", "tar", "tar.gz"):
        write_container(tmp_path / f"a.{kind}", dict.fromkeys(names, slice_))
    rows = ctprune.reduce(tmp_path, method="all").rows.to_dicts()
    expected = [long, "é/ü.dcm", "absolute/2.dcm", "dot/3.dcm", "with ! mark/4.dcm", "wow!/5.dcm"]
    slices = [row for row in rows if row["status"] == "kept"]
    assert {row["path"] for row in slices} == {
        f"a.{kind}!/{name}" for kind in ("deflated.zip", "tar", "tar.gz") for name in expected
    }
    for row in slices:
        assert read_bytes(os.path.join(row["source"], row["path"])) == slice_
    export = tmp_path.with_name(f"{tmp_path.name}-export")
    exported = ctprune.export_kept(ctprune.reduce(tmp_path, method="all"), mode="copy", folder=export)
    assert exported.written == len(slices)
    assert {path.relative_to(export).parts[0] for path in export.rglob("*.dcm")} <= {
        f"{number:05d}" for number in range(len(slices))
    }


def test_gnu_and_pax_names_are_read_whole(ct_file: Path, tmp_path: Path) -> None:
    name = "/".join(["ä" * 80] * 3) + "/1.dcm"
    slice_ = ct_file.read_bytes()
    for number, form in enumerate((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)):
        with tarfile.open(tmp_path / f"{number}.tar", "w", format=form) as tar:
            member = tarfile.TarInfo(name)
            member.size = len(slice_)
            tar.addfile(member, io.BytesIO(slice_))
    paths = ctprune.reduce(tmp_path, method="all").kept()["path"]
    assert sorted(paths) == [f"0.tar!/{name}", f"1.tar!/{name}"]


def test_a_container_may_be_excluded_from_pretraining(files: dict[str, bytes], packed: dict[str, Path]) -> None:
    from ctprune.overlapping.excluded import excluded_rows

    manifest = ctprune.reduce(packed["tar"])
    found = excluded_rows(manifest, [packed["deflated.zip"]], threshold=0)
    assert len(found.rows) == len(manifest.slices())


def test_a_dry_run_sees_members(packed: dict[str, Path], files: dict[str, bytes], cli: Cli) -> None:
    done = cli("reduce", packed["stored.zip"], "--dry-run")
    assert f"{len(files):,} files found" in done.stdout


def test_zip64_and_prefixed_zip_files(good: dict[str, bytes], tmp_path: Path) -> None:
    some = dict(list(good.items())[:3])
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as container:
        for name, content in some.items():
            with container.open(zipfile.ZipInfo(name), "w", force_zip64=True) as file:
                file.write(content)
    write_zip(tmp_path / "b.zip", some)
    prefixed = b"#!/bin/sh\n" * 50 + (tmp_path / "b.zip").read_bytes()
    (tmp_path / "b.zip").write_bytes(prefixed)
    for name in ("a.zip", "b.zip"):
        counts = ctprune.reduce(tmp_path / name).counts()
        assert counts["kept"] + counts["dropped"] == len(some), name


def test_a_tar_file_in_several_parts_is_read_whole(good: dict[str, bytes], tmp_path: Path) -> None:
    some = list(good.items())[:4]
    together = b""
    for part in (some[:2], some[2:]):
        buffer = io.BytesIO()
        write_tar(buffer, dict(part))
        together += buffer.getvalue()
    (tmp_path / "a.tar").write_bytes(together)
    counts = ctprune.reduce(tmp_path / "a.tar").counts()
    assert counts["kept"] + counts["dropped"] == 4
