from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ctprune.sources import connections, retries
from tests.containers import files_of
from tests.sources.faulty import Plan, serving

#: What would be found in the environment of who runs the tests.
_CREDENTIALS = ("AWS_", "GOOGLE_", "AZURE_", "CTPRUNE_DICOMWEB_")


@pytest.fixture(autouse=True)
def apart(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No credentials but those of the test, no connections of an earlier one, short pauses."""
    import os

    for name in list(os.environ):
        if name.startswith(_CREDENTIALS):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setattr(retries, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(retries, "LONGEST_PAUSE", 0.02)
    connections.forget()
    yield
    connections.forget()


@pytest.fixture
def faults() -> Plan:
    """What the faulty server does; it answers well until told otherwise."""
    return Plan()


@pytest.fixture
def bucket(tmp_path: Path, faults: Plan, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that is served as `s3://bucket` by the faulty server."""
    folder = tmp_path / "bucket"
    folder.mkdir()
    with serving(folder, faults) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        yield folder


@pytest.fixture(scope="module")
def files(archive: Path) -> dict[str, bytes]:
    """Some of the phantom, a text and a broken file, by their names in a container."""
    found = {name: content for name, content in files_of(archive).items() if name.endswith(".dcm")}
    return dict(list(found.items())[::4]) | {"notes.txt": b"no slice", "100% sure.dcm": b"\0" * 128 + b"DICM\xff"}
