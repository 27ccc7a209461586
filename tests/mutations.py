"""Damaged DICOM files: what goes wrong on disks and in networks, and what someone would write on purpose."""

from __future__ import annotations

import random
import re
import struct
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pydicom.data

#: Files beyond this only make the runs slow.
_MAX_SEED_BYTES = 60_000

_NUMBERS = (0, 1, 2, 3, 7, 8, 12, 16, 24, 32, 64, 255, 4096, 40_000, 65_535)

_LENGTHS = (0, 1, 2, 3, 100, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFE, 0xFFFF_FFFF)

#: Rows, Columns, Samples per Pixel, Bits Allocated, Bits Stored, High Bit, Pixel Representation, and Planar
#: Configuration.
_SHORTS = (0x10, 0x11, 0x02, 0x100, 0x101, 0x102, 0x103, 0x06)

_SYNTAXES = tuple(
    f"1.2.840.10008.1.2{ending}".encode()
    for ending in (
        *("", ".1", ".1.99", ".2", ".5", ".4.50", ".4.51", ".4.57", ".4.70", ".4.80", ".4.81", ".4.90", ".4.91"),
        *(".4.100", ".4.102", ".4.110", ".4.201", ".4.202", ".4.203"),
    )
)

_INSERTED = (
    b"\x28\0\x52\x10DS\x04\0nan ",
    b"\x28\0\x53\x10DS\x02\x000 ",
    b"\x28\0\x53\x10DS\x06\x001e999 ",
    b"\x28\0\x30\0DS\x06\x001\\2\\3 ",
    b"\x20\0\x32\0DS\x04\x001\\2 ",
    b"\x20\0\x13\0IS\x14\x0099999999999999999999",
    b"\x28\0\x08\0IS\x0a\x002147483647",
    b"\x08\0\x70\0LO\x06\0\xed\xa0\x80\xf0\x28\x8c",
    # A Modality LUT Sequence with an empty item: left to pydicom.
    b"\x28\0\x00\x30SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0",
)

_NESTED = b"\x08\0\x15\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff"


def seeds() -> list[bytes]:
    """The files that pydicom brings along, many syntaxes, modalities and oddities, and some for the fallback."""
    folder = Path(pydicom.data.__file__).parent / "test_files"
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    found = [file.read_bytes() for file in files if 100 < file.stat().st_size < _MAX_SEED_BYTES]
    with tempfile.TemporaryDirectory() as scratch:
        tables = with_modality_lut(folder / "CT_small.dcm", Path(scratch, "lut.dcm")).read_bytes()
    return found + [tables] * (len(found) // 10)


def with_modality_lut(file: Path, target: Path, **changes: object) -> Path:
    """A slice that Rust leaves to pydicom, with some attributes changed."""
    dataset = pydicom.dcmread(file)
    stored = dataset.pixel_array.astype(np.int32)
    table = np.arange(int(stored.max() - stored.min()) + 1, dtype=np.uint16)
    lut = pydicom.Dataset()
    # The descriptor's first stored value is signed like the pixels.
    kind = "SS" if dataset.PixelRepresentation else "US"
    lut.add_new("LUTDescriptor", kind, [len(table), int(stored.min()), 16])
    lut.ModalityLUTType = "HU"
    lut.add_new("LUTData", "OW", table.tobytes())
    dataset.ModalityLUTSequence = [lut]
    del dataset.RescaleSlope, dataset.RescaleIntercept
    for name, value in changes.items():
        setattr(dataset, name, value)
    dataset.save_as(target)
    return target


def mutant(chance: random.Random, of: list[bytes]) -> bytes:
    """One of the files with one to three things done to it."""
    data = bytearray(chance.choice(of))
    deflated = _dataset_of_deflated(data)
    if deflated is not None and chance.random() < 0.7:
        data, head = bytearray(deflated), bytes(data[: _dataset_start(data)])
    else:
        head = b""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        chance.choice(_OPERATIONS)(data, chance, of)
    if head:
        deflate = zlib.compressobj(wbits=-15)
        data = bytearray(head + deflate.compress(bytes(data)) + deflate.flush())
        if chance.random() < 0.2:
            del data[chance.randrange(len(data)) :]
    return bytes(data)


def _dataset_start(data: bytes) -> int:
    """Behind the file meta information of a file with a group length."""
    return 144 + struct.unpack_from("<I", data, 140)[0] if data[132:140] == b"\x02\0\0\0UL\x04\0" else len(data)


def _dataset_of_deflated(data: bytes) -> bytes | None:
    if b"1.2.840.10008.1.2.1.99" not in data[:1000]:
        return None
    try:
        return zlib.decompress(data[_dataset_start(data) :], -15)
    except zlib.error:
        return None


def _flip(data: bytearray, chance: random.Random, _: list[bytes]) -> None:
    for _ in range(chance.choice((1, 1, 2, 5, 20, 200)) if data else 0):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _overwrite_header(data: bytearray, chance: random.Random, _: list[bytes]) -> None:
    for _ in range(chance.choice((1, 1, 2, 4, 10)) if data else 0):
        data[chance.randrange(min(len(data), 4096))] = chance.choice(
            (0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256))
        )


