"""Orthanc with its DICOMweb plugin on loopback, filled with files: a real server, from Debian's packages."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")

#: Seconds that it may take to start, on a busy machine.
_START = 60


@contextmanager
def orthanc(folder: Path, files: Iterable[Path], *, user: str = "", password: str = "") -> Iterator[str]:
    """Yield the address of DICOMweb of a server that holds these files."""
    program = shutil.which("Orthanc")
    if program is None or not PLUGIN.exists():
        if os.environ.get("CI"):
            pytest.fail("Orthanc is missing: apt-get install orthanc orthanc-dicomweb")
        pytest.skip("Orthanc is missing: apt-get install orthanc orthanc-dicomweb")
    port = free_port()
    settings = {
        "Name": "test",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "HttpPort": port,
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": bool(user),
        "RegisteredUsers": {user: password} if user else {},
        "HttpThreadsCount": 16,
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    log = (folder / "log.txt").open("wb")
    server = subprocess.Popen([program, str(folder / "orthanc.json")], stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        with requests.Session() as session:
            session.auth = (user, password) if user else None
            _wait(session, url, server, folder / "log.txt")
            for file in files:
                session.post(f"{url}/instances", data=file.read_bytes(), timeout=60).raise_for_status()
        yield f"dicomweb+{url}/dicom-web"
    finally:
        server.terminate()
        server.wait(30)
        log.close()


def _wait(session: requests.Session, url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START
    while time.monotonic() < end and server.poll() is None:
        try:
            if session.get(f"{url}/system", timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.1)
    pytest.fail(f"Orthanc did not start: {log.read_text(errors='replace')[-2000:]}")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
