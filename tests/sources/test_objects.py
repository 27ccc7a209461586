"""Object stores and web servers that fail as real ones do."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from ctprune.errors import NetworkError, SourceError
from ctprune.sources import objects, retries
from ctprune.sources.addresses import parse_address
from ctprune.sources.connections import Connection, connect
from ctprune.sources.failures import Refused, TooLarge
from ctprune.sources.found import Found
from tests.sources.faulty import Fault, Plan

#: Names that clients of object stores and of web servers like to change.
NAMES = ["a/1.dcm", "a/b c/2.dcm", "a/ä#%20?&=+.dcm", "a/~x'(1)!", "ab/3.dcm"]


def fill(bucket: Path, size: int = 300_000) -> None:
    for name in NAMES:
        (bucket / name).parent.mkdir(parents=True, exist_ok=True)
        (bucket / name).write_bytes(os.urandom(size))


def find(text: str) -> tuple[Connection, list[Found]]:
    address = parse_address(text)
    connection = connect(address)
    return connection, [found for page in connection.find(address) for found in page]


def paths(text: str) -> list[str]:
    return [found.path for found in find(text)[1]]


def test_what_is_listed_is_read_whole_and_in_parts(bucket: Path) -> None:
    fill(bucket)
    connection, found = find("s3://bucket")
    assert sorted(one.path for one in found) == sorted(NAMES)
    for path, stamp in found:
        whole = (bucket / path).read_bytes()
        assert connection.look(path) == stamp
        assert connection.read(path, stamp) == whole
        assert connection.read(path, stamp, lambda head: False) == whole
        assert connection.read(path, stamp, lambda head: True) == whole[: objects.HEAD]


def test_an_address_means_an_object_or_what_lies_below_or_begins_so(bucket: Path) -> None:
    fill(bucket, 10)
    (bucket / "a.dcm").write_bytes(b"1")
    below = [name for name in sorted(NAMES) if name.startswith("a/")]
    assert sorted(paths("s3://bucket/a/*")) == sorted(paths("s3://bucket/a")) == below
    assert sorted(paths("s3://bucket/a*")) == sorted([*NAMES, "a.dcm"])
    assert paths("s3://bucket/a.dcm") == ["a.dcm"]
    for nothing in ("s3://bucket/x", "s3://bucket/x/*"):
        with pytest.raises(SourceError, match=r"s3://bucket/x/?: no such object, and none below it"):
            find(nothing)


def test_a_listing_of_several_pages_goes_on_after_a_failure(bucket: Path, faults: Plan) -> None:
    for number in range(2345):
        (bucket / f"{number:05d}").touch()
    # Every other request fails.
    faults.fault = lambda method, key, before: 503 if before % 2 == 0 else None
    assert paths("s3://bucket") == [f"{number:05d}" for number in range(2345)]


def test_a_bucket_that_is_not_there_is_said_to_be(bucket: Path, faults: Plan) -> None:
    faults.fault = lambda method, key, before: 404
    for address in ("s3://bucket", "s3://bucket/a/", "s3://bucket/a*", "s3://bucket/a"):
        with pytest.raises(SourceError, match=r"^s3://bucket[^ ]*: there is no bucket s3://bucket \(404\)$"):
            find(address)


def test_a_file_of_a_web_server_is_read(bucket: Path) -> None:
    fill(bucket)
    url = os.environ["AWS_ENDPOINT_URL"]
    for written, name in (("b%20c/2.dcm", NAMES[1]), ("%C3%A4%23%2520%3F&=+.dcm", NAMES[2])):
        connection, [found] = find(f"{url}/bucket/a/{written}")
        assert connection.read(found.path, found.stamp) == (bucket / name).read_bytes()
    with pytest.raises(SourceError, match=r"gone\.dcm: the server has no such file \(404\)"):
        find(f"{url}/bucket/gone.dcm")


@pytest.fixture(params=["s3", "http"])
def first(request: pytest.FixtureRequest, bucket: Path) -> str:
    """The address of one object, in the bucket and on a web server."""
    fill(bucket)
    return f"{os.environ['AWS_ENDPOINT_URL'] if request.param == 'http' else 's3:/'}/bucket/a/1.dcm"


@pytest.mark.parametrize("fault", [429, 500, 503, "reset", "cut", "wrong-range"])
@pytest.mark.parametrize("in_parts", [False, True])
def test_what_passes_is_tried_again(
    bucket: Path, first: str, faults: Plan, fault: Fault, in_parts: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "ctprune.sources")
    connection, found = find(first)
    faults.fault = lambda method, key, before: fault if before % 3 else None
    for _ in range(4):
        data = connection.read(found[0].path, found[0].stamp, (lambda head: False) if in_parts else None)
        assert data == (bucket / "a/1.dcm").read_bytes()
    assert connection.server.retries > 0 or (fault == "wrong-range" and not in_parts)
    # Each is logged with its reason, and without the object's name.
    said = [record.getMessage() for record in caplog.records if record.name == "ctprune.sources"]
    assert len(said) == connection.server.retries
    name = re.escape(connection.server.name)
    expected = re.compile(name + r": try [12] of 8 failed: [^/]+; the next is in 0\.0 s")
    assert all(map(expected.fullmatch, said))


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (403, "access is denied (403)"),
        (404, "the object is gone (404)"),
        (412, "the object changed while it was read (412)"),
        (400, "the server answered 400"),
        ("cut", "the server's answer was cut short, after several attempts"),
    ],
)
def test_what_stays_is_this_objects_reason(first: str, faults: Plan, fault: Fault, reason: str) -> None:
    connection, found = find(first)
    faults.requests.clear()
    faults.fault = lambda method, key, before: fault
    with pytest.raises(Refused) as refused:
        connection.read(*found[0])
    assert str(refused.value) == reason
    # Nobody is asked twice for what is not going to change.
    assert faults.requests["a/1.dcm"] == (retries.MOST_TRIES if fault == "cut" else 1)


@pytest.mark.parametrize("fault", [503, "reset"])
def test_a_server_that_answers_nobody_any_more_ends_it(first: str, faults: Plan, fault: Fault) -> None:
    connection, found = find(first)
    faults.fault = lambda method, key, before: fault
    name = re.escape(connection.server.name)
    with pytest.raises(NetworkError, match=f"^{name}: .*: check the network and rerun to resume$"):
        connection.read(*found[0])


def test_an_object_that_changes_is_not_taken_for_the_one_that_was_listed(bucket: Path, first: str) -> None:
    connection, found = find(first)
    path, stamp = found[0]

    def change(head: bytes) -> bool:
        (bucket / "a/1.dcm").write_bytes(os.urandom(300_000))
        return False

    with pytest.raises(Refused, match=r"changed while it was read \(412\)"):
        connection.read(path, stamp, change)
    with pytest.raises(Refused, match=r"changed while it was read \(412\)"):
        connection.read(path, stamp)
    assert len(connection.read(path, None)) == 300_000


def test_a_server_without_ranges_is_read_as_a_whole(bucket: Path, faults: Plan) -> None:
    fill(bucket)
    connection, found = find("s3://bucket/a/1.dcm")
    faults.fault = lambda method, key, before: "whole"
    data = connection.read("a/1.dcm", found[0].stamp, lambda head: False)
    assert data == (bucket / "a/1.dcm").read_bytes()


@pytest.mark.parametrize("in_parts", [False, True])
def test_objects_too_large_for_memory_are_refused_unread(
    bucket: Path, first: str, faults: Plan, in_parts: bool
) -> None:
    fill(bucket, 2 << 20)
    connection, found = find(first)
    with pytest.raises(TooLarge, match=r"it has more than 1 MiB: download it"):
        connection.read(*found[0], (lambda head: False) if in_parts else None, most=1 << 20)


def test_so_many_requests_are_made_at_a_time_and_no_more(bucket: Path, faults: Plan) -> None:
    from ctprune.sources.crew import in_order

    fill(bucket, 10)
    connection, found = find("s3://bucket/a/1.dcm")
    faults.delay = 0.05
    connection.server.limit(7)
    began = time.monotonic()
    fetched = in_order(lambda _: connection.read("a/1.dcm", found[0].stamp), range(70), in_flight=32, most=1 << 20)
    assert sum(result is not None for result in fetched) == 70
    assert 4 <= faults.most_at_a_time <= 7
    assert time.monotonic() - began < 70 * 0.05 / 2


def test_credentials_that_do_not_open_a_public_bucket_are_left_out(
    bucket: Path, faults: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(bucket, 10)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
    faults.fault = lambda method, key, before: 403 if "authorization" in faults.headers[-1] else None
    connection, found = find("s3://bucket/a/1.dcm")
    assert connection.read("a/1.dcm", found[0].stamp) == (bucket / "a/1.dcm").read_bytes()
    [note] = connection.notes
    assert note.startswith("s3://bucket: the credentials of this machine may not read it")
    assert "authorization" not in faults.headers[-1]


def test_a_bucket_that_opens_to_nobody_says_what_to_set(bucket: Path, faults: Plan) -> None:
    faults.fault = lambda method, key, before: 403
    with pytest.raises(SourceError, match=r"\(403\) without credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET"):
        find("s3://bucket/a/1.dcm")
    with pytest.raises(SourceError, match="without credentials"):
        find("s3://bucket/a/*")


def test_keys_of_the_clouds_own_file_are_used(bucket: Path, faults: Plan) -> None:
    fill(bucket, 10)
    folder = Path(os.environ["HOME"], ".aws")
    folder.mkdir()
    (folder / "credentials").write_text("[default]\naws_access_key_id = KEY\naws_secret_access_key = SECRET\n")
    assert paths("s3://bucket/a/1.dcm") == ["a/1.dcm"]
    assert "Credential=KEY/" in faults.headers[-1]["authorization"]


def test_without_encryption_is_spoken_only_where_that_is_meant(
    bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    with pytest.raises(SourceError, match="without encryption: set AWS_ALLOW_HTTP=true"):
        find("s3://bucket/a/*")
