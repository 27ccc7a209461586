"""A server of S3 for a folder, whose files are in the page cache, which answers after a delay.

Run as `python -m benches.slow_store FOLDER SECONDS BYTES_PER_SECOND`; it
prints its port.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import escape

from aiohttp import web

_MOST = 1000


def main(folder: Path, delay: float, bandwidth: float) -> None:
    files = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()}
    keys = sorted(files)

    free_at = 0.0

    async def answer(request: web.Request) -> web.Response:
        nonlocal free_at
        await asyncio.sleep(delay)
        key = request.path.removeprefix("/bucket").removeprefix("/")
        if not key:
            return _listing(keys, files, request.query)
        data = files[key].read_bytes()
        # As through one wire: an answer waits until those before it are through.
        now = asyncio.get_running_loop().time()
        free_at = max(now, free_at) + len(data) / bandwidth
        await asyncio.sleep(free_at - now)
        headers = {"ETag": _etag(files[key]), "Last-Modified": "Sat, 28 Nov 2026 09:00:00 GMT"}
        part = request.headers.get("Range")
        if part is None:
            return web.Response(body=data, headers=headers)
        first, _, last = part.removeprefix("bytes=").partition("-")
        start, stop = int(first), min(int(last) + 1, len(data))
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
        return web.Response(status=206, body=data[start:stop], headers=headers)

    async def serve() -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()

    asyncio.run(serve())


def _listing(keys: list[str], files: dict[str, Path], query: Mapping[str, str]) -> web.Response:
    prefix = query.get("prefix", "")
    after = query.get("continuation-token", query.get("start-after", ""))
    start = max(bisect_left(keys, prefix), bisect_right(keys, after))
    # The last character of all ends what begins with the prefix.
    stop = bisect_left(keys, prefix + chr(sys.maxunicode))
    shown = keys[start : min(stop, start + _MOST)]
    contents = "".join(
        f"<Contents><Key>{escape(key)}</Key><Size>{files[key].stat().st_size}</Size><ETag>{_etag(files[key])}</ETag>"
        "<LastModified>2026-11-28T09:00:00.000Z</LastModified></Contents>"
        for key in shown
    )
    more = start + _MOST < stop
    token = f"<NextContinuationToken>{escape(shown[-1])}</NextContinuationToken>" if more else ""
    text = (
        f"<ListBucketResult><Name>bucket</Name><IsTruncated>{str(more).lower()}</IsTruncated>{token}{contents}"
        "</ListBucketResult>"
    )
    return web.Response(text=text, content_type="application/xml")


def _etag(file: Path) -> str:
    stat = file.stat()
    return f'"{hashlib.md5(f"{stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()}"'


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))
