"""Every command after a reduction opens the addresses in its manifest again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import ctprune
from ctprune.errors import ManifestError, NetworkError, SourceError
from ctprune.manifest.manifest import FILE_NAME
from ctprune.manifest.slices import CHANGED, GONE, STAMP, why_unusable
from ctprune.sources import connections
from tests.conftest import Cli
from tests.containers import write_container
from tests.sources.faulty import Plan


@pytest.fixture
def runs(bucket: Path, archive: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A reduction of a bucket and one of its folder."""
    shutil.copytree(archive, bucket / "chest")
    ctprune.reduce("s3://bucket/chest", out=tmp_path / "there")
    ctprune.reduce(bucket / "chest", out=tmp_path / "here")
    return tmp_path / "there", tmp_path / "here"


def test_stores_are_the_same(runs: tuple[Path, Path], faults: Plan) -> None:
    faults.delay = 0.02
    faults.most_at_a_time = 0
    there, here = (ctprune.build_store(run, side=32, use="all") for run in runs)
    assert np.array_equal(there.pixels, here.pixels)
    assert there.left_out == here.left_out
    # While the core decodes, others are in flight.
    assert faults.most_at_a_time > 8


@pytest.mark.parametrize("mode", ["png", "copy"])
def test_exports_are_the_same(runs: tuple[Path, Path], tmp_path: Path, mode: str) -> None:
    done = [ctprune.export_kept(run, mode=mode, folder=tmp_path / f"{run.name}-{mode}") for run in runs]
    there, here = (
        {file.relative_to(one.folder): file.read_bytes() for file in one.folder.rglob("*.*")} for one in done
    )
    assert there == here
    assert done[0].left_out == done[1].left_out


def test_objects_cannot_be_linked(runs: tuple[Path, Path], tmp_path: Path) -> None:
    done = ctprune.export_kept(runs[0], mode="link", folder=tmp_path / "links")
    assert done.written == 0
    assert any("cannot be linked: use `mode` copy or png" in reason for reason in done.left_out)


def test_reports_show_the_same_pictures(runs: tuple[Path, Path]) -> None:
    there, here = (ctprune.write_report(run) for run in runs)
    assert there.pictures == here.pictures > 0
    assert there.pictures_missing == here.pictures_missing


@pytest.mark.parametrize("method", ["ssim", "mi"])
def test_methods_that_read_pixels_select_the_same(runs: tuple[Path, Path], bucket: Path, method: str) -> None:
    columns = ["path", "frame", "status", "exemplar", "similarity"]
    threshold = {"ssim": 0.5, "mi": 1.2}[method]
    there, here = (
        ctprune.reduce(source, method=method, threshold=threshold).rows.select(columns)
        for source in ("s3://bucket/chest", bucket / "chest")
    )
    assert there == here


def test_sweeps_by_pixels_are_the_same(runs: tuple[Path, Path]) -> None:
    there, here = (ctprune.sweep(run, methods=("hash", "ssim")).table for run in runs)
    assert there == here


def test_info_and_volumes_are_the_same(runs: tuple[Path, Path], bucket: Path, cli: Cli) -> None:
    file = next(file for file in sorted(bucket.rglob("*.dcm")) if "scout" not in file.parent.name)
    key = file.relative_to(bucket).as_posix()
    there, here = cli("info", f"s3://bucket/{key}", "--json"), cli("info", file, "--json")
    assert there.returncode == here.returncode == 0, there.stderr
    assert there.stdout.replace(f"s3://bucket/{key}", str(file)) == here.stdout
    series = file.parent
    volumes = [
        ctprune.read_volume(source, volume=0).hu
        for source in (f"s3://bucket/{series.relative_to(bucket).as_posix()}", series)
    ]
    assert np.array_equal(*volumes)


def test_information_about_nothing_is_one_sentence(bucket: Path, cli: Cli) -> None:
    (bucket / "in").mkdir(exist_ok=True)
    for address in ("s3://bucket/none", "s3://bucket/in", "s3://bucket/none.zip!/1.dcm"):
        for options in ([], ["--json"]):
            done = cli("info", address, *options)
            assert (done.returncode, done.stdout) == (1, "")
            assert done.stderr == f"Error: {address}: no such object\n"


def test_what_changed_or_is_gone_is_seen(runs: tuple[Path, Path], bucket: Path, faults: Plan) -> None:
    slices = ctprune.Manifest.load(runs[0]).slices()
    slices.check_files()
    rows = slices.take(np.arange(3), ["source", "path", *STAMP])
    files = [bucket / "chest" / row["path"] for row in rows]
    files[0].write_bytes(files[0].read_bytes() + b"\0")
    files[1].unlink()
    assert why_unusable(rows) == [CHANGED, GONE, ""]
    with pytest.raises(SourceError, match=r"s3://bucket/chest/.*: the file .*: run 'ctprune reduce' again"):
        slices.check_files()
    faults.fault = lambda method, key, before: "reset"
    with pytest.raises(NetworkError, match="check the network"):
        why_unusable(rows)
    with pytest.raises(NetworkError, match="check the network"):
        ctprune.build_store(runs[0], side=32)


def test_a_later_command_without_the_network_ends_with_one_sentence(runs: tuple[Path, Path], faults: Plan) -> None:
    faults.fault = lambda method, key, before: 503
    for work in (
        lambda: ctprune.export_kept(runs[0], mode="png", folder=runs[0] / "png"),
        lambda: ctprune.sweep(runs[0], methods=("ssim",)),
        lambda: ctprune.write_report(runs[0]),
        lambda: ctprune.Manifest.load("s3://bucket/chest"),
    ):
        with pytest.raises(NetworkError, match=r"^s3://bucket: the server answered 503: check the network"):
            work()
    faults.fault = lambda method, key, before: None
    with pytest.raises(ManifestError, match="expected the address of a reduction"):
        ctprune.Manifest.load("s3://bucket/chest")


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_pixels_are_verified_wherever_they_are(
    bucket: Path, ct_file: Path, tmp_path: Path, packed: bool, elsewhere: bool
) -> None:
    content = ct_file.read_bytes()
    file = bucket / ("a.stored.zip" if packed else "a.dcm")

    def write(data: bytes) -> None:
        if packed:
            write_container(file, {"a.dcm": data})
        else:
            file.write_bytes(data)
        os.utime(file, ns=(10**18, 10**18))

    write(content)
    run = tmp_path / "run"
    ctprune.reduce("s3://bucket" if elsewhere else bucket, method="all", out=run)
    assert ctprune.verify(run, pixels=1) == []
    write(content[: len(content) // 2] + content[len(content) // 2 :][::-1])
    connections.forget()
    [finding] = ctprune.verify(run, pixels=1)
    assert finding.check == "pixels"


def test_a_merge_has_sources_on_this_machine_first_as_a_reduction_has(
    runs: tuple[Path, Path], ct_file: Path, tmp_path: Path
) -> None:
    there, file, mine = runs[0], tmp_path / "one.dcm", tmp_path / "mine"
    shutil.copyfile(ct_file, file)
    ctprune.reduce(file, out=mine)
    ctprune.reduce(["s3://bucket/chest", file], out=tmp_path / "one")
    for number, order in enumerate(([mine, there], [there, mine])):
        ctprune.merge(order, out=tmp_path / f"both-{number}")
        contents = [(tmp_path / name / FILE_NAME).read_bytes() for name in (f"both-{number}", "one")]
        assert contents[0] == contents[1]
