"""Read only the beginning of objects where that saves bytes: of those that are refused for their header."""

from __future__ import annotations

import threading
from collections.abc import Callable

#: Objects below are read at once: a second request would cost more than it saves.
_SMALL = 256 << 10

#: Of objects above, the beginning is always read first: the second request costs little beside the rest.
_LARGE = 8 << 20

#: The share of folders full of refused objects from which on it pays to look first into a folder that nothing is
#: known of.
_WORTH_IT = 0.05


class HeaderFirst:
    """What the objects of each folder were so far: an archive's series stand in folders, each of one modality.

    Args:
        decides: Called with an object's first bytes: whether they are enough to refuse it.
    """

    def __init__(self, decides: Callable[[bytes], bool]) -> None:
        self._decides = decides
        self._lock = threading.Lock()
        #: Whether the last object of a folder was refused for its header.
        self._refused: dict[str, bool] = {}
        self._folders_refused = 0
        #: Bytes that were not read.
        self.bytes_saved = 0

    def deciding(self, path: str, size: int) -> Callable[[bytes], bool] | None:
        """What to ask after the first bytes of an object; None where it is to be read at once."""
        folder = path.rpartition("/")[0]

        def decides(head: bytes) -> bool:
            refused = self._decides(head)
            self._note(folder, refused, size - len(head) if refused else 0)
            return refused

        return decides if size > _LARGE or (size > _SMALL and self._is_worth_it(folder)) else None

    def learn(self, path: str, data: bytes) -> None:
        """Note what an object was that was read at once, if nothing is known of its folder."""
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
