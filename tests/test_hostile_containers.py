"""Damaged and hostile zip and tar files: a row with what to do, never a lost run, never a wrong slice."""

from __future__ import annotations

import gzip
import io
import os
import random
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ctprune
from tests.containers import Files, files_of, write_container, write_zip
from tests.test_hostile import PEAK


@pytest.fixture(scope="module")
def some(archive: Path) -> Files:
    """Six slices that can be read."""
    rows = ctprune.reduce(archive, method="all").kept().to_dicts()
    single = [row for row in rows if row["frame"] == 0 and row["path"].endswith(".dcm")]
    return {f"s/{number}.dcm": (archive / row["path"]).read_bytes() for number, row in enumerate(single[:6])}


@pytest.fixture(scope="module")
def fingerprints(some: Files, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("plain")
    for name, content in some.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return {row["path"]: row["fingerprint"] for row in ctprune.reduce(folder, method="all").kept().to_dicts()}


def rows_of(source: Path, **options: Any) -> dict[str, dict[str, Any]]:
    return {row["path"]: row for row in ctprune.reduce(source, method="all", **options).rows.to_dicts()}


def check_slices(rows: dict[str, dict[str, Any]], fingerprints: dict[str, bytes]) -> int:
    """Slices that were read are right; how many there are."""
    good = {path: row for path, row in rows.items() if row["status"] == "kept"}
    known = set(fingerprints.values())
    for path, row in good.items():
        assert row["fingerprint"] in known, path
    return len(good)


@pytest.mark.parametrize("kind", ["stored.zip", "deflated.zip", "tar", "tar.gz", "tar.zst"])
def test_every_cut_leaves_right_slices_and_a_row_for_the_rest(
    kind: str, some: Files, fingerprints: dict[str, bytes], tmp_path: Path
) -> None:
    whole = write_container(tmp_path / f"whole.{kind}", some).read_bytes()
    most = 0
    for part in range(20):
        cut = tmp_path / f"cut.{kind}"
        cut.write_bytes(whole[: len(whole) * part // 20])
        rows = rows_of(cut)
        found = check_slices(rows, fingerprints)
        assert found <= len(some)
        # What is cut off of a tar file may be but its padding.
        assert any(row["status"] == "failed" for row in rows.values()) or found == len(some), part
        if kind.endswith("zip"):
            assert found == 0
        most = max(most, found)
    if kind in ("tar", "tar.gz"):
        assert most >= len(some) - 2


@pytest.mark.parametrize("kind", ["stored.zip", "deflated.zip", "tar.gz"])
def test_a_flipped_byte_never_gives_another_slice(
    kind: str, some: Files, fingerprints: dict[str, bytes], tmp_path: Path
) -> None:
    """Zip has checksums of members, gzip one for all."""
    whole = write_container(tmp_path / f"whole.{kind}", some).read_bytes()
    chance = random.Random(7)
    for number in range(40):
        offset = chance.randrange(len(whole))
        flipped = tmp_path / f"flipped.{kind}"
        content = bytearray(whole)
        content[offset] ^= 1 << chance.randrange(8)
        flipped.write_bytes(content)
        rows = rows_of(flipped)
        found = check_slices(rows, fingerprints)
        # The header of gzip, with the file's name, can change and leave the content as it is.
        if kind == "tar.gz" and offset > 10 + len(flipped.name):
            assert found == 0, number


def patched(path: Path, signature: bytes, offset: int, value: bytes) -> None:
    """Write bytes into every header of a zip file with this signature."""
    content = bytearray(path.read_bytes())
    start = content.find(signature)
    assert start >= 0
    while start >= 0:
        content[start + offset : start + offset + len(value)] = value
        start = content.find(signature, start + 4)
    path.write_bytes(content)


CENTRAL = b"PK\x01\x02"


@pytest.mark.parametrize(
    ("offset", "value", "reason"),
    [
        (8, b"\x01\x00", "encrypted: unpack the archive with its password"),
        (10, b"\x0c\x00", "compressed with bzip2, which is not supported"),
        (10, b"\x63\x00", "encrypted"),
        (16, b"\x00\x00\x00\x00", "its checksum does not match"),
        (24, b"\xff\xff\xff\x7f", "raise --max-slice-mb"),
        (24, b"\x10\x00\x00\x00", "the size of the member: expected 16, found more"),
        (42, b"\xf0\xff\xff\x7f", "lies outside of the archive"),
        (42, b"\x05\x00\x00\x00", "overlaps another member"),
    ],
)
def test_members_that_cannot_be_read_say_why(
    offset: int, value: bytes, reason: str, some: Files, tmp_path: Path
) -> None:
    write_zip(tmp_path / "a.zip", some)
    patched(tmp_path / "a.zip", CENTRAL, offset, value)
    rows = rows_of(tmp_path / "a.zip")
    assert len(rows) == len(some)
    for row in rows.values():
        assert row["status"] == "failed"
        assert reason in row["reason"]


def test_a_method_of_its_own_is_named(some: Files, tmp_path: Path) -> None:
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as container:
            container.writestr("1.dcm", next(iter(some.values())))
        (row,) = rows_of(tmp_path / "a.zip").values()
        assert "repack the archive with deflate" in row["reason"]


@pytest.mark.parametrize("kind", ["deflated.zip", "tar", "tar.gz"])
def test_names_that_lead_out_stay_in(kind: str, some: Files, tmp_path: Path) -> None:
    slice_ = next(iter(some.values()))
    source = tmp_path / "in"
    source.mkdir()
    write_container(source / f"a.{kind}", {"../../x.dcm": slice_, "a/../../b.dcm": slice_, "good.dcm": slice_})
    manifest = ctprune.reduce(source, method="all")
    for row in manifest.rows.to_dicts():
        assert os.path.normpath(row["path"]) == row["path"]
        assert not row["path"].startswith("..")
    assert manifest.counts()["kept"] == 1
    assert manifest.counts()["failed"] == 2
    before = {path for path in tmp_path.rglob("*")}
    ctprune.export_kept(manifest, mode="copy", folder=tmp_path / "out")
    new = {path for path in tmp_path.rglob("*")} - before
    assert all(path.is_relative_to(tmp_path / "out") for path in new)


@pytest.mark.parametrize("kind", ["deflated.zip", "tar", "tar.gz"])
def test_names_that_come_twice_are_refused(kind: str, some: Files, tmp_path: Path) -> None:
    slices = list(some.values())
    path = tmp_path / f"a.{kind}"
    if kind.endswith("zip"):
        write_zip(path, {"x.dcm": slices[0], "y.dcm": slices[1], "Z.dcm": slices[2]})
        path.write_bytes(path.read_bytes().replace(b"Z.dcm", b"x.dcm"))
    else:
        with tarfile.open(path, "w:gz" if kind.endswith("gz") else "w") as tar:
            for name, content in [("x.dcm", slices[0]), ("y.dcm", slices[1]), ("./x.dcm", slices[2])]:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    out = tmp_path / "run"
    for _ in range(2):
        rows = ctprune.reduce(path, method="all", out=out).rows.to_dicts()
        assert [row["status"] for row in rows if row["path"].endswith("y.dcm")] == ["kept"]
        (refused,) = [row for row in rows if row["path"].endswith("x.dcm")]
        assert "several members have this name" in refused["reason"]


def test_links_devices_and_sparse_members_are_refused(some: Files, tmp_path: Path) -> None:
    slice_ = next(iter(some.values()))
    kinds = {
        "hard": tarfile.LNKTYPE,
        "soft": tarfile.SYMTYPE,
        "char": tarfile.CHRTYPE,
        "fifo": tarfile.FIFOTYPE,
        "sparse": tarfile.GNUTYPE_SPARSE,
    }
    for ending in ("tar", "tar.gz"):
        path = tmp_path / f"a.{ending}"
        with tarfile.open(path, "w:gz" if ending.endswith("gz") else "w", format=tarfile.GNU_FORMAT) as tar:
            for name, kind in kinds.items():
                member = tarfile.TarInfo(name)
                member.type, member.linkname = kind, "/etc/passwd"
                tar.addfile(member)
            member = tarfile.TarInfo("last.dcm")
            member.size = len(slice_)
            tar.addfile(member, io.BytesIO(slice_))
        rows = {name.split("!/")[-1]: row for name, row in rows_of(path).items()}
        assert rows["last.dcm"]["status"] == "kept"
        assert {name: rows[name]["reason"] for name in kinds} == {
            "hard": "link within an archive",
            "soft": "link within an archive",
            "char": "not a regular file",
            "fifo": "not a regular file",
            "sparse": "sparse: repack the archive with tar without --sparse",
        }


def test_names_that_are_not_unicode(some: Files, tmp_path: Path) -> None:
    slice_ = next(iter(some.values()))
    write_zip(tmp_path / "a.zip", {"QQ.dcm": slice_, "b.dcm": slice_})
    content = (tmp_path / "a.zip").read_bytes().replace(b"QQ.dcm", b"\xff\xfe.dcm")
    (tmp_path / "a.zip").write_bytes(content)
    rows = rows_of(tmp_path / "a.zip")
    assert sorted(row["status"] for row in rows.values()) == ["failed", "kept"]
    (refused,) = [row for row in rows.values() if row["status"] == "failed"]
    assert "repack the archive with names in UTF-8" in refused["reason"]


def test_a_zip_file_that_holds_itself_ends(tmp_path: Path) -> None:
    """The depth ends what a quine would repeat without end: here by a chain, as deep."""
    content = b"end"
    for _ in range(20):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as container:
            container.writestr("r.zip", content)
        content = buffer.getvalue()
    (tmp_path / "r.zip").write_bytes(content)
    rows = rows_of(tmp_path / "r.zip")
    (row,) = rows.values()
    assert "an archive within an archive within an archive" in row["reason"]


def bomb_of_members(path: Path) -> None:
    """Members of zeros, a thousand times smaller, each within the limit."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as container:
        zeros = bytes(1 << 20)
        for number in range(20):
            with container.open(f"{number}.dcm", "w") as file:
                for _ in range(100):
                    file.write(zeros)


def bomb_that_overlaps(path: Path) -> None:
    """Many entries for one stretch of bytes, as David Fifield's."""
    kernel = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = kernel.compress(bytes(10 << 20)) + kernel.flush()
    name = b"x.dcm"
    local = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 8, 0, 0, 0, len(data), 10 << 20, len(name), 0) + name
    directory = b""
    count = 20_000
    for number in range(count):
        own = f"{number:05d}".encode()
        directory += struct.pack(
            "<4s6H3I5H2I", CENTRAL, 20, 20, 0, 8, 0, 0, 0, len(data), 10 << 20, len(own), 0, 0, 0, 0, 0, 0
        )
        directory += own
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(directory), len(local + data), 0)
    path.write_bytes(local + data + directory + end)


def bomb_in_tar(path: Path) -> None:
    """Six GiB of one member, in six MB, with a slice's ending; and a name of a gigabyte."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        header = tarfile.TarInfo("1.dcm")
        header.size = 6 << 30
        file.write(header.tobuf(tarfile.GNU_FORMAT))
        zeros = bytes(16 << 20)
        for _ in range(6 << 6):
            file.write(zeros)


def bomb_of_names(path: Path) -> None:
    with gzip.open(path, "wb", compresslevel=1) as file:
        header = tarfile.TarInfo("././@LongLink")
        header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
        file.write(header.tobuf(tarfile.GNU_FORMAT))
        zeros = bytes(16 << 20)
        for _ in range(64):
            file.write(zeros)


def bomb_in_zstd(path: Path) -> None:
    """A frame that wants a window of two terabytes."""
    path.write_bytes(b"\x28\xb5\x2f\xfd\x00" + bytes([0xF0]) + b"\x01\x00\x00" * 100)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory are Linux's")
@pytest.mark.parametrize(
    ("name", "bomb"),
    [
        ("members.zip", bomb_of_members),
        ("overlap.zip", bomb_that_overlaps),
        ("names.tar.gz", bomb_of_names),
        ("window.tar.zst", bomb_in_zstd),
        pytest.param("zeros.tar.gz", bomb_in_tar, marks=pytest.mark.slow),
    ],
)
def test_bombs_stay_within_memory(name: str, bomb: Callable[[Path], None], tmp_path: Path) -> None:
    bomb(tmp_path / name)
    arguments = ["reduce", str(tmp_path / name), "--out", str(tmp_path / "run"), "--max-slice-mb", "64", "--quiet"]
    done = subprocess.run([sys.executable, "-c", PEAK, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 4, done.stderr
    assert int(done.stdout.split()[-1]) < 900 << 20
    counts = ctprune.Manifest.load(tmp_path / "run").counts()
    assert counts["failed"] + counts["skipped"] > 0


def test_more_members_than_may_be_are_refused(tmp_path: Path) -> None:
    """A zip file that announces more than it has, and one that has less."""
    write_zip(tmp_path / "a.zip", {"a.dcm": b"x"})
    content = bytearray((tmp_path / "a.zip").read_bytes())
    end = content.rfind(b"PK\x05\x06")
    content[end + 8 : end + 12] = struct.pack("<2H", 5, 5)
    (tmp_path / "a.zip").write_bytes(content)
    (row,) = rows_of(tmp_path / "a.zip").values()
    assert row["status"] == "failed"
    assert "expected 5 members, found 1" in row["reason"]


def test_containers_that_are_none(archive: Path, some: Files, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    slice_ = next(iter(some.values()))
    (source / "slice.zip").write_bytes(slice_)
    (source / "slice.tar").write_bytes(slice_)
    (source / "text.zip").write_bytes(b"no zip")
    (source / "text.tar.gz").write_bytes(b"no tar")
    (source / "packed.gz").write_bytes(gzip.compress(b"text"))
    (source / "empty.zip").write_bytes(b"")
    write_zip(source / "none.zip", {})
    rows = rows_of(source)
    assert rows["slice.zip"]["status"] == rows["slice.tar"]["status"] == "kept"
    assert rows["text.zip"]["status"] == rows["text.tar.gz"]["status"] == "failed"
    assert rows["packed.gz"]["reason"] == "not DICOM, NIfTI, PNG, JPEG or TIFF"
    assert rows["empty.zip"]["reason"] == "the file is empty"
    assert rows["none.zip"]["reason"] == "archive without files"


def test_a_folder_that_is_named_like_a_container(some: Files, tmp_path: Path) -> None:
    source = tmp_path / "in"
    (source / "a.zip!").mkdir(parents=True)
    (source / "b!").mkdir()
    slice_ = next(iter(some.values()))
    (source / "b!" / "1.dcm").write_bytes(slice_)
    (source / "a.zip!" / "1.dcm").write_bytes(slice_)
    write_zip(source / "a.zip", some)
    out = tmp_path / "run"
    rows = {row["path"]: row for row in ctprune.reduce(source, method="all", out=out).rows.to_dicts()}
    assert rows["b!/1.dcm"]["status"] == rows["a.zip!/1.dcm"]["status"] == "kept"
    assert "beside it is a folder" in rows["a.zip"]["reason"]
    assert len(rows) == 3
    assert not ctprune.build_store(out, side=16, use="all").left_out


def test_a_container_that_changes_while_it_is_read(some: Files, tmp_path: Path) -> None:
    write_zip(tmp_path / "a.zip", some)

    def cut(progress: ctprune.Progress) -> None:
        if progress.stage == "reading":
            os.truncate(tmp_path / "a.zip", 100)

    rows = ctprune.reduce(tmp_path / "a.zip", method="all", progress=cut).rows.to_dicts()
    assert len(rows) == len(some)
    assert files_of(tmp_path)["a.zip"][:2] == b"PK"
