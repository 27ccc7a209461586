"""A DICOMweb server of the tests' own, which pages, packs and fails as it is told to: what Orthanc does not do."""

from __future__ import annotations

import gzip
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Fault = int | str | None


@dataclass
class Pacs:
    """What the server holds, how it answers, and what it was asked.

    Attributes:
        instances: Bytes by study, series and instance.
        page: Most results of a search, whatever is asked for; 0 gives all each time, whatever the offset.
        packed: Whether an instance comes as the only part of a multipart answer, as the standard says, or alone.
        fault: Called with the path and how often it was asked for before: a status, `cut`, `reset`, `packed` (what
            it was asked not to do), `odd` (a header that is none) or None.
        base: Of DICOMweb, as it stands in requests.
        headers: Of failures.
        results: What every search is answered, instead of what is held.
        asked: Path, query and headers of each request.
        targets: Path and query as they came.
    """

    instances: dict[tuple[str, str, str], bytes]
    page: int = 1000
    packed: bool = True
    fault: Callable[[str, int], Fault] = lambda path, before: None
    headers: dict[str, str] = field(default_factory=dict)
    base: str = "/dicom-web/"
    results: bytes | None = None
    asked: list[tuple[str, dict[str, list[str]], dict[str, str]]] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)


@contextmanager
def serving(pacs: Pacs) -> Iterator[str]:
    """Yield the address of DICOMweb."""

    class Handler(_Handler):
        pass

    Handler.pacs = pacs
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"dicomweb+http://127.0.0.1:{server.server_address[1]}{pacs.base.rstrip('/')}"
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    pacs: Pacs
    protocol_version = "HTTP/1.1"
    odd = False

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        path = unquote(parts.path).removeprefix(unquote(self.pacs.base))
        before = sum(other == path for other, *_ in self.pacs.asked)
        query = parse_qs(parts.query)
        self.pacs.asked.append((path, query, dict(self.headers)))
        self.pacs.targets.append(self.path)
        fault = self.pacs.fault(path, before)
        if isinstance(fault, int):
            self._send(fault, b"no", self.pacs.headers)
            return
        if fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        if fault == "packed":
            self._send(200, gzip.compress(bytes(1 << 20)), {"Content-Encoding": "gzip"})
            return
        self.odd = fault == "odd"
        names = path.split("/")
        if len(names) == 6:
            self._instance(names[1], names[3], names[5], cut=fault == "cut")
        else:
            self._search(names, query)

    def _instance(self, study: str, series: str, instance: str, *, cut: bool) -> None:
        data = self.pacs.instances.get((study, series, instance))
        if data is None:
            self._send(404, b"", {})
        elif not self.pacs.packed:
            self._send(200, data, {"Content-Type": "application/dicom"})
        else:
            body = b"--a b=c\r\nContent-Type: application/dicom\r\n\r\n" + data + b"\r\n--a b=c--\r\n"
            body = body[: len(body) // 2] if cut else body
            kind = 'multipart/related; type="application/dicom"; boundary="a b=c"'
            self._send(200, body, {"Content-Type": kind})

    def _search(self, names: list[str], query: dict[str, list[str]]) -> None:
        if self.pacs.results is not None:
            self._send(200, self.pacs.results, {"Content-Type": "application/dicom+json"})
            return
        level, tag = len(names) // 2, ("0020000D", "0020000E", "00080018")[len(names) // 2]
        above = tuple(names[1::2])
        found = sorted({key[level] for key in self.pacs.instances if key[:level] == above})
        wanted = query.get("SOPInstanceUID")
        if wanted is not None:
            found = [uid for uid in found if uid in wanted]
        offset, limit = int(query["offset"][0]), int(query["limit"][0])
        if self.pacs.page:
            found = found[offset : offset + min(limit, self.pacs.page)]
        if not found:
            self._send(204, b"", {})
            return
        body = json.dumps([{tag: {"vr": "UI", "Value": [uid]}} for uid in found]).encode()
        warning = '299 pacs "4711: there are more results"'
        self._send(200, body, {"Content-Type": "application/dicom+json", "Warning": warning})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        if self.odd:
            self._headers_buffer.append(b"no header\r\n")
        self.end_headers()
        self.wfile.write(body)
