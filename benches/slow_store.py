"""A server of S3 for a folder, from memory, which answers after a delay.

Run as `python -m benches.slow_store FOLDER SECONDS BYTES_PER_SECOND`; it
prints its port.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from pathlib import Path
from xml.sax.saxutils import escape

from aiohttp import web

_MOST = 1000


def main(folder: Path, delay: float, bandwidth: float) -> None:
    objects = {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
    etags = {key: f'"{hashlib.md5(data).hexdigest()}"' for key, data in objects.items()}

    free_at = 0.0

    async def answer(request: web.Request) -> web.Response:
        nonlocal free_at
        await asyncio.sleep(delay)
        key = request.path.removeprefix("/bucket").removeprefix("/")
        if not key:
            return _listing(objects, etags, request.query)
        data = objects[key]
        # As through one wire: an answer waits until those before it are through.
        now = asyncio.get_running_loop().time()
        free_at = max(now, free_at) + len(data) / bandwidth
        await asyncio.sleep(free_at - now)
        headers = {"ETag": etags[key], "Last-Modified": "Sat, 28 Nov 2026 09:00:00 GMT"}
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


def _listing(objects: dict[str, bytes], etags: dict[str, str], query: object) -> web.Response:
    prefix = query.get("prefix", "")  # type: ignore[attr-defined]
    after = query.get("continuation-token", query.get("start-after", ""))  # type: ignore[attr-defined]
    keys = [key for key in objects if key.startswith(prefix) and key > after]
    contents = "".join(
        f"<Contents><Key>{escape(key)}</Key><Size>{len(objects[key])}</Size><ETag>{escape(etags[key])}</ETag>"
        "<LastModified>2026-11-28T09:00:00.000Z</LastModified></Contents>"
        for key in keys[:_MOST]
    )
    more = len(keys) > _MOST
    token = f"<NextContinuationToken>{escape(keys[_MOST - 1])}</NextContinuationToken>" if more else ""
    text = (
        f"<ListBucketResult><Name>bucket</Name><IsTruncated>{str(more).lower()}</IsTruncated>{token}{contents}"
        "</ListBucketResult>"
    )
    return web.Response(text=text, content_type="application/xml")


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))
