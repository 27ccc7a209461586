"""Writing weights, with one sentence where the disk is full."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ctprune.environment.extras import extra
from ctprune.files.atomic import replace_file

with extra("train", "writing weights"):
    from safetensors import SafetensorError


def write_weights(file: Path, write: Callable[[Path], object]) -> None:
    """Write a file of weights beside its place and rename it, whole or not at all.

    Torch and safetensors raise errors of their own where the system refuses to write, and name the file beside.

    Args:
        file: The file; replaced if it is there.
        write: Writes to the path that it is given.

    Raises:
        OutputError: The file cannot be written.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "weights"
    >>> write_weights(file, lambda beside: beside.write_bytes(b"weights"))
    >>> file.read_bytes()
    b'weights'
    """
    with replace_file(file) as beside:
        try:
            write(beside)
        except (SafetensorError, RuntimeError) as error:
            reason = str(error).splitlines()[0].replace(str(beside), file.name)
            # `replace_file` names the file that was wanted.
            raise OSError(f"is the disk full? {reason}") from None
