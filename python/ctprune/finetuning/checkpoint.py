"""The checkpoint of an unfinished training: written at intervals and on Ctrl-C, read to resume."""

from __future__ import annotations

import pickle
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ctprune.errors import WeightsError
from ctprune.networks.weights_file import write_weights

#: Seconds between checkpoints, at least: writing one takes longer than a short epoch.
CHECKPOINT_SECONDS = 20.0

State = dict[str, Any]


class Checkpoint:
    """The file of one training.

    Args:
        file: Where it is written.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._state: State = {}
        self._saved = time.monotonic()

    @contextmanager
    def saved_on_interrupt(self) -> Iterator[None]:
        """A block in which Ctrl-C writes the last state that `keep` was given.

        Raises:
            OutputError: The file cannot be written.
        """
        try:
            yield
        except KeyboardInterrupt:
            self._save()
            raise

    def keep(self, state: State, *, is_last: bool) -> None:
        """Take the state that the next epoch begins with, as copies; write it if the file is old.

        Args:
            state: Plain values and tensors by name.
            is_last: Whether this was the last epoch, so that nothing will read the file.

        Raises:
            OutputError: The file cannot be written.
        """
        self._state = state
        if not is_last and time.monotonic() - self._saved >= CHECKPOINT_SECONDS:
            self._save()

    def restore(self, take: Callable[[State], None]) -> None:
        """Give the state of an earlier session to a function, if there is any.

        Raises:
            WeightsError: The file is damaged, or the function cannot use its state.
        """
        if not self._file.exists():
            return
        try:
            take(torch.load(self._file, map_location="cpu", weights_only=True))
        except (OSError, RuntimeError, KeyError, ValueError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile):
            raise WeightsError(
                f"{self._file}: the checkpoint is damaged: delete it to train this seed again"
            ) from None

    def _save(self) -> None:
        if not self._state:
            return
        write_weights(self._file, lambda beside: torch.save(self._state, beside))
        self._saved = time.monotonic()
