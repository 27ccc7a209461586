"""A server of S3 and plain HTTP for a folder, which fails as it is told to: what real servers do, at will.

Objects can be put, also only if there is none of their name (`If-None-Match: *`) or if it is a certain one
(`If-Match`), and removed.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

#: What a request shall meet with: a status such as 503, or one of `reset`, `cut`, `wrong-range`, `whole`, `hang`,
#: `lost` (what was asked for is done, and nobody hears of it). None answers well.
Fault = int | str | None


@dataclass
class Plan:
    """What the server does and what it has seen.

    Attributes:
        fault: Called with the method, the key and how often the key was asked for before.
        delay: Seconds before each answer.
        requests: Number of requests by key.
        bytes_sent: Bytes of bodies.
        most_at_a_time: Most requests that were in flight at a time.
    """

    fault: Callable[[str, str, int], Fault] = lambda method, key, before: None
    delay: float = 0.0
    requests: Counter[str] = field(default_factory=Counter)
    bytes_sent: int = 0
    most_at_a_time: int = 0
    headers: list[dict[str, str]] = field(default_factory=list)
    changing: threading.Lock = field(default_factory=threading.Lock)
    _at_a_time: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, method: str, key: str, headers: dict[str, str]) -> Fault:
        with self._lock:
            before = self.requests[key]
            self.requests[key] += 1
            self._at_a_time += 1
            self.most_at_a_time = max(self.most_at_a_time, self._at_a_time)
            self.headers.append(headers)
        return self.fault(method, key, before)

    def end(self) -> None:
        """Before the last bytes are sent: the client may ask for more as soon as it has them."""
        with self._lock:
            self._at_a_time -= 1

    def add_sent(self, sent: int) -> None:
        with self._lock:
            self.bytes_sent += sent


@contextmanager
def serving(folder: Path, plan: Plan, kind: type[Store] | None = None) -> Iterator[str]:
    """Serve a folder as the only bucket, `bucket`, of S3 or what `kind` speaks; yields the server's address."""

    class Handler(kind or Store):  # type: ignore[misc]
        pass

    Handler.folder, Handler.plan = folder, plan
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


class Store(BaseHTTPRequestHandler):
    """S3, and plain HTTP."""

    folder: Path
    plan: Plan
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_GET(self) -> None:
        self._answer("GET")

    def do_PUT(self) -> None:
        self._body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer("PUT")

    def do_POST(self) -> None:
        self._body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer("POST")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def _answer(self, method: str) -> None:
        parts = urlsplit(self.path)
        key = self._key(unquote(parts.path))
        fault = self.plan.begin(method, key, {name.lower(): value for name, value in self.headers.items()})
        self._in_flight = True
        try:
            time.sleep(self.plan.delay)
            if fault == "reset":
                self._reset()
            elif fault == "hang":
                time.sleep(2)
                self._reset()
            elif isinstance(fault, int):
                self._send(fault, b"<Error><Code>Injected</Code></Error>", {}, method)
            elif method in ("PUT", "DELETE", "POST"):
                self._change(method, key, fault)
            elif not key:
                self._send(200, self._listing(parse_qs(parts.query)), {"Content-Type": "application/xml"}, method)
            else:
                self._object(method, key, fault)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            self._end()

    def _key(self, path: str) -> str:
        """What a path names in the bucket; empty for the bucket itself."""
        return path.removeprefix("/").removeprefix("bucket").removeprefix("/")

    def _end(self) -> None:
        if self._in_flight:
            self._in_flight = False
            self.plan.end()

    def _object(self, method: str, key: str, fault: Fault) -> None:
        file = self.folder / key
        if not file.is_file():
            self._send(404, b"<Error><Code>NoSuchKey</Code></Error>", {}, method)
            return
        data, etag = file.read_bytes(), etag_of(file)
        wanted = self.headers.get("If-Match")
        if wanted is not None and wanted != etag:
            self._send(412, b"", {}, method)
            return
        status, headers, body = 200, self._about(file), data
        part = self.headers.get("Range")
        if part and fault != "whole":
            first, _, last = part.removeprefix("bytes=").partition("-")
            start, stop = int(first), min(int(last or len(data)) + 1, len(data))
            if fault == "wrong-range":
                start, stop = start + 1, min(stop + 1, len(data))
            status, body = 206, data[start:stop]
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
        if fault == "cut":
            self._send(status, body[: len(body) // 2], headers, method, length=len(body))
            self._reset()
        else:
            self._send(status, body, headers, method)
        if method != "HEAD":
            self.plan.add_sent(len(body))

    def _about(self, file: Path) -> dict[str, str]:
        """Headers that say which object it is."""
        return {"ETag": etag_of(file), "Last-Modified": "Sat, 28 Nov 2026 09:00:00 GMT"}

    def _change(self, method: str, key: str, fault: Fault) -> None:
        file, body = self.folder / key, b""
        with self.plan.changing:
            if method == "PUT":
                status = self._put(file)
            elif method == "DELETE":
                file.unlink(missing_ok=True)
                status = 204
            else:
                keys = re.findall(rb"<Key>(.*?)</Key>", self._body)
                for one in keys:
                    (self.folder / unescape(one.decode())).unlink(missing_ok=True)
                status = 200
                body = b"".join(b"<Deleted><Key>%s</Key></Deleted>" % one for one in keys)
        if fault == "lost":
            self._reset()
        else:
            body = b"<DeleteResult>%s</DeleteResult>" % body if method == "POST" else b""
            headers = self._about(file) if method == "PUT" and status in (200, 201) else {}
            self._send(status, body, headers, method)

    def _put(self, file: Path) -> int:
        if self.headers.get("If-None-Match") == "*" and file.exists():
            return 412
        wanted = self.headers.get("If-Match")
        if wanted is not None and (not file.exists() or etag_of(file) != wanted):
            return 412 if file.exists() else 404
        self._write(file)
        return 200

    def _write(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_name(f".{file.name}.put")
        beside.write_bytes(self._body)
        os.replace(beside, file)

    def _listing(self, query: dict[str, list[str]]) -> bytes:
        prefix, after = query.get("prefix", [""])[0], query.get("start-after", [""])[0]
        after = query.get("continuation-token", [after])[0]
        most = int(query.get("max-keys", ["1000"])[0])
        files = sorted(
            (file.relative_to(self.folder).as_posix(), file) for file in self.folder.rglob("*") if file.is_file()
        )
        found = [(key, file) for key, file in files if key.startswith(prefix) and key > after]
        shown = found[:most]
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{file.stat().st_size}</Size><ETag>{escape(etag_of(file))}</ETag>"
            "<LastModified>2026-11-28T09:00:00.000Z</LastModified><StorageClass>STANDARD</StorageClass></Contents>"
            for key, file in shown
        )
        more = len(found) > most
        token = f"<NextContinuationToken>{escape(shown[-1][0])}</NextContinuationToken>" if more else ""
        return (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><Name>bucket</Name>'
            f"<Prefix>{escape(prefix)}</Prefix><KeyCount>{len(shown)}</KeyCount><MaxKeys>{most}</MaxKeys>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{contents}</ListBucketResult>"
        ).encode()

    def _send(
        self, status: int, body: bytes, headers: dict[str, str], method: str, length: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self._end()
        if method != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def _reset(self) -> None:
        """Drop the connection without an end."""
        self._end()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()


def etag_of(file: Path) -> str:
    stat = file.stat()
    return f'"{hashlib.md5(f"{stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()}"'
