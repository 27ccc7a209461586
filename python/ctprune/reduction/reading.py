"""The stage `reading`: files in portions, then with pydicom those that only its decoders may read."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ctprune import _core
from ctprune.environment.log import Log
from ctprune.errors import UnreadableError
from ctprune.files.members import each_content
from ctprune.manifest.parts import Parts
from ctprune.reading.reasons import shown_reason
from ctprune.reduction.config import ReduceConfig
from ctprune.reduction.failing import stop_if_too_many_failed
from ctprune.sources.addresses import as_address

if TYPE_CHECKING:
    from ctprune.reduction.elsewhere import Fetching

#: Seconds per portion: between portions, progress is drawn and Ctrl-C is handled.
PORTION = 0.2

_log = Log("ctprune.reduction")


class Reading:
    """Reads the files that were found in an archive.

    Args:
        archive: The archive; its files are found.
        config: Limits, and the conditions that end the run.
        parts: Saves rows; None if nothing is saved.
        fetching: Reads from servers; None if all sources are local.
        report: Called when there may be something new to show.
    """

    def __init__(
        self,
        archive: _core.Archive,
        config: ReduceConfig,
        parts: Parts | None,
        fetching: Fetching | None,
        report: Callable[[], None],
    ) -> None:
        self._archive = archive
        self._config = config
        self._parts = parts
        self._fetching = fetching
        self._report = report

    def read(self) -> None:
        """Read every file that no earlier run has read.

        Raises:
            UnreadableError: A file, or too many files, could not be read, and `fail_first` or `max_failed` ends
                the run.
        """
        if self._archive.progress()["files_to_read"]:
            self._report()
        _log.debug("reading with %d threads", self._config.threads or os.cpu_count() or 1)
        if self._fetching is not None:
            for _ in self._fetching.read():
                self._after_portion()
        while self._archive.read(PORTION):
            self._after_portion()
        self._after_portion()
        self._retry_with_pydicom()

    def stop_if_too_many_failed(self, *, at_end: bool = True) -> None:
        """Raise UnreadableError if more files have failed than `max_failed` allows."""
        saved = self._parts is not None
        stop_if_too_many_failed(self._archive, self._config.max_failed, at_end=at_end, saved=saved)

    def _after_portion(self) -> None:
        if self._parts is not None:
            self._parts.save_now_and_then()
        if self._archive.progress()["files_to_read"]:
            self._report()
        if self._config.fail_first and self._archive.first_failure() is not None:
            self._retry_with_pydicom()
            self._stop_at_failure()
        self.stop_if_too_many_failed(at_end=False)

    def _stop_at_failure(self) -> None:
        failure = self._archive.first_failure()
        if failure is not None:
            path, code, reason = failure
            raise UnreadableError(f"{as_address(path) or path}: {shown_reason(reason)} ({code})")

    def _retry_with_pydicom(self) -> None:
        """Try files that Rust cannot decode with pydicom's decoders, if any are installed."""
        unsupported = self._archive.unsupported()
        if not unsupported:
            return
        from ctprune.reading.pydicom_reader import PydicomRefusal, read_slices

        config = self._config
        limits: dict[str, Any] = {"modality": config.modality, "max_slice_mb": config.max_slice_mb}

        def retry(number: int, content: bytes | None) -> None:
            file, path = unsupported[number]
            refused = code = None
            try:
                for slice_ in read_slices(path, content=content, **limits):
                    self._archive.add_foreign(file, *slice_)
            except PydicomRefusal as refusal:
                refused, code = str(refusal), refusal.code
            self._archive.end_foreign(file, refused, code)
            if self._parts is not None:
                self._parts.save_now_and_then()
            self._report()

        paths = [as_address(path) or str(path) for _, path in unsupported]
        each_content(paths, retry, max_slice_mb=config.max_slice_mb)