def _truncate(data: bytearray, chance: random.Random, _: list[bytes]) -> None:
    del data[chance.randrange(len(data) + 1) :]


def _delete(data: bytearray, chance: random.Random, _: list[bytes]) -> None:
    start = chance.randrange(len(data) + 1)
    del data[start : start + chance.choice((1, 2, 8, 100, 5000))]


def _repeat(data: bytearray, chance: random.Random, _: list[bytes]) -> None:
    start = chance.randrange(len(data) + 1)
    data[start:start] = data[start : start + chance.choice((1, 2, 8, 100, 5000))] * chance.choice((1, 1, 3))


def _fill(data: bytearray, chance: random.Random, _: list[bytes]) -> None:
    start = chance.randrange(len(data) + 1)
    length = min(chance.choice((1, 2, 4, 8, 64, 1000)), len(data) - start)
    data[start : start + length] = chance.choice((b"\0", b"\xff")) * length


def _splice(data: bytearray, chance: random.Random, of: list[bytes]) -> None:
    other = chance.choice(of)
    start = chance.randrange(len(other))
    data[chance.randrange(len(data) + 1) :] = other[start : start + max(100, len(data))]


def _length(data: bytearray, chance: random.Random, _: list[bytes]) -> None:
    """The length of what looks like an element, short or long, or of an item."""
    found = [match.end() for match in re.finditer(rb"..(?:UI|DS|IS|US|CS|LO|FD)", data[:65536], re.DOTALL)]
    found += [match.end() for match in re.finditer(rb"(?:OB|OW|SQ|UN)\0\0|\xfe\xff\0\xe0", data)]
    if found:
        at = chance.choice(found)
        size = 2 if bytes(data[at - 2 : at]).isalpha() else 4
        value = chance.choice((*_LENGTHS, chance.randrange(1 << 16))) & ((1 << 8 * size) - 1)
        data[at : at + size] = value.to_bytes(size, "little")


def _short(data: bytearray, chance: random.Random, _: list[bytes]) -> None:
    """A number that describes the pixels, or the length of its value."""
    element = struct.pack("<HH", 0x28, chance.choice(_SHORTS)) + b"US"
    at = data.find(element)
    if at >= 0 and at + 10 <= len(data):
        offset, values = (at + 6, (0, 1, 3, 4)) if chance.random() < 0.2 else (at + 8, _NUMBERS)
        struct.pack_into("<H", data, offset, chance.choice(values))


def _syntax(data: bytearray, chance: random.Random, _: list[bytes]) -> None:
    at = data.find(b"\x02\0\x10\0UI")
    if at >= 0 and at + 8 <= len(data):
        length = struct.unpack_from("<H", data, at + 6)[0]
        syntax = chance.choice(_SYNTAXES)
        # Of the length that was there, so that nothing behind it moves.
        data[at + 8 : at + 8 + length] = syntax[:length].ljust(length, b"\0")


def _pixel_length(data: bytearray, chance: random.Random, _: list[bytes]) -> None:
    at = data.find(b"\xe0\x7f\x10\0")
    if at >= 0:
        offset = at + (8 if bytes(data[at + 4 : at + 6]) in (b"OB", b"OW") else 4)
        data[offset : offset + 4] = struct.pack("<I", chance.choice(_LENGTHS))


def _insert(data: bytearray, chance: random.Random, _: list[bytes]) -> None:
    at = data.find(b"\x28\0\x10\0")
    if at > 0:
        data[at:at] = chance.choice((*_INSERTED, _NESTED * chance.choice((5, 100, 10_000))))


_Operation = Callable[[bytearray, random.Random, list[bytes]], None]

_OPERATIONS: tuple[_Operation, ...] = (
    *(_flip, _overwrite_header, _truncate, _delete, _repeat, _fill, _splice, _pixel_length, _syntax),
    # What decides what a decoder is asked for, more often.
    *(_length, _length, _short, _short, _short, _insert, _insert),
)
