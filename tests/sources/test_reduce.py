"""Reductions of what is elsewhere: the oracle is the same files in a folder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

import ctprune
from ctprune import _core
from ctprune.errors import Interrupted, NetworkError, UnreadableError
from ctprune.sources import connections, objects
from tests.conftest import Cli
from tests.sources.faulty import Plan
from tests.sources.orthanc import orthanc

#: What is the same wherever the files lie.
COLUMNS = [
    "frame",
    "status",
    "reason",
    "fingerprint",
    "min_hu",
    "max_hu",
    "rows",
    "columns",
    "modality",
    "position_mm",
]
COLUMNS += ["volume", "slice_index", "exemplar", "similarity", "series_instance_uid", "sop_instance_uid", "reader"]


def rows(manifest: ctprune.Manifest, *more: str) -> list[dict[str, Any]]:
    """The rows with what is the same wherever the files lie; NaN equals itself as text."""
    return [
        {name: repr(value) for name, value in row.items()}
        for row in manifest.rows.select([*COLUMNS, *more]).to_dicts()
    ]


@pytest.fixture
def filled(bucket: Path, archive: Path) -> Path:
    """The bucket with the phantom in it, a text, an object of another modality and a broken one."""
    shutil.copytree(archive, bucket / "chest")
    (bucket / "chest" / "notes.txt").write_text("no slice")
    (bucket / "chest" / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 100)
    (bucket / "chest" / "empty.dcm").touch()
    return bucket


def reduce_folder(folder: Path, **options: Any) -> ctprune.Manifest:
    return ctprune.reduce(folder, **options)


@pytest.mark.parametrize("io", [0, 1, 500])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_bucket_gives_what_its_folder_gives(filled: Path, io: int, threads: int, tmp_path: Path) -> None:
    folder = reduce_folder(filled / "chest")
    run = tmp_path / "run"
    found = ctprune.reduce("s3://bucket/chest", out=run, io=io, threads=threads)
    assert rows(found, "path", "file_size") == rows(folder, "path", "file_size")
    assert set(found.rows["source"]) == {"s3://bucket/chest"}
    connections.forget()
    again = ctprune.reduce("s3://bucket/chest", out=tmp_path / "again")
    assert again == found
    assert (tmp_path / "again/manifest.parquet").read_bytes() == (run / "manifest.parquet").read_bytes()
    assert json.loads((run / "summary.json").read_text())["sources"] == ["s3://bucket/chest"]


def test_a_list_of_series_gives_what_their_folder_gives(filled: Path, tmp_path: Path) -> None:
    folder = reduce_folder(filled)
    series = sorted({file.parent.relative_to(filled) for file in filled.rglob("*") if file.is_file()})
    (tmp_path / "list.txt").write_text("".join(f"s3://bucket/{one.as_posix()}/*\n" for one in series))
    found = ctprune.reduce(from_list=tmp_path / "list.txt")
    assert rows(found, "path") == rows(folder, "path")
    assert set(found.rows["source"]) == {"s3://bucket"}


def test_a_list_of_a_hundred_objects_and_paths(filled: Path, tmp_path: Path, archive: Path) -> None:
    files = sorted(file for file in (filled / "chest").rglob("*") if file.is_file())
    lines = [f"s3://bucket/{file.relative_to(filled).as_posix()}" for file in files]
    (tmp_path / "list.csv").write_text("address\n" + "".join(f"{line}\n" for line in lines))
    found = ctprune.reduce(archive, from_list=tmp_path / "list.csv", method="all")
    local = ctprune.reduce(archive, method="all")
    elsewhere = reduce_folder(filled / "chest", method="all")
    assert len(found.kept()) == len(local.kept()) + len(elsewhere.kept())


@pytest.mark.slow
def test_orthanc_gives_what_its_files_give(archive: Path, tmp_path: Path) -> None:
    files = [file for file in archive.rglob("*") if file.is_file() and file.suffix != ".csv"]
    with orthanc(tmp_path, files) as url:
        found = ctprune.reduce(url, out=tmp_path / "run")
        again = ctprune.reduce(url, out=tmp_path / "again", io=3, threads=1)
    folder = reduce_folder(archive)
    identity = ("sop_instance_uid", "frame", "reason", "fingerprint", "min_hu", "max_hu", "modality")
    both = [sorted(tuple(row[name] for name in identity) for row in rows(one)) for one in (found, folder)]
    # The table of labels is in the folder only.
    both[1] = [row for row in both[1] if row[0] not in ("None", "''") or "not DICOM" not in row[2]]
    assert both[0] == both[1]
    # Volumes are in the order of their paths, so another slice of the same ones may come first.
    assert found.counts()["kept"] == folder.counts()["kept"]
    assert again == found


@pytest.mark.slow
def test_what_was_asked_for_stands_nowhere(archive: Path, tmp_path: Path, cli: Cli) -> None:
    files = [file for file in archive.rglob("*") if file.suffix == ".dcm"]
    patient = str(pydicom.dcmread(files[0], stop_before_pixels=True).PatientID)
    with orthanc(tmp_path, files[:8]) as url:
        done = cli("reduce", f"{url}?PatientID={patient}", "--out", "run")
        assert done.returncode in (0, 3), done.stderr
        assert cli("report", "run").returncode == 0
    for file in (tmp_path / "run").rglob("*"):
        assert file.is_dir() or patient.encode() not in file.read_bytes(), file
    assert patient not in done.stdout + done.stderr


def test_faults_that_pass_change_nothing(filled: Path, faults: Plan, tmp_path: Path) -> None:
    calm = ctprune.reduce("s3://bucket/chest")
    kinds = (503, "reset", "cut", 429, "wrong-range", 500)

    def sometimes(method: str, key: str, before: int) -> Any:
        return kinds[(len(key) + before) % len(kinds)] if before % 2 == 0 else None

    faults.fault = sometimes
    run = ctprune.reduce("s3://bucket/chest", out=tmp_path / "run")
    assert rows(run, "path") == rows(calm, "path")
    assert json.loads((tmp_path / "run/summary.json").read_text())["network"]["retries"] > 0


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (403, "access is denied (403)"),
        (404, "the object is gone (404)"),
        (412, "the object changed while it was read (412)"),
        ("cut", "the server's answer was cut short, after several attempts"),
    ],
)
def test_faults_that_stay_are_rows(filled: Path, faults: Plan, fault: Any, reason: str, tmp_path: Path) -> None:
    unlucky = sorted(file for file in (filled / "chest").rglob("*.dcm") if file.stat().st_size > 1000)[3]
    key = unlucky.relative_to(filled).as_posix()
    faults.fault = lambda method, asked, before: fault if asked == key else None
    run = ctprune.reduce("s3://bucket/chest", out=tmp_path / "run")
    found = {row["path"]: row["reason"] for row in run.with_status("failed").to_dicts()}
    assert found[unlucky.relative_to(filled / "chest").as_posix()] == reason
    # A second run tries it again and reads nothing else.
    faults.fault = lambda method, asked, before: None
    faults.requests.clear()
    again = ctprune.reduce("s3://bucket/chest", out=tmp_path / "run")
    assert rows(again, "path") == rows(reduce_folder(filled / "chest"), "path")
    failed = {"chest/broken.dcm", "chest/empty.dcm", key}
    assert {asked for asked in faults.requests if asked} <= failed | {"chest"}
    faults.fault = lambda method, asked, before: fault if asked == key else None
    with pytest.raises(UnreadableError):
        ctprune.reduce("s3://bucket/chest", fail_first=True)


@pytest.mark.parametrize("threads", [1, 8])
def test_a_lost_network_ends_the_run_and_the_next_goes_on(
    filled: Path, faults: Plan, tmp_path: Path, threads: int
) -> None:
    objects_read = 0

    def lost(method: str, key: str, before: int) -> Any:
        nonlocal objects_read
        objects_read += key.endswith(".dcm") and method == "GET"
        return "reset" if objects_read > 20 else None

    faults.fault = lost
    with pytest.raises(NetworkError, match=r"^s3://bucket: the server cannot be reached: check the"):
        ctprune.reduce("s3://bucket/chest", out=tmp_path / "run", io=4, threads=threads)
    assert not (tmp_path / "run/manifest.parquet").exists()
    faults.fault = lambda method, key, before: None
    faults.requests.clear()
    found = ctprune.reduce("s3://bucket/chest", out=tmp_path / "run")
    read_again = sum(key.endswith(".dcm") for key in faults.requests)
    assert read_again < sum(file.suffix == ".dcm" for file in filled.rglob("*"))
    assert rows(found, "path") == rows(reduce_folder(filled / "chest"), "path")


@pytest.mark.slow
def test_a_stop_while_the_server_hangs_is_answered_at_once(filled: Path, faults: Plan, tmp_path: Path) -> None:
    faults.fault = lambda method, key, before: "hang" if key.endswith(".dcm") and len(key) % 2 else None
    stopped = time.monotonic()

    def stop(now: ctprune.Progress) -> None:
        nonlocal stopped
        if now.stage == "reading" and now.facts["files_read"] > 0:
            stopped = time.monotonic()
            now.stop()

    with pytest.raises(Interrupted, match="rerun to resume"):
        ctprune.reduce("s3://bucket/chest", out=tmp_path / "run", progress=stop)
    assert time.monotonic() - stopped < 1.5


def test_a_changed_object_is_read_again_and_a_new_one_too(filled: Path, faults: Plan, tmp_path: Path) -> None:
    ctprune.reduce("s3://bucket/chest", out=tmp_path / "run")
    files = sorted((filled / "chest").rglob("*.dcm"), key=lambda file: file.stat().st_size)[-3:]
    shutil.copy(files[0], files[0].with_name("new.dcm"))
    os.utime(files[1], ns=(1, 1))
    files[2].unlink()
    faults.requests.clear()
    found = ctprune.reduce("s3://bucket/chest", out=tmp_path / "run")
    names = {key.rpartition("/")[2] for key in faults.requests if key.endswith(".dcm")}
    assert names == {"new.dcm", files[1].name, "broken.dcm", "empty.dcm"}
    assert rows(found, "path") == rows(reduce_folder(filled / "chest"), "path")


def big_objects(folder: Path, ct_file: Path, count: int) -> None:
    """A series of MR and one of CT, each object of a megabyte."""
    for modality in ("CT", "MR"):
        (folder / modality).mkdir(parents=True)
        for number in range(count):
            dataset = pydicom.dcmread(ct_file)
            dataset.Modality = modality
            dataset.SeriesInstanceUID = f"2.25.{'1' if modality == 'CT' else '2'}"
            dataset.SOPInstanceUID = f"{dataset.SeriesInstanceUID}.{number}"
            dataset.InstanceNumber = number
            pixels = np.random.default_rng(number).integers(0, 2000, (724, 724)).astype(np.int16)
            dataset.Rows, dataset.Columns = pixels.shape
            dataset.BitsAllocated = dataset.BitsStored = 16
            dataset.HighBit, dataset.PixelRepresentation = 15, 1
            dataset.PixelData = pixels.tobytes()
            dataset.save_as(folder / modality / f"{number:03d}.dcm")


def test_of_other_modalities_only_headers_are_read(bucket: Path, faults: Plan, ct_file: Path) -> None:
    big_objects(bucket / "a", ct_file, 12)
    folder = reduce_folder(bucket / "a")
    size = sum(file.stat().st_size for file in (bucket / "a/CT").iterdir())
    found = ctprune.reduce("s3://bucket/a", io=2)
    assert rows(found, "path", "file_size") == rows(folder, "path", "file_size")
    assert found.counts()["skipped"] == 12
    # All of CT, and of MR little but headers.
    assert size <= faults.bytes_sent < 1.35 * size
    faults.bytes_sent = 0
    ctprune.reduce("s3://bucket/a", io=2, modality="any")
    assert faults.bytes_sent < 2.2 * size


def test_objects_that_memory_has_no_room_for_are_not_fetched(bucket: Path, faults: Plan, ct_file: Path) -> None:
    for name in ("large.dcm", "small.dcm"):
        shutil.copy(ct_file, bucket / name)
    with (bucket / "large.dcm").open("ab") as opened:
        opened.truncate(66 << 20)
    found = ctprune.reduce("s3://bucket", max_slice_mb=1, method="all").rows.to_dicts()
    assert [(row["path"], row["code"]) for row in found if row["status"] == "failed"] == [
        ("large.dcm", "E-TOO-LARGE")
    ]
    assert "it has more than 65 MiB: download it, or raise `max_slice_mb`" in {row["reason"] for row in found}
    assert [row["path"] for row in found if row["status"] == "kept"] == ["small.dcm"]
    assert faults.bytes_sent < 4 << 20


def test_a_header_decides_what_the_whole_object_would_say(archive: Path, tmp_path: Path, ct_file: Path) -> None:
    big_objects(tmp_path / "a", ct_file, 1)
    files = [file for folder in (archive, tmp_path / "a") for file in folder.rglob("*") if file.is_file()]
    decided = 0
    for modality in ("CT", "MR", "any"):
        for file in files:
            data = file.read_bytes()
            for length in (0, 100, 300, 1000, 4000, objects.HEAD):
                if length > len(data) or not _core.header_decides(data[:length], modality):
                    continue
                decided += 1
                cut = tmp_path / "cut" / file.name
                cut.parent.mkdir(exist_ok=True)
                cut.write_bytes(data[:length])
                reading = {"fingerprint": "dhash", "hash_size": 8, "intensity": "minmax", "max_slice_mb": 512}
                assert _core.describe(cut, modality=modality, **reading) == _core.describe(
                    file, modality=modality, **reading
                )
    assert decided > 10


@pytest.mark.slow
def test_moto_gives_what_its_folder_gives(archive: Path, tmp_path: Path, moto: str) -> None:
    found = ctprune.reduce("s3://phantom/in/", out=tmp_path / "run")
    assert rows(found, "path", "file_size") == rows(reduce_folder(archive), "path", "file_size")
    assert ctprune.reduce("s3://phantom/in/", out=tmp_path / "run") == found


@pytest.fixture(scope="module")
def moto_server() -> Iterator[str]:
    pytest.importorskip("moto", reason="comes with requirements-dev.txt")
    from tests.sources.orthanc import free_port

    port = free_port()
    command = [sys.executable, "-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture
def moto(moto_server: str, archive: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A server of S3 that holds the phantom in `s3://phantom/in/`."""
    import requests
    from obstore.store import S3Store

    end = time.monotonic() + 60
    while True:
        try:
            requests.get(moto_server, timeout=5)
            break
        except requests.RequestException:
            assert time.monotonic() < end
            time.sleep(0.1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_server)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    requests.put(f"{moto_server}/phantom", timeout=20)
    store = S3Store(
        "phantom",
        endpoint=moto_server,
        region="us-east-1",
        access_key_id="test",
        secret_access_key="test",
        client_options={"allow_http": True},
    )
    for file in sorted(archive.rglob("*")):
        if file.is_file():
            store.put(f"in/{file.relative_to(archive).as_posix()}", file.read_bytes())
    return moto_server


#: Run by a process of its own, with sockets forbidden.
_WITHOUT_SOCKETS = """
import socket, sys
def forbidden(*_, **__):
    raise AssertionError("a socket")
socket.socket = socket.create_connection = socket.getaddrinfo = forbidden
import ctprune
ctprune.reduce(sys.argv[1], out=sys.argv[2])
for name in ("obstore", "requests", "urllib3", "tenacity"):
    assert name not in sys.modules, name
"""


def test_a_folder_needs_no_network(archive: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _WITHOUT_SOCKETS, archive, tmp_path / "run"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_ctrl_c_on_the_command_line_ends_with_one_sentence(filled: Path, faults: Plan, tmp_path: Path) -> None:
    faults.delay = 0.05
    command = [
        sys.executable,
        "-m",
        "ctprune",
        "reduce",
        "s3://bucket/chest",
        "--out",
        tmp_path / "run",
        "--io",
        "2",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while faults.requests.total() < 20:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "rerun to resume" in stderr
    assert "Traceback" not in stderr
