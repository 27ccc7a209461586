"""What is written beside and renamed into place: whole, flushed, and nothing of the dead stays."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ctprune.errors import OutputError, SourceError
from ctprune.files import atomic
from ctprune.files.atomic import check_free, check_writable, new_folder, replace_file, replace_folder

#: Begin to write a target, say so, and wait for the end of the input.
WRITE = """
import sys
from pathlib import Path
from ctprune.files import atomic
with getattr(atomic, sys.argv[1])(Path(sys.argv[2])) as beside:
    (beside if sys.argv[1] == "replace_file" else beside / "x").write_bytes(b"new")
    print("written", flush=True)
    sys.stdin.read()
"""

KINDS = ("replace_file", "replace_folder")


@pytest.fixture(params=KINDS)
def writer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process in the middle of writing `target`."""
    command = [sys.executable, "-c", WRITE, request.param, str(tmp_path / "target")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        yield process
        process.kill()


def write(kind: str, target: Path, content: bytes = b"own") -> None:
    with getattr(atomic, kind)(target) as beside:
        (beside if kind == "replace_file" else beside / "x").write_bytes(content)


def content(target: Path) -> bytes:
    return (target / "x" if target.is_dir() else target).read_bytes()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_else_stays_and_what_was_there_is_replaced(kind: str, tmp_path: Path) -> None:
    target = tmp_path / "new" / "target"
    write(kind, target, b"first")
    write(kind, target, b"second")
    assert (names(target.parent), content(target)) == (["target"], b"second")


@pytest.mark.parametrize("kind", KINDS)
def test_a_block_that_fails_changes_nothing(kind: str, tmp_path: Path) -> None:
    target = tmp_path / "target"
    write(kind, target, b"first")
    with pytest.raises(KeyError), getattr(atomic, kind)(target):
        raise KeyError
    assert (names(tmp_path), content(target)) == (["target"], b"first")


def test_the_part_of_a_living_writer_is_left_alone(tmp_path: Path, writer: subprocess.Popen[str]) -> None:
    kind = writer.args[3]  # type: ignore[index]
    write(kind, tmp_path / "target")
    assert content(tmp_path / "target") == b"own"
    assert len(names(tmp_path)) == 2
    writer.communicate()
    assert writer.returncode == 0
    assert (names(tmp_path), content(tmp_path / "target")) == (["target"], b"new")


def test_the_part_of_a_dead_writer_is_swept_away_by_the_next(
    tmp_path: Path, writer: subprocess.Popen[str]
) -> None:
    kind = writer.args[3]  # type: ignore[index]
    writer.kill()
    writer.wait()
    assert len(names(tmp_path)) == 1
    # The same name with more to it is another target's.
    write(kind, tmp_path / "target.json")
    assert len(names(tmp_path)) == 2
    write(kind, tmp_path / "target")
    assert names(tmp_path) == ["target", "target.json"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_process_id_twice_is_no_obstacle(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 7)
    with getattr(atomic, kind)(tmp_path / "target") as one, getattr(atomic, kind)(tmp_path / "target") as other:
        assert one != other
        for beside in (one, other):
            (beside if kind == "replace_file" else beside / "x").write_bytes(b"7")
    assert names(tmp_path) == ["target"]


def test_a_random_name_that_is_taken_is_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([bytes(4), bytes(4), b"\x11" * 4])
    monkeypatch.setattr(atomic.os, "urandom", lambda _: next(drawn))
    with replace_file(tmp_path / "a") as one, replace_file(tmp_path / "a") as other:
        one.write_bytes(b"1")
        other.write_bytes(b"2")
    assert (tmp_path / "a").read_bytes() == b"1"


def test_a_part_that_is_swept_away_before_it_has_a_lock_begins_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, parts = atomic.take, []

    def sweep_once(lock: int) -> None:
        if not parts:
            parts.extend(tmp_path.glob(".a.*"))
            (parts[0] / ".lock").unlink()
            parts[0].rmdir()
        take(lock)

    monkeypatch.setattr(atomic, "take", sweep_once)
    write("replace_file", tmp_path / "a")
    assert parts
    assert names(tmp_path) == ["a"]


def test_a_folder_that_was_moved_aside_by_the_dead_comes_back(tmp_path: Path) -> None:
    part = tmp_path / ".target.1-00000000.part"
    (part / ".old").mkdir(parents=True)
    (part / ".old" / "x").write_bytes(b"old")
    (part / ".lock").touch()
    with replace_folder(tmp_path / "target"):
        assert content(tmp_path / "target") == b"old"
    assert names(tmp_path) == ["target"]


def test_a_folder_that_comes_in_between_is_replaced_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "target"
    write("replace_folder", target, b"old")
    replace, came = os.replace, []

    def come_in_between(source: Path, to: Path) -> None:
        replace(source, to)
        if Path(source) == target and not came:
            came.append(1)
            write("replace_folder", target, b"another's")

    monkeypatch.setattr(os, "replace", come_in_between)
    write("replace_folder", target)
    assert came
    assert (names(tmp_path), content(target)) == (["target"], b"own")


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"
    write("replace_folder", target, b"old")
    replace = os.replace

    def refuse(source: Path, to: Path) -> None:
        if Path(to) == target and Path(source).name == "target":
            raise OSError(errno.EACCES, "Permission denied")
        replace(source, to)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OutputError, match="cannot be written: Permission denied"):
        write("replace_folder", target)
    assert (names(tmp_path), content(target)) == (["target"], b"old")


@pytest.mark.skipif(os.name == "nt", reason="folders cannot be flushed on Windows")
@pytest.mark.parametrize("kind", KINDS)
def test_bytes_are_flushed_before_the_rename_and_the_name_after_it(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    fsync, replace = os.fsync, os.replace

    def note_flush(descriptor: int) -> None:
        seen.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    def note_rename(source: Path, to: Path) -> None:
        seen.append("rename")
        replace(source, to)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("no /proc to tell what is flushed")
    monkeypatch.setattr(os, "fsync", note_flush)
    monkeypatch.setattr(os, "replace", note_rename)
    write(kind, tmp_path / "target")
    inside = ["x"] if kind == "replace_folder" else []
    assert seen == [*inside, "target", "rename", tmp_path.name]


def test_many_files_are_flushed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "sync", lambda: flushed.append(1))
    with new_folder(tmp_path / "target") as beside:
        for number in range(300):
            (beside / str(number)).touch()
    assert flushed == [1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS])
