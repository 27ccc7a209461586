"""A damaged or hostile file costs its own row: never the run, never the machine."""

from __future__ import annotations

import json
import os
import random
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

import ctprune
from ctprune.reading import pydicom_reader
from tests.mutations import mutant, seeds, with_modality_lut

#: What the largest of the processes of a command has used, in bytes.
PEAK = """
import resource, subprocess, sys
code = subprocess.run([sys.executable, "-m", "ctprune", *sys.argv[1:]]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
sys.exit(code)
"""

DEFLATED = "1.2.840.10008.1.2.1.99"


def rows_of(folder: Path, **options: object) -> list[dict[str, object]]:
    return ctprune.reduce(folder, modality="any", **options).rows.to_dicts()  # type: ignore[arg-type]


@pytest.mark.slow
def test_every_mutant_has_a_row_with_the_fallback(tmp_path: Path) -> None:
    chance, known = random.Random(20_261_128), seeds()
    count = 3000
    for number in range(count):
        (tmp_path / f"{number:04d}.dcm").write_bytes(mutant(chance, known))
    rows = rows_of(tmp_path)
    assert len({row["path"] for row in rows}) == count
    assert {"dicom", "image", "pydicom"} <= {row["reader"] for row in rows}
    assert any("pydicom" in str(row["reason"]) for row in rows)


def test_odd_geometry_that_only_pydicom_reads_is_no_geometry(ct_file: Path, tmp_path: Path) -> None:
    with_modality_lut(ct_file, tmp_path / "a.dcm", PixelSpacing=[1, 2, 3], ImagePositionPatient=[1, 2])
    with_modality_lut(ct_file, tmp_path / "b.dcm", SliceThickness="", Manufacturer="A" * 64)
    first, second = rows_of(tmp_path)
    assert (first["reader"], first["status"]) == ("pydicom", "kept")
    assert (first["pixel_spacing_mm"], first["image_position_patient"]) == (None, None)
    assert (second["slice_thickness_mm"], second["manufacturer"]) == (None, "A" * 64)


