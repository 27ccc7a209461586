"""The rivals at decoding: each takes a path and returns the pixels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dicomsdl
import gdcm
import numpy as np
import numpy.typing as npt
import pydicom
import SimpleITK
from pydicom.encaps import get_frame
from pydicom.pixels import get_decoder, pixel_array

from benches.codecs import Syntax

Pixels = npt.NDArray[Any]


@dataclass(frozen=True)
class Decoder:
    name: str
    decode: Callable[[Path], Pixels]
    note: str = ""


def decoders(syntax: Syntax, example: Path, threads: int) -> Iterator[Decoder]:
    """All tools, whether or not they can read this syntax."""
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    yield _pydicom(syntax, example)
    if syntax.decode is not None:
        yield Decoder("pydicom's frame, imagecodecs", _imagecodecs(syntax.decode))
    yield Decoder("dicomsdl", lambda path: dicomsdl.open(str(path)).pixelData(storedvalue=True))
    yield Decoder("SimpleITK", _simpleitk, "HU")
    yield Decoder("GDCM", _gdcm)


def _pydicom(syntax: Syntax, example: Path) -> Decoder:
    """pydicom with the fastest plugin that is installed for this syntax."""
    try:
        plugins = get_decoder(pydicom.uid.UID(syntax.uid)).available_plugins
    except NotImplementedError:
        plugins = ()

    def decode_with(plugin: str) -> Callable[[Path], Pixels]:
        return lambda path: pixel_array(pydicom.dcmread(path), decoding_plugin=plugin)

    def seconds(plugin: str) -> float:
        times = []
        for _ in range(3):
            start = time.perf_counter()
            decode_with(plugin)(example)
            times.append(time.perf_counter() - start)
        return min(times)

    if not plugins:
        return Decoder("pydicom", lambda path: pydicom.dcmread(path).pixel_array)
    best = min(plugins, key=seconds)
    return Decoder("pydicom", decode_with(best), f"plugin {best}, the fastest of {', '.join(plugins)}")


def _imagecodecs(decode: Callable[[bytes], Pixels]) -> Callable[[Path], Pixels]:
    def pixels(path: Path) -> Pixels:
        ds = pydicom.dcmread(path)
        found = decode(get_frame(ds.PixelData, 0, number_of_frames=1))
        return found.reshape(ds.Rows, ds.Columns)

    return pixels


def _simpleitk(path: Path) -> Pixels:
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path), imageIO="GDCMImageIO"))[0]


def _gdcm(path: Path) -> Pixels:
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    if not reader.Read():
        raise ValueError("GDCM cannot read the file")
    image = reader.GetImage()
    # The binding returns bytes as text.
    data = image.GetBuffer().encode("utf-8", "surrogateescape")
    return np.frombuffer(data, "<u2").reshape(image.GetDimension(1), image.GetDimension(0))
