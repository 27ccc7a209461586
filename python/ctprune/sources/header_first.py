"""Read only the beginning of objects that will be refused for their header, where that saves bytes."""

from __future__ import annotations

import threading
from collections.abc import Callable

#: Smaller objects are read as a whole: a second request would cost more than it saves.
_SMALL = 256 << 10

#: Of larger objects, the beginning is always read first: the second request costs little compared with the rest.
_LARGE = 8 << 20

#: If at least this share of the folders holds refused objects, unknown folders are read header first, too.
_WORTH_IT = 0.05


class HeaderFirst:
    """Remembers by folder whether objects were refused: folders of an archive usually hold one modality each.

    Args:
        decides: Called with an object's first bytes; returns whether they are enough to refuse it.
    """

    def __init__(self, decides: Callable[[bytes], bool]) -> None:
        self._decides = decides
        self._lock = threading.Lock()
        #: Whether the last object of a folder was refused for its header.
        self._refused: dict[str, bool] = {}
        self._folders_refused = 0
        #: Number of bytes that were not read.
        self.bytes_saved = 0

    def deciding(self, path: str, size: int) -> Callable[[bytes], bool] | None:
        """What to call with the first bytes of an object; None if it should be read as a whole."""
        folder = path.rpartition("/")[0]

        def decides(head: bytes) -> bool:
            refused = self._decides(head)
            self._note(folder, refused, size - len(head) if refused else 0)
            return refused

        return decides if size > _LARGE or (size > _SMALL and self._is_worth_it(folder)) else None

    def learn(self, path: str, data: bytes) -> None:
        """Note the outcome for an object that was read as a whole, if nothing is known of its folder."""
        folder = path.rpartition("/")[0]
        if folder not in self._refused:
            self._note(folder, self._decides(data[: 64 << 10]), 0)

    def _is_worth_it(self, folder: str) -> bool:
        known = self._refused.get(folder)
        if known is not None:
            return known
        folders = len(self._refused)
        return folders > 0 and self._folders_refused >= _WORTH_IT * folders

    def _note(self, folder: str, refused: bool, saved: int) -> None:
        with self._lock:
            before = self._refused.get(folder, False)
            self._refused[folder] = refused
            self._folders_refused += int(refused) - int(before)
            self.bytes_saved += saved
