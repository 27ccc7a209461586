"""Small zip and tar files of many kinds as a start for the fuzzer: `python3 containers.py FOLDER zip|tar`."""

from __future__ import annotations

import bz2
import gzip
import io
import sys
import tarfile
import zipfile
from pathlib import Path

FILES = {
    "a.dcm": b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100",
    "b/c.png": b"\x89PNG\r\n\x1a\n",
    "d/": b"",
    "e": b"x" * 3000,
}


def zips() -> dict[str, bytes]:
    """One for each method, one with sizes of 64 bits, one with data descriptors, one in another."""
    found = {}
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as container:
            for name, content in FILES.items():
                container.writestr(name, content)
        found[f"{method}"] = buffer.getvalue()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as container, container.open("64", "w", force_zip64=True) as file:
        file.write(b"64")
    found["64"] = buffer.getvalue()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as container:
        container.writestr("inner.zip", found["8"])
    found["inner"] = buffer.getvalue()
    return found


def tars() -> dict[str, bytes]:
    """One for each form, with long names, links and folders; plain and packed."""
    found = {}
    for name, form in (("ustar", tarfile.USTAR_FORMAT), ("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT)):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
            for path, content in FILES.items():
                member = tarfile.TarInfo(path if form == tarfile.USTAR_FORMAT else f"{'long/' * 30}{path}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
            link = tarfile.TarInfo("link")
            link.type, link.linkname = tarfile.SYMTYPE, "a.dcm"
            tar.addfile(link)
        found[name] = buffer.getvalue()
        found[f"{name}.gz"] = gzip.compress(buffer.getvalue())
    found["other"] = bz2.compress(found["gnu"])
    return found


if __name__ == "__main__":
    for name, content in {"zip": zips, "tar": tars}[sys.argv[2]]().items():
        (Path(sys.argv[1]) / f"seed-{name}").write_bytes(content)