def test_a_file_system_that_cannot_flush_is_written_to_all_the_same(
    kind: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    write(kind, tmp_path / "target")
    assert content(tmp_path / "target") == b"own"


def test_a_disk_that_fails_at_the_flush_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write("replace_file", tmp_path / "a", b"old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match="a: cannot be written: No space left on device"):
        write("replace_file", tmp_path / "a")
    assert (names(tmp_path), content(tmp_path / "a")) == (["a"], b"old")


def test_without_locks_things_are_written_and_nothing_is_taken_for_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(atomic, "take", refuse)
    with replace_file(tmp_path / "a") as beside:
        write("replace_file", tmp_path / "a", b"other")
        beside.write_bytes(b"own")
    assert (names(tmp_path), content(tmp_path / "a")) == (["a"], b"own")


def test_errors_of_ctprune_pass_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"^x is not there$"), replace_file(tmp_path / "a"):
        raise SourceError("x is not there")


def test_a_folder_is_tried_without_a_trace(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    assert names(tmp_path / "a" / "b") == []
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        check_writable(tmp_path / "file")


def test_a_folder_with_what_the_dead_left_is_free(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / ".config.yaml.12-0123abcd.part").mkdir()
    check_free(tmp_path)
    (tmp_path / ".precious").touch()
    with pytest.raises(OutputError, match="is not empty"):
        check_free(tmp_path)
