"""A secret key in a file of its own: made, read and checked here, and copied nowhere."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from ctprune.errors import ConfigError, OutputError

#: Bytes of a key; a file may hold more.
KEY_BYTES = 32

#: A key is short: what is longer is another file.
_MOST_BYTES = 1 << 16


#: Opens a FIFO without waiting for a writer; Windows has none.
_AT_ONCE = getattr(os, "O_NONBLOCK", 0)


def make_key(file: str | os.PathLike[str]) -> Path:
    """Write 32 random bytes to a new file that only its owner may read.

    Raises:
        OutputError: There is such a file already, or it cannot be written.

    >>> import tempfile
    >>> len(read_key(make_key(Path(tempfile.mkdtemp()) / "key")))
    32
    """
    path = Path(file)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise OutputError(f"{path}: already exists, and no key is overwritten: choose another name") from None
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from None
    import secrets

    with os.fdopen(descriptor, "wb") as opened:
        opened.write(secrets.token_bytes(KEY_BYTES))
        opened.flush()
        os.fsync(opened.fileno())
    return path


def read_key(file: str | os.PathLike[str], *, field: str = "key") -> bytes:
    """The bytes of a key.

    Args:
        file: The file.
        field: The option that names it, for errors.

    Raises:
        ConfigError: There is no such file, others may read it, or it is too short, too long, or not random.
    """
    path = Path(file)
    try:
        # A FIFO would wait for a writer.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | _AT_ONCE)) as opened:
            found = os.fstat(opened.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise ConfigError(f"{field} {path}: expected a file of random bytes, found none", field=field)
            if sys.platform != "win32" and found.st_mode & 0o077:
                raise ConfigError(
                    f"{field} {path}: other users can read it: run 'chmod 600 {path}' first", field=field
                )
            secret = opened.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{field} {path}: no such file: 'ctprune key {path}' makes one", field=field) from None
    except OSError as error:
        raise ConfigError(f"{field} {path}: cannot be read: {error.strerror or error}", field=field) from None
    if len(secret) > _MOST_BYTES:
        raise ConfigError(f"{field} {path}: expected a key of {KEY_BYTES} bytes, found a large file", field=field)
    if len(secret) < KEY_BYTES:
        raise ConfigError(
            f"{field} {path}: expected {KEY_BYTES} random bytes or more, found {len(secret)}", field=field
        )
    if len(set(secret)) < 8:
        raise ConfigError(f"{field} {path}: expected random bytes, found very few different ones", field=field)
    return secret
