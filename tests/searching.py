"""Search files for words, through what hides them: encodings, compression, archives, tables, pictures."""

from __future__ import annotations

import base64
import gzip
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

#: Nothing is packed deeper.
_DEEPEST = 6

_BASE64 = re.compile(rb"[A-Za-z0-9+/]{40,}={0,2}")


def occurrences(root: Path, words: Iterable[str]) -> list[tuple[str, str]]:
    """File and word for each word that a file, or the files below a folder, hold or are named with."""
    words = list(words)
    files = [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.is_file())
    found = []
    for file in files:
        shown = file.name if file == root else file.relative_to(root).as_posix()
        held = {word for word in words if word.lower() in shown.lower()}
        for content in unpacked(file.read_bytes()):
            held |= words_in(content, words)
        found += [(shown, word) for word in sorted(held)]
    return found


def words_in(content: bytes, words: Iterable[str]) -> set[str]:
    """The words that stand in bytes, in any case, in encodings of one or two bytes a letter, or in base64."""
    lower = content.lower()
    found = set()
    for word in words:
        raw = word.encode()
        forms = [raw.lower(), word.lower().encode("utf-16-le"), raw.hex().encode()]
        # What the alignment leaves of the word; base64 tells cases apart.
        encoded = [base64.b64encode(bytes(shift) + raw)[4 if shift else 0 : -4] for shift in range(3)]
        if any(form in lower for form in forms) or any(part in content for part in encoded if len(part) > 7):
            found.add(word)
    return found


def unpacked(content: bytes, depth: int = 0) -> Iterator[bytes]:
    """The bytes, and those of all that is packed in them."""
    yield content
    if depth == _DEEPEST:
        return
    for part in _parts(content):
        yield from unpacked(part, depth + 1)


def _parts(content: bytes) -> Iterator[bytes]:
    if content.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(content)) as opened:
            for member in opened.infolist():
                yield member.filename.encode() + b" " + member.comment
                yield opened.read(member)
    elif content.startswith(b"PAR1"):
        yield from _table(content)
    elif content.startswith(b"\x89PNG"):
        yield from _chunks(content)
        # As they are seen: in the file each row is filtered.
        with Image.open(io.BytesIO(content)) as opened:
            yield opened.tobytes()
    elif content.startswith(b"\x1f\x8b"):
        yield gzip.decompress(content)
    elif content[:4] == b"RIFF":
        with Image.open(io.BytesIO(content)) as opened:
            yield repr(opened.info).encode()
            yield opened.tobytes()
    elif b"base64" in content or content.lstrip()[:1] in (b"<", b"{"):
        for match in _BASE64.finditer(content):
            try:
                yield base64.b64decode(match[0] + b"=" * (-len(match[0]) % 4), validate=True)
            except ValueError:
                continue


def _table(content: bytes) -> Iterator[bytes]:
    file = pq.ParquetFile(io.BytesIO(content))
    yield repr(file.metadata.metadata).encode()
    yield repr(file.schema_arrow).encode()
    table = file.read()
    for column in table.columns:
        kind = column.type.value_type if pa.types.is_list(column.type) else column.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind):
            yield "\n".join(map(str, column.to_pylist())).encode()
        elif pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind):
            yield b"\n".join(value or b"" for value in column.to_pylist())


def _chunks(content: bytes) -> Iterator[bytes]:
    """The pixels of a PNG, and its texts, decompressed."""
    offset, pixels = 8, b""
    while offset + 8 <= len(content):
        (length,) = struct.unpack_from(">I", content, offset)
        kind, data = content[offset + 4 : offset + 8], content[offset + 8 : offset + 8 + length]
        offset += 12 + length
        if kind == b"IDAT":
            pixels += data
        elif kind in (b"zTXt", b"iTXt", b"iCCP"):
            start = data.find(b"x\x9c")
            if start >= 0:
                yield zlib.decompress(data[start:])
    yield zlib.decompress(pixels)
