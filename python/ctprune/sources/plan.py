"""What is to be read, of this machine and elsewhere: each thing once, however often it was named."""

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
    """An address, and where its bucket or server stands in the manifest.

    Attributes:
        address: What is to be found.
        is_listed: Whether it is one of a list's, which may name a hundred thousand: they all are of one source,
            their bucket or server.
    """

    address: Address
    is_listed: bool = False

    @property
    def name(self) -> str:
        """What may be shown and stored of it, without what a server was asked for."""
        return self.address.server if self.is_listed else str(self.address).rstrip("/")

    @property
    def text(self) -> str:
        """What means the same as an argument; it may name a patient."""
        address = self.address
        wildcard = "*" if address.every and not address.is_dicomweb else ""
        query = f"?{urlencode(address.query)}" if address.query else ""
        return f"{address}{wildcard}{query}"

    def source_and_path(self, path: str) -> tuple[str, str]:
        """What stands in the manifest, as source and as path, of something found at a path of the server."""
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
        paths: Folders and files of this machine.
        elsewhere: What is not.
    """

    paths: tuple[Path, ...]
    elsewhere: tuple[Elsewhere, ...]

    def names(self) -> list[str]:
        """The sources as they may be shown and stored, without what a server was asked for."""
        return [str(path) for path in self.paths] + list(dict.fromkeys(one.name for one in self.elsewhere))


def plan(sources: Sources, from_list: str | os.PathLike[str] | None = None) -> Plan:
    """Find out what was named.

    What a list names twice, or inside of something else that is named, is left out; sources inside of each other
    are refused.

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
    _refuse(_inside(map(_path_key, paths)), paths)
    _refuse(_inside(map(_address_key, elsewhere)), [one.address for one in elsewhere])
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
    """What was given, one or several, as a list."""
    return [sources] if isinstance(sources, (str, os.PathLike)) else list(sources)


def _refuse(inside: dict[int, int], named: Sequence[object]) -> None:
    for pair in inside.items():
        first, second = sorted(pair)
        raise ConfigError(f"sources {named[first]} and {named[second]} overlap: name the outer one only")


#: Stands for a slash, and sorts before all characters of names: right behind a folder comes what lies in it.
_SLASH = "\x01"


class _Key(NamedTuple):
    """A source as a text; an exact one covers itself and what lies in it, another all that begins with it."""

    text: str
    is_exact: bool

    def covers(self, other: _Key) -> bool:
        """Whether another source lies in it."""
        if self.is_exact:
            return (other.is_exact and other.text == self.text) or other.text.startswith(self.text + _SLASH)
        return other.text.startswith(self.text)


def _inside(keys: Iterable[_Key]) -> dict[int, int]:
    """Numbers of what is covered by something else, each with the number of that; of equals the first covers."""
    covered: dict[int, int] = {}
    last: tuple[_Key, int] | None = None
    # Right behind a source stands all that it covers.
    for key, number in sorted((key, number) for number, key in enumerate(keys)):
        if last is not None and last[0].covers(key):
            covered[number] = last[1]
        else:
            last = key, number
    return covered


def _path_key(path: Path) -> _Key:
    """What a path goes through; of a member of a container that container, like a folder."""
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
        # Of two searches, nobody can say what both find.
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
