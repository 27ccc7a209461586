"""What Google Cloud Storage and Azure do otherwise than S3, for the server of `faulty`.

Written from their documentation: conditions on generations in place of ETags; ETags that Azure lists without
quotation marks, 409 for what is there already, blobs that are removed together by a request of several parts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote
from xml.sax.saxutils import escape

import pytest

from tests.sources.faulty import Store, etag_of

#: Objects of a page of a listing, as if there were many.
_PAGE = 40


class Google(Store):
    """Google Cloud Storage, by its XML interface."""

    def _about(self, file: Path) -> dict[str, str]:
        return super()._about(file) | {"x-goog-generation": generation_of(file)}

    def _put(self, file: Path) -> int:
        wanted = self.headers.get("x-goog-if-generation-match")
        if wanted is not None and wanted != (generation_of(file) if file.exists() else "0"):
            return 412
        self._write(file)
        return 200


class Azure(Store):
    """Blobs of Azure."""

    def _key(self, path: str) -> str:
        return super()._key(path.removeprefix("/account"))

    def _put(self, file: Path) -> int:
        if self.headers.get("If-None-Match") == "*" and file.exists():
            return 409
        return {200: 201}.get(status := super()._put(file), status)

    def _change(self, method: str, key: str, fault: str | int | None) -> None:
        if method != "POST":
            super()._change(method, key, fault)
            return
        answers = []
        for number, path in enumerate(re.findall(rb"DELETE (\S+) HTTP/1.1", self._body)):
            file = self.folder / self._key(unquote(path.decode()))
            status = "202 Accepted" if file.exists() else "404 The specified blob does not exist."
            file.unlink(missing_ok=True)
            answers.append(
                "--batch\r\nContent-Type: application/http\r\n"
                f"Content-ID: {number}\r\n\r\nHTTP/1.1 {status}\r\nx-ms-version: 2023-11-03\r\n\r\n"
            )
        body = ("".join(answers) + "--batch--").encode()
        self._send(202, body, {"Content-Type": "multipart/mixed; boundary=batch"}, method)

    def _listing(self, query: dict[str, list[str]]) -> bytes:
        prefix, after = query.get("prefix", [""])[0], query.get("marker", [""])[0]
        files = sorted(
            (file.relative_to(self.folder).as_posix(), file) for file in self.folder.rglob("*") if file.is_file()
        )
        found = [(key, file) for key, file in files if key.startswith(prefix) and key > after]
        blobs = "".join(
            f"<Blob><Name>{escape(key)}</Name><Properties><Last-Modified>Sat, 28 Nov 2026 09:00:00 GMT"
            f"</Last-Modified><Etag>{etag_of(file).strip(chr(34))}</Etag>"
            f"<Content-Length>{file.stat().st_size}</Content-Length>"
            "<Content-Type>application/octet-stream</Content-Type></Properties></Blob>"
            for key, file in found[:_PAGE]
        )
        marker = escape(found[_PAGE - 1][0]) if len(found) > _PAGE else ""
        return (
            '<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="bucket">'
            f"<Blobs>{blobs}</Blobs><NextMarker>{marker}</NextMarker></EnumerationResults>"
        ).encode()


def generation_of(file: Path) -> str:
    """What tells the states of an object of Google's apart."""
    return str(file.stat().st_mtime_ns)


def _google(url: str, folder: Path) -> dict[str, str]:
    account = {"gcs_base_url": url, "disable_oauth": True}
    account |= dict.fromkeys(("client_email", "private_key", "private_key_id"), "")
    (folder / "account.json").write_text(json.dumps(account))
    return {"GOOGLE_SERVICE_ACCOUNT": str(folder / "account.json"), "GOOGLE_ALLOW_HTTP": "true"}


def _azure(url: str, _: Path) -> dict[str, str]:
    return {
        "AZURE_STORAGE_ENDPOINT": f"{url}/account",
        "AZURE_STORAGE_ACCOUNT_NAME": "account",
        "AZURE_STORAGE_ACCOUNT_KEY": "a2V5",
        "AZURE_ALLOW_HTTP": "true",
    }


#: How each is spoken to, by scheme: the server, and the variables that lead to it.
CLOUDS: dict[str, tuple[type[Store], Callable[[str, Path], dict[str, str]]]] = {
    "gs": (Google, _google),
    "az": (Azure, _azure),
}


def lead_to(scheme: str, url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the variables of the environment that lead a scheme to a server."""
    for name, value in CLOUDS[scheme][1](url, folder).items():
        monkeypatch.setenv(name, value)
