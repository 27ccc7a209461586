"""Slices of DICOM files that the Rust reader does not support, read by pydicom and the decoders that it finds.

pydicom runs in a process of its own, with a limit of memory (on Linux) and of time: whatever a file does to it is
that file's refusal. Only what is not *implemented* in Rust comes here, never what Rust found *broken*: other
decoders make pictures of damaged streams without a word.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt

from ctprune.errors import SourceError
from ctprune.files.members import opens, read_bytes
from ctprune.manifest.boundary import ForeignSlice

_COMMAND = [sys.executable, "-m", "ctprune.reading.pydicom_worker"]

#: Seconds that pydicom has for a file, and for each MiB of it, within the longest.
_SECONDS, _SECONDS_PER_MIB, _LONGEST = 60.0, 1.0, 600.0

#: A line of the worker's: the texts of a header may be long.
_MAX_LINE = 1 << 24

#: Seconds between looks at whether the user wants to stop.
_LOOK = 0.2

_CRASHED, _TOO_SLOW = "E-PYDICOM-CRASH", "E-PYDICOM-TIME"

#: Sentence and code for what the process says; where it adds nothing, the code of the Rust reader stays.
_REASONS: dict[str, tuple[str, str | None]] = {
    "pydicom": ("pydicom cannot read it either", None),
    "memory": ("pydicom needs more memory than allowed", "E-PYDICOM-MEMORY"),
}

_NO_SOUND_ANSWER = "pydicom's process gave no valid answer"

#: What reading a header may take, as a slice's limit is counted.
_HEADER_MB = 256

#: A line of the process, and the bytes behind it.
Answer: TypeAlias = tuple[dict[str, Any], bytes]

#: Stored values, slope and intercept.
Pixels: TypeAlias = tuple[npt.NDArray[Any], float, float]


class PydicomRefusal(Exception):
    """Why pydicom gave no slices, in a few words that are the same for many files.

    Attributes:
        code: Its code, in place of the Rust reader's; None where that one says more.
    """

    def __init__(self, reason: str, code: str | None = None) -> None:
        super().__init__(reason)
        self.code = code


def read_slices(
    path: str | os.PathLike[str],
    *,
    modality: str,
    max_slice_mb: int,
    frames: Sequence[int] | None = None,
    content: bytes | None = None,
) -> Iterator[ForeignSlice]:
    """Slices of one file in the form that `_core.Archive.add_foreign` takes.

    Args:
        path: The file, or the address of a member of a container or of an object elsewhere.
        modality: DICOM Modality to read; `any` reads all.
        max_slice_mb: Limit for one decoded slice in MiB; the process may have three times as much.
        frames: Only these, from 0; None reads all.
        content: The file's bytes, where they are in memory already.

    Raises:
        PydicomRefusal: pydicom cannot read the file, or the process that tried has been ended.
    """
    request = {
        "path": os.fspath(path),
        "modality": modality,
        "max_slice_mb": max_slice_mb,
        "frames": None if frames is None else [int(frame) for frame in frames],
    }
    limit = max_slice_mb << 20
    content = _content_of(path, content, max_slice_mb)
    with _LOCK:
        for header, pixels in _SHARED.ask(request, _seconds_for(path, content), content):
            yield _slice(header, pixels, limit)


def read_slice(path: str | os.PathLike[str], frame: int, *, modality: str, max_slice_mb: int) -> Pixels:
    """Pixels, slope and intercept of one frame of a file, see `read_slices`.

    Raises:
        PydicomRefusal: pydicom cannot read the file, or the process that tried has been ended.
    """
    # To the end, so that the process is ready for the next file.
    slices = list(read_slices(path, modality=modality, max_slice_mb=max_slice_mb, frames=[frame]))
    if not slices:
        raise PydicomRefusal("pydicom finds no such frame")
    return slices[0][1:]


def read_attributes(
    path: str | os.PathLike[str], names: Sequence[str], *, content: bytes | None = None
) -> dict[str, str]:
    """Attributes of a DICOM file's header as text, by keyword; empty where the file has none.

    A file that is not DICOM has none of them. No value may be printed: names and ids of patients are among them.
    With `content` the file's bytes are in memory already.

    Raises:
        PydicomRefusal: pydicom cannot read the file, or the process that tried has been ended.
    """
    request = {"path": os.fspath(path), "attributes": list(names), "max_slice_mb": _HEADER_MB}
    content = _content_of(path, content, _HEADER_MB)
    with _LOCK:
        answers = list(_SHARED.ask(request, _seconds_for(path, content), content))
    try:
        return {name: str(answers[0][0]["attributes"][name]) for name in names}
    except (KeyError, TypeError, IndexError):
        raise PydicomRefusal(_NO_SOUND_ANSWER, _CRASHED) from None


def _content_of(path: str | os.PathLike[str], content: bytes | None, max_slice_mb: int) -> bytes | None:
    """The bytes of what the process cannot open: a member of a container, an object elsewhere; None for a file."""
    if content is not None or opens(path):
        return content
    try:
        return read_bytes(path, max_slice_mb=max_slice_mb)
    except SourceError:
        raise PydicomRefusal("the file cannot be read again") from None


def _seconds_for(path: str | os.PathLike[str], content: bytes | None) -> float:
    try:
        size = os.path.getsize(path) if content is None else len(content)
    except OSError:
        size = 0
    return min(_SECONDS + _SECONDS_PER_MIB * size / (1 << 20), _LONGEST)


class _Worker:
    """The process, started when it is first asked and again after it was ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._pump: threading.Thread | None = None
        self._answers: queue.Queue[Answer | None] = queue.Queue(1)

    def ask(self, request: dict[str, Any], seconds: float, content: bytes | None) -> Iterator[Answer]:
        """What it answers, each part as soon as it is there; `content` is the file where that is in memory."""
        if content is not None:
            request = request | {"bytes": len(content)}
        process = self._running()
        end = time.monotonic() + seconds
        answered = False
        try:
            with contextlib.suppress(OSError):
                # Where the process is gone, the answer says so.
                self._input(process).write(json.dumps(request).encode() + b"\n")
                self._input(process).write(content or b"")
                self._input(process).flush()
            while True:
                header, pixels = self._next(process, end, seconds)
                if "refused" in header:
                    answered = True
                    break
                if not header:
                    raise PydicomRefusal(_NO_SOUND_ANSWER, _CRASHED)
                yield header, pixels
        finally:
            if not answered:
                self.end()
        if header["refused"] is not None:
            raise PydicomRefusal(*_REASONS.get(header["refused"], _REASONS["pydicom"]))

    def is_running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None and self._process.poll() is None

    def end(self) -> None:
        """Kill the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            # The thread that reads may wait for room; it ends with the pipe.
            while self._pump is not None and self._pump.is_alive():
                with contextlib.suppress(queue.Empty):
                    self._answers.get(timeout=0.01)
            if process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or not self.is_running():
            self.end()
            self._answers = queue.Queue(1)
            try:
                self._process = subprocess.Popen(
                    _COMMAND,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                )
            except OSError:
                raise PydicomRefusal("pydicom's process cannot be started", _CRASHED) from None
            output = self._process.stdout
            self._pump = threading.Thread(target=_pump, args=(output, self._answers), daemon=True)
            self._pump.start()
        return self._process

    def _input(self, process: subprocess.Popen[bytes]) -> BinaryIO:
        if process.stdin is None:
            raise OSError("no pipe")
        return process.stdin  # type: ignore[return-value]

    def _next(self, process: subprocess.Popen[bytes], end: float, seconds: float) -> tuple[dict[str, Any], bytes]:
        while True:
            try:
                answer = self._answers.get(timeout=_LOOK)
            except queue.Empty:
                if time.monotonic() > end:
                    raise PydicomRefusal(f"pydicom took longer than {seconds:.0f} s", _TOO_SLOW) from None
                continue
            if answer is None:
                code = process.wait()
                how = f"signal {-code}" if code < 0 else f"exit code {code}"
                raise PydicomRefusal(f"pydicom's process crashed ({how})", _CRASHED)
            if time.monotonic() > end:
                raise PydicomRefusal(f"pydicom took longer than {seconds:.0f} s", _TOO_SLOW)
            return answer


def _pump(output: Any, answers: queue.Queue[Answer | None]) -> None:
    """Hand over each answer of the process, then None; an empty one where it makes no sense."""
    try:
        with output:
            while line := output.readline(_MAX_LINE):
                header = json.loads(line)
                size = 0
                if "slice" in header:
                    rows, columns = header["shape"]
                    size = rows * columns * np.dtype(header["dtype"]).itemsize
                answers.put((header, output.read(size)))
    except (KeyError, TypeError, ValueError, MemoryError):
        answers.put(({}, b""))
    except OSError:
        pass
    answers.put(None)


def _slice(header: dict[str, Any], pixels: bytes, max_slice_bytes: int) -> ForeignSlice:
    try:
        rows, columns = header["shape"]
        # 64-bit values where a table or the file had fewer: eight times a slice of bytes at the most.
        if not 0 < rows * columns <= max_slice_bytes or len(pixels) > 8 * max_slice_bytes:
            raise PydicomRefusal(_NO_SOUND_ANSWER, _CRASHED)
        array = np.frombuffer(pixels, np.dtype(header["dtype"])).reshape(rows, columns)
        native = array.astype(array.dtype.newbyteorder("="), copy=False)
        return header["slice"], native, float(header["slope"]), float(header["intercept"])
    except (KeyError, TypeError, ValueError, OverflowError):
        raise PydicomRefusal(_NO_SOUND_ANSWER, _CRASHED) from None


_LOCK = threading.Lock()

#: The one process for all callers.
_SHARED = _Worker()


def is_running() -> bool:
    """Whether there is a process that runs pydicom now."""
    return _SHARED.is_running()


def end() -> None:
    """End the process that runs pydicom; the next file starts another."""
    _SHARED.end()


def _begin_anew() -> None:
    """After a fork, the process and the lock are the parent's."""
    global _LOCK, _SHARED
    _LOCK, _SHARED = threading.Lock(), _Worker()


atexit.register(end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
