"""Slices that pydicom read, decoded again for the Rust core while it works on those that it reads itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ctprune import _core
from ctprune.files.members import container_of, visit_bytes

if TYPE_CHECKING:
    from ctprune.reading.pydicom_reader import Pixels

#: Bytes of files that one pass over a container keeps, or one file.
_KEPT_BYTES = 256 << 20


class _Enough(Exception):
    """A pass has what it was made for."""


class ForeignDecoder:
    """What the core calls for slices that only pydicom decodes.

    Of a container that can only be read from its start, one pass takes all files that are wanted of it, as far as
    memory allows: the core asks for one after the other.

    Args:
        modality: DICOM Modality to read; `any` reads all.
        max_slice_mb: Limit for one decoded slice in MiB.
        wanted: Gives the files that may be asked for; called when the first one is in such a container.
    """

    def __init__(self, *, modality: str, max_slice_mb: int, wanted: Callable[[], Iterable[str]]) -> None:
        self._modality, self._max_slice_mb = modality, max_slice_mb
        self._wanted = wanted
        self._by_container: dict[str, list[str]] | None = None
        self._kept: dict[str, bytes] = {}
        self._given: set[str] = set()
        #: Passes that were made.
        self.passes = 0

    def __call__(self, path: str | os.PathLike[str], frames: list[int]) -> list[Pixels]:
        """Pixels, slope and intercept of these frames of a file, ascending; fewer when pydicom cannot go on."""
        # Not before there is a file for it: pydicom is slow to load.
        from ctprune.reading.pydicom_reader import PydicomRefusal, read_slices

        limits: dict[str, Any] = {"modality": self._modality, "max_slice_mb": self._max_slice_mb}
        found: list[Pixels] = []
        # A slice that is missing gets its reason where the pixels are looked for.
        with suppress(PydicomRefusal):
            content = self._content(os.fspath(path))
            for slice_ in read_slices(path, frames=frames, content=content, **limits):
                found.append(slice_[1:])
        return found

    def _content(self, path: str) -> bytes | None:
        """The bytes of a file that a pass over its container has to give."""
        container = container_of(path)
        if container is None or not _core.is_packed(path):
            return None
        if path not in self._kept:
            self._pass(container, path)
        self._given.add(path)
        # It is asked for once.
        return self._kept.pop(path, None)

    def _pass(self, container: str, path: str) -> None:
        if self._by_container is None:
            self._by_container = {}
            for file in self._wanted():
                of = container_of(file)
                if of is not None:
                    self._by_container.setdefault(of, []).append(file)
        others = [file for file in self._by_container.get(container, ()) if file not in self._given]
        files = list(dict.fromkeys([path, *others]))
        kept: dict[str, bytes] = {}
        room = _KEPT_BYTES

        def take(index: int, content: bytes | str) -> None:
            nonlocal room
            if isinstance(content, bytes) and (room >= len(content) or files[index] == path):
                kept[files[index]] = content
                room -= len(content)
            if room <= 0 and path in kept:
                raise _Enough

        self.passes += 1
        self._kept = kept
        with suppress(_Enough):
            visit_bytes(files, take, max_slice_mb=self._max_slice_mb)
