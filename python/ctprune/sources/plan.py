"""The sources to read, local and remote, each once however often it was named."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

from ctprune import _core
from ctprune.errors import ConfigError, SourceError
from ctprune.sources.addresses import Address, as_address, parse_address
from ctprune.sources.lists import read_list

Sources = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


class Elsewhere(NamedTuple):
    """An address to read, and the manifest's name of its source.

    Attributes:
        address: The address.
        is_listed: Whether it comes from a list, which may name a hundred thousand: all of these have one source,
            their bucket or server.
    """

    address: Address
    is_listed: bool = False

    @property
    def name(self) -> str:
        """The address as it may be shown and stored, without its query."""
        return self.address.server if self.is_listed else str(self.address).rstrip("/")

    @property
    def text(self) -> str:
        """The address as a command-line argument; it may name a patient."""
        address = self.address
        wildcard = "*" if address.every and not address.is_dicomweb else ""
        query = f"?{urlencode(address.query)}" if address.query else ""
        return f"{address}{wildcard}{query}"

    def source_and_path(self, path: str) -> tuple[str, str]:
        """The manifest's `source` and `path` of an object found at a path of the server."""
        address = self.address
        if self.is_listed:
            whole = Address(address.scheme, address.host)
            return address.server, path if address.is_dicomweb else whole.relative(path)
        if not address.every and path.startswith(address.path + "/"):
            # It is a folder.
            address = replace(address, path=address.path + "/", every=True)
        return address.source, address.relative(path)


@dataclass(frozen=True)
class Plan:
    """Sources, none inside another, in the order in which they were named.

    Attributes:
        paths: Folders and files on this machine.
        elsewhere: Remote addresses.
    """

    paths: tuple[Path, ...]
    elsewhere: tuple[Elsewhere, ...]

    def names(self) -> list[str]:
        """The sources as they may be shown and stored, without queries."""
        return [str(path) for path in self.paths] + list(dict.fromkeys(one.name for one in self.elsewhere))


def plan(sources: Sources, from_list: str | os.PathLike[str] | None = None) -> Plan:
    """Resolve the named sources.

    Sources that a list names twice, or that lie inside another named source, are left out. Among the other
    sources, one inside another is an error.

    Args:
        sources: Folders, files and addresses.
        from_list: A file that lists more, see `ctprune.sources.lists.read_list`.

    Raises:
        ConfigError: Nothing is named, an address cannot be used, or a source lies inside another.
        SourceError: A folder, a file or the list is not there.
    """
    given = listed(sources)
    if not given and from_list is None:
        raise ConfigError("no source: name at least one folder, file or address")
    texts = [(source, as_address(source)) for source in given]
    paths = [_there(source) for source, text in texts if text is None]
    elsewhere = [Elsewhere(parse_address(text)) for _, text in texts if text is not None]
    _refuse(list(map(_path_key, paths)), paths)
    _refuse(list(map(_address_key, elsewhere)), [one.address for one in elsewhere])
    if from_list is not None:
        for one in read_list(from_list):
            if isinstance(one.source, Path):
                paths.append(_readable(one.source))
            else:
                elsewhere.append(Elsewhere(one.source, is_listed=True))
        inside, covered = _inside(map(_path_key, paths)), _inside(map(_address_key, elsewhere))
        paths = [path for number, path in enumerate(paths) if number not in inside]
        elsewhere = [one for number, one in enumerate(elsewhere) if number not in covered]
    return Plan(tuple(paths), tuple(elsewhere))


def listed(sources: Sources) -> list[str | os.PathLike[str]]:
    """One source or several, as a list."""
    return [sources] if isinstance(sources, (str, os.PathLike)) else list(sources)


def _refuse(keys: Sequence[_Key], named: Sequence[object]) -> None:
    for pair in _inside(keys).items():
        first, second = sorted(pair)
        if keys[first] != keys[second]:
            raise ConfigError(f"sources {named[first]} and {named[second]} overlap: name the outer one only")
        if named[first] != named[second]:
            raise ConfigError(f"sources {named[first]} and {named[second]} are the same: name one of them")
        raise ConfigError(f"source {named[first]} is named twice: name it once")


#: Stands for a slash and sorts before all characters of names, so a folder's content follows right after it.
_SLASH = "\x01"


class _Key(NamedTuple):
    """A source as text; an exact one covers itself and its content, any other all that begins with the text."""

    text: str
    is_exact: bool

    def covers(self, other: _Key) -> bool:
        """Whether another source lies inside this one."""
        if self.is_exact:
            return (other.is_exact and other.text == self.text) or other.text.startswith(self.text + _SLASH)
        return other.text.startswith(self.text)


def _inside(keys: Iterable[_Key]) -> dict[int, int]:
    """Numbers of covered sources, each with the number of the covering one; of equal ones, the first covers."""
    covered: dict[int, int] = {}
    last: tuple[_Key, int] | None = None
    # All that a source covers follows right after it.
    for key, number in sorted((key, number) for number, key in enumerate(keys)):
        if last is not None and last[0].covers(key):
            covered[number] = last[1]
        else:
            last = key, number
    return covered


def _path_key(path: Path) -> _Key:
    """The parts of a path; a container counts as a folder of its members."""
    container = _core.container_of(path)
    if container is None:
        return _Key(_SLASH.join(path.resolve().parts), True)
    within = os.fspath(path)[len(os.fspath(container)) + 1 :]
    return _Key(_SLASH.join((*Path(container).resolve().parts, *Path(within.lstrip(os.sep)).parts)), True)


def _address_key(one: Elsewhere) -> _Key:
    address = one.address
    path = address.resource if address.is_dicomweb else address.path
    text = f"{address.server}/{path}".replace("/", _SLASH)
    if address.is_dicomweb:
        # Nobody can say whether two searches find the same.
        return _Key(text + repr(sorted(address.query)) if address.query else text, not address.every or bool(path))
    return _Key(text, not address.every)


def _there(source: str | os.PathLike[str]) -> Path:
    path = Path(os.path.abspath(source))
    if not path.exists() and _core.container_of(path) is None:
        raise SourceError(f"{os.fspath(source)}: no such file or folder")
    return _readable(path, os.fspath(source))


def _readable(path: Path, shown: str | None = None) -> Path:
    if path.is_dir() and not os.access(path, os.R_OK | os.X_OK):
        raise SourceError(f"{shown or path}: the folder cannot be read: check its permissions")
    return path
