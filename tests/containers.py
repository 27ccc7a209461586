"""Zip and tar files of the tests."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path
from typing import IO

import pyarrow as pa

#: Endings of the kinds of container that hold the same files.
KINDS = ("stored.zip", "deflated.zip", "tar", "tar.gz", "tar.zst")

Files = dict[str, bytes]


def files_of(folder: Path) -> Files:
    """All files of a folder by their names in a container."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def write_container(path: Path, files: Files) -> Path:
    """A container of the kind that its ending names; a name that ends in `/` is a folder."""
    if path.suffix == ".zip":
        method = zipfile.ZIP_STORED if path.name.endswith("stored.zip") else zipfile.ZIP_DEFLATED
        write_zip(path, files, method)
    elif path.name.endswith(".zst"):
        with pa.CompressedOutputStream(str(path), "zstd") as packed:
            write_tar(packed, files)
    elif path.name.endswith("gz"):
        with tarfile.open(path, "w:gz", compresslevel=1) as tar:
            add_all(tar, files)
    else:
        with path.open("wb") as file:
            write_tar(file, files)
    return path


def write_zip(path: Path, files: Files, method: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", method, compresslevel=1) as container:
        for name, content in files.items():
            container.writestr(zipfile.ZipInfo(name), content, compress_type=method)


def write_tar(to: IO[bytes], files: Files) -> None:
    with tarfile.open(fileobj=to, mode="w|") as tar:
        add_all(tar, files)


def add_all(tar: tarfile.TarFile, files: Files) -> None:
    import io

    for name, content in files.items():
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