@pytest.mark.parametrize("what", ["crash", "memory", "time", "panic", "noise"])
def test_whatever_happens_in_pydicoms_process_is_that_files_row(
    ct_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """A decoder that does what some have done, put in place of pydicom's for one file of three."""
    faults = {
        "crash": "os.abort()",
        "memory": "bytearray(40 << 30)",
        "time": "time.sleep(60)",
        "panic": "(_ for _ in ()).throw(type('PanicException', (BaseException,), {})())",
        "noise": "noise()",
    }
    worker = (
        "import os, time\n"
        "from contextlib import suppress\n"
        "def noise():\n"
        "    for descriptor in range(3, 20):\n"
        "        with suppress(OSError):\n"
        "            os.write(descriptor, b'{}\\n')\n"
        "from ctprune.reading import pydicom_worker as worker\n"
        "read = worker.read_partial\n"
        "def read_partial(file, **options):\n"
        "    if 'bad' in file.name:\n"
        f"        {faults[what]}\n"
        "    return read(file, **options)\n"
        "worker.read_partial = read_partial\n"
        "worker.main()\n"
    )
    monkeypatch.setattr(pydicom_reader, "_COMMAND", [sys.executable, "-c", worker])
    monkeypatch.setattr(pydicom_reader, "_SECONDS", 8.0)
    source = tmp_path / "in"
    source.mkdir()
    for name in ("a.dcm", "bad.dcm", "c.dcm"):
        with_modality_lut(ct_file, source / name)
    pydicom_reader.end()
    try:
        rows = {row["path"]: row for row in rows_of(source)}
    finally:
        pydicom_reader.end()
    assert (rows["a.dcm"]["reader"], rows["c.dcm"]["reader"]) == ("pydicom", "pydicom")
    assert rows["bad.dcm"]["status"] == "failed"
    expected = {
        "crash": ("pydicom's process crashed (signal 6)", "E-PYDICOM-CRASH"),
        "memory": ("pydicom needs more memory than allowed", "E-PYDICOM-MEMORY"),
        "time": ("pydicom took longer than 8 s", "E-PYDICOM-TIME"),
        "panic": ("pydicom cannot read it either", "E-UNSUPPORTED"),
        "noise": ("pydicom's process gave no valid answer", "E-PYDICOM-CRASH"),
    }
    reason, code = expected[what]
    assert str(rows["bad.dcm"]["reason"]).endswith(reason)
    assert rows["bad.dcm"]["code"] == code


def test_what_is_broken_never_goes_to_pydicom(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("pydicom is asked")

    monkeypatch.setattr(pydicom_reader, "read_slices", refuse)
    chance = random.Random(5)
    number = 0
    for row in ctprune.reduce(archive).rows.to_dicts():
        if not str(row["transfer_syntax_uid"]).startswith("1.2.840.10008.1.2.4."):
            continue
        content = bytearray(Path(row["source"], row["path"]).read_bytes())
        for kind in ("cut", "flipped"):
            damaged = content[:-200] if kind == "cut" else content.copy()
            if kind == "flipped":
                damaged[chance.randrange(len(content) * 3 // 4, len(content))] ^= 1 << chance.randrange(8)
            (tmp_path / f"{number}.dcm").write_bytes(damaged)
            number += 1
    assert number > 20
    failed = [row for row in rows_of(tmp_path) if row["status"] == "failed"]
    assert len(failed) >= number // 2
    assert all("pydicom" not in str(row["reason"]) for row in failed)


def long_texts(frames: int) -> bytes:
    """A CT of so many frames of 8 × 8 whose Manufacturer has 1 MiB, in implicit VR."""

    def element(group: int, number: int, value: bytes) -> bytes:
        return struct.pack("<HHI", group, number, len(value)) + value

    number = str(frames).encode()
    dataset = b"".join(
        (
            element(8, 0x16, b"1.2.840.10008.5.1.4.1.1.2\0"),
            element(8, 0x60, b"CT"),
            element(8, 0x70, b"A" * (1 << 20)),
            element(0x20, 0x0E, b"1." * 500),
            element(0x28, 2, b"\1\0"),
            element(0x28, 4, b"MONOCHROME2 "),
            element(0x28, 8, number + b" " * (len(number) % 2)),
            *(element(0x28, tag, b"\x08\0") for tag in (0x10, 0x11)),
            *(
                element(0x28, tag, value)
                for tag, value in ((0x100, b"\x10\0"), (0x101, b"\x10\0"), (0x102, b"\x0f\0"))
            ),
            element(0x28, 0x103, b"\0\0"),
            element(0x7FE0, 0x10, random.Random(1).randbytes(frames * 128)),
        )
    )
    syntax = b"\x02\0\x10\0UI\x12\x001.2.840.10008.1.2\0"
    return bytes(128) + b"DICM" + syntax + dataset


def test_long_header_texts_are_cut_for_every_frame(tmp_path: Path) -> None:
    (tmp_path / "long.dcm").write_bytes(long_texts(4100))
    rows = rows_of(tmp_path)
    assert len(rows) == 4100
    assert {row["manufacturer"] for row in rows} == {"A" * 1024}
    assert {len(str(row["series_instance_uid"])) for row in rows} == {64}


def bombs(folder: Path, ct_file: Path) -> int:
    """Small files that stand for gigabytes; the number of them."""
    head = ct_file.read_bytes()
    dataset = pydicom.dcmread(ct_file)
    dataset.file_meta.TransferSyntaxUID = DEFLATED
    dataset.save_as(folder / "whole.dcm", enforce_file_format=True)
    whole = (folder / "whole.dcm").read_bytes()
    start = 144 + struct.unpack_from("<I", whole, 140)[0]
    inflated = zlib.decompress(whole[start:], -15)
    before_pixels = inflated[: inflated.index(b"\xe0\x7f\x10\0OW\0\0") + 8]
    deflate = zlib.compressobj(1, wbits=-15)
    parts = [whole[:start], deflate.compress(before_pixels + struct.pack("<I", 0xFFFF_FFFE))]
    zeros = bytes(1 << 20)
    parts += [deflate.compress(zeros) for _ in range(1024)]
    for number in range(3):
        (folder / f"deflate-{number}.dcm").write_bytes(b"".join(parts))
    (folder / "whole.dcm").unlink()
    for number, at in enumerate((head.find(b"\x28\0\x10\0US"), head.find(b"\x28\0\x11\0US"))):
        large = bytearray(head)
        struct.pack_into("<H", large, at + 8, 65_535)
        (folder / f"large-{number}.dcm").write_bytes(large)
    for tail in ("zeros", "sparse"):
        with (folder / f"tail-{tail}.dcm").open("wb") as opened:
            opened.write(with_modality_lut(ct_file, folder / "lut.dcm").read_bytes())
            opened.truncate((64 << 20) if tail == "zeros" else (8 << 30))
    (folder / "lut.dcm").unlink()
    return len(list(folder.iterdir()))


@pytest.mark.slow
def test_bombs_cost_their_rows_and_less_than_two_gigabytes(ct_file: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    count = bombs(source, ct_file)
    command = [sys.executable, "-c", PEAK, "reduce", str(source), "--modality", "any", "--out", "run", "--quiet"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode in (0, 3), done.stderr
    assert int(done.stdout) < 2 << 30
    rows = ctprune.Manifest.load(tmp_path / "run").rows.to_dicts()
    assert len({row["path"] for row in rows}) == count
    assert all(row["status"] == "failed" for row in rows if str(row["path"]).startswith(("deflate", "large")))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no FIFOs")
def test_a_fifo_that_takes_a_files_place_does_not_block(ct_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "slice.dcm"
    file.write_bytes(ct_file.read_bytes())

    def replace(progress: ctprune.Progress) -> None:
        if progress.stage == "finding" and file.is_file():
            file.unlink()
            os.mkfifo(file)

    (row,) = rows_of(tmp_path, progress=replace)
    assert (row["status"], row["reason"]) == (
        "failed",
        "not a regular file",
    )


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_folders_that_link_to_each_other_are_read_once(ct_file: Path, tmp_path: Path) -> None:
    folders = [tmp_path / f"folder-{number}" for number in range(10)]
    for folder in folders:
        folder.mkdir()
        (folder / "slice.dcm").write_bytes(ct_file.read_bytes())
    for folder in folders:
        for number, other in enumerate(folders):
            (folder / f"to-{number}").symlink_to(other)
    rows = rows_of(tmp_path)
    assert [row["status"] for row in rows].count("skipped") == 100
    assert len(rows) == 110
    assert {row["reason"] for row in rows} == {None, "link to a folder that is read elsewhere"}
    # The links are there again, and nothing has vanished.
    out = tmp_path.with_name(f"{tmp_path.name}-run")
    ctprune.reduce(tmp_path, modality="any", out=out)
    ctprune.reduce(tmp_path, modality="any", out=out)
    assert len(ctprune.Manifest.load(out)) == 110
    assert json.loads((out / "summary.json").read_text())["files_vanished"] == 0


@pytest.mark.parametrize("threads", [-1, 513, 4000])
def test_a_number_of_threads_that_no_machine_has(archive: Path, tmp_path: Path, threads: int) -> None:
    calls: list[Callable[[], object]] = [
        lambda: ctprune.reduce(archive, threads=threads),
        lambda: ctprune.sweep(tmp_path, threads=threads),
        lambda: ctprune.write_report(tmp_path, threads=threads),
        lambda: ctprune.build_store(tmp_path, threads=threads),
        lambda: ctprune.finetune(archive, out=tmp_path / "ft", threads=threads),
        lambda: ctprune.predict(tmp_path, archive, threads=threads),
        lambda: ctprune.PretrainConfig(threads=threads),
    ]
    for call in calls:
        with pytest.raises(ctprune.ConfigError, match=f"threads {threads}: expected (0|a whole number)"):
            call()


def test_many_threads_are_no_obstacle(archive: Path, manifest: ctprune.Manifest) -> None:
    assert ctprune.reduce(archive, threads=512).rows == manifest.rows


def test_names_in_the_place_of_codes_are_not_taken_over(ct_file: Path, tmp_path: Path) -> None:
    dataset = pydicom.dcmread(ct_file)
    content = ct_file.read_bytes()
    at = content.index(b"\x08\0\x60\0CS\x02\0CT")
    (tmp_path / "a.dcm").write_bytes(content[:at] + b"\x08\0\x60\0CS\x08\0Doe^John" + content[at + 10 :])
    uid = str(dataset.file_meta.TransferSyntaxUID).encode()
    (tmp_path / "b.dcm").write_bytes(content.replace(uid, b"Doe^John".ljust(len(uid), b"."), 1))
    ctprune.reduce(tmp_path, modality="any", out=tmp_path.parent / f"{tmp_path.name}-run")
    for file in (tmp_path.parent / f"{tmp_path.name}-run").rglob("*"):
        assert b"Doe^John" not in file.read_bytes()
    for row in ctprune.Manifest.load(tmp_path.parent / f"{tmp_path.name}-run").rows.to_dicts():
        assert "Doe" not in str(row)


def test_starting_takes_no_time_where_nothing_is_unsupported(archive: Path) -> None:
    pydicom_reader.end()
    ctprune.reduce(archive)
    assert not pydicom_reader.is_running()
