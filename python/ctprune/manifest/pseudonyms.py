"""The files behind a manifest's pseudonyms, for whoever has the key and the sources.

Rows keep their pseudonyms in every stage, so that no output of a stage can hold a name. A pseudonym is resolved
only to open a file. Environment variables name the key and the sources, so that the processes that a command
starts have them, too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from ctprune import _core
from ctprune.errors import ConfigError, ManifestError
from ctprune.files.key_file import read_key
from ctprune.sources.addresses import as_address, parse_address

#: The source of a row with pseudonyms begins with this; the key's fingerprint follows.
PREFIX = "pseudonym:"

#: Environment variables: the key's file, and folders or files separated as in PATH.
KEY, SOURCES = "CTPRUNE_KEY", "CTPRUNE_SOURCES"

_NOT_NAMED = (
    "the manifest has pseudonyms in place of names: give its key and its source with `key` and `source` (in "
    "Python: ctprune.reveal)"
)

PathLike = str | os.PathLike[str]

_FINGERPRINT = slice(len(PREFIX), len(PREFIX) + 16)


def reveal(key: PathLike, sources: PathLike | Sequence[PathLike]) -> None:
    """From now on, look for the files behind this key's pseudonyms in these sources.

    Args:
        key: The key's file.
        sources: Folders, files or addresses, as `ctprune.reduce` read them.

    Raises:
        ConfigError: The key or an address cannot be used.
    """
    read_key(key)
    given = [sources] if isinstance(sources, (str, os.PathLike)) else list(sources)
    for source in given:
        text = as_address(source)
        if text is not None:
            parse_address(text)
    os.environ[KEY] = os.path.abspath(key)
    os.environ[SOURCES] = os.pathsep.join(as_address(source) or os.path.abspath(source) for source in given)


def named_sources() -> list[str]:
    """The sources that `reveal` named; none if it was not called."""
    return _split(os.environ.get(SOURCES, ""))


def revealed_key() -> str:
    """The key's file that `reveal` named.

    Raises:
        ManifestError: No key was named.
    """
    key_file = os.environ.get(KEY)
    if not key_file or not named_sources():
        raise ManifestError(_NOT_NAMED)
    return key_file


def revealed_sources(pseudonyms: Sequence[str]) -> list[str]:
    """The sources of a manifest behind their pseudonyms, in the same order.

    Raises:
        ManifestError: No key was named.
        ConfigError: The key is a different one, or a source is not among those that were named.
    """
    key = read_key(revealed_key())
    names = {}
    for text in named_sources():
        address = as_address(text)
        folder = os.path.dirname(text) if os.path.isfile(text) else text
        source = folder if address is None else parse_address(address).source
        both = {source, text} if address is None else {source, parse_address(address).server, address.rstrip("/")}
        names.update({_core.pseudonym(key, "source", one): one for one in both})
    for pseudonym in pseudonyms:
        if pseudonym not in names:
            _check_key(pseudonym, key)
            raise _other_source()
    return [names[pseudonym] for pseudonym in pseudonyms]


def is_pseudonym(source: str) -> bool:
    """Whether the source of a row is a pseudonym; then its path and UIDs are, too."""
    return source.startswith(PREFIX)


def original(source: str, path: str) -> tuple[str, str]:
    """Source and path of a row's file, unchanged if they are not pseudonyms.

    A file that has vanished keeps its pseudonym; opening it fails.

    Raises:
        ManifestError: The key is not named or is a different one, or the source is not among those named.
    """
    if not is_pseudonym(source):
        return source, path
    key_file, named = os.environ.get(KEY), os.environ.get(SOURCES)
    if not key_file or not named:
        raise ManifestError(_NOT_NAMED)
    key, names = _names(key_file, named)
    _check_key(source, key)
    if not names.has_source(source):
        raise _other_source()
    found = names.find(source, path)
    if found is None:
        container = names.unlisted_container(source, path)
        if container is not None:
            from ctprune.sources.listing import members_of

            names.add(container[0], members_of(*container))
            found = names.find(source, path)
    return found or (source, path)


def _check_key(source: str, key: bytes) -> None:
    """Check that the pseudonym of a source was made with this key."""
    fingerprint = _core.key_fingerprint(key)
    if source[_FINGERPRINT] != fingerprint:
        raise ConfigError(
            f"key {os.environ.get(KEY)}: its fingerprint is {fingerprint}, but the manifest's pseudonyms were "
            f"made with the key {source[_FINGERPRINT]}",
            field="key",
        )


def _other_source() -> ConfigError:
    return ConfigError(
        f"source {', '.join(named_sources())}: not the source of the manifest's pseudonyms: name the folders or "
        "files that 'ctprune reduce' read, by the paths that they had then",
        field="source",
    )


def hidden(kind: str, name: str) -> str | None:
    """The pseudonym of a name, with the named key; None if no key is named.

    Args:
        kind: `path`, or the manifest's column of a UID, such as `series_instance_uid`.
        name: The name in the source.
    """
    key_file = os.environ.get(KEY)
    return _core.pseudonym(read_key(key_file), kind, name) if key_file else None


def _split(named: str) -> list[str]:
    """Sources separated as in `PATH`; addresses stay whole.

    >>> _split("/data/a:s3://bucket/b:https://host:8443/c.zip:/d") if os.pathsep == ":" else []
    ['/data/a', 's3://bucket/b', 'https://host:8443/c.zip', '/d']
    """
    sources: list[str] = []
    for part in named.split(os.pathsep):
        # On most systems, the separator also occurs in addresses, before their slashes and ports.
        is_rest = part.startswith("//") or (_PORT.match(part) and _HOST.fullmatch(sources[-1] if sources else ""))
        if sources and is_rest:
            sources[-1] += f"{os.pathsep}{part}"
        elif part:
            sources.append(part)
    return sources


_HOST, _PORT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://[^/]+"), re.compile(r"[0-9]{1,5}(/|$)")


_known: dict[tuple[str, str], tuple[bytes, _core.Names]] = {}


def _names(key_file: str, named: str) -> tuple[bytes, _core.Names]:
    """The key and the listing of the sources, made once per process."""
    if (key_file, named) not in _known:
        key = read_key(key_file)
        sources = _split(named)
        here = [str(Path(source)) for source in sources if as_address(source) is None]
        names = _core.Names(key, here)
        elsewhere = [source for source in sources if as_address(source) is not None]
        if elsewhere:
            # Imported only for an address, since it takes time to load.
            from ctprune.sources.listing import listed
            from ctprune.sources.plan import Elsewhere

            for source, paths in listed([Elsewhere(parse_address(text)) for text in elsewhere]).items():
                names.add(source, paths)
        _known.clear()
        _known[key_file, named] = key, names
    return _known[key_file, named]
