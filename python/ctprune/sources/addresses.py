"""Addresses of remote sources: objects in a store, files on a web server, instances on a DICOMweb server."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from ctprune.errors import ConfigError

#: Schemes of object stores: what follows the bucket is a key, whatever characters it has.
BUCKETS = ("s3", "gs", "az")

WEB = ("http", "https")

DICOMWEB = ("dicomweb+http", "dicomweb+https")

_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)://(?P<rest>.*)", re.DOTALL)

#: `pathlib.Path` removes one of the two slashes.
_ADDRESS_AS_PATH = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):/(?P<rest>[^/].*)", re.DOTALL)

#: Ends the name of a container; what follows is the path of a member, which is never escaped.
MARK = "!/"

_EXPECTED = "s3://, gs://, az://, https:// or dicomweb+https://"

#: Where the resources of DICOMweb begin (PS3.18 section 10).
_RESOURCES = re.compile(r"(?:^|/)(?P<resource>studies(?:/.*)?)$")


@dataclass(frozen=True)
class Address:
    """The address of an object, of all objects below a prefix, or of instances on a DICOMweb server.

    Attributes:
        scheme: `s3`, `gs`, `az`, `http`, `https`, `dicomweb+http` or `dicomweb+https`.
        host: Bucket, container, or host with its port.
        path: Key, prefix, or path on the host, decoded, without slashes at its ends.
        every: Whether the address ends in a wildcard or a slash and so means all that begins with `path`.
        query: Attributes of a DICOMweb query. They may name a patient: never shown, never stored.
    """

    scheme: str
    host: str
    path: str = ""
    every: bool = False
    query: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def root(self) -> str:
        """Bucket or server, without a path."""
        return f"{self.scheme}://{self.host}"

    @property
    def is_dicomweb(self) -> bool:
        """Whether the server speaks DICOMweb."""
        return self.scheme in DICOMWEB

    @property
    def base(self) -> str:
        """What comes before the path of a DICOMweb resource, such as `dicom-web`."""
        found = _RESOURCES.search(self.path)
        return self.path[: found.start()] if found else self.path

    @property
    def server(self) -> str:
        """Where requests go: the bucket, the web server, or the base of DICOMweb."""
        return str(Address(self.scheme, self.host, self.base)) if self.is_dicomweb else self.root

    @property
    def folder(self) -> str:
        """The path that the paths of found objects are relative to, as for a folder's files.

        For a member of a container, the same as for the container.
        """
        return self.base if self.is_dicomweb else self.path.partition(MARK)[0].rpartition("/")[0]

    @property
    def source(self) -> str:
        """The manifest's `source` of everything that is found at this address."""
        return str(Address(self.scheme, self.host, self.folder))

    def relative(self, path: str) -> str:
        """The manifest's `path` of an object that is found at a path of the server."""
        if self.is_dicomweb:
            return path
        below = path[len(self.folder) + 1 :] if self.folder else path
        return below if self.scheme in BUCKETS else _escaped(below)

    @property
    def resource(self) -> str:
        """The DICOMweb resource below the base, such as `studies/1.2`; empty if none is named."""
        found = _RESOURCES.search(self.path)
        return found["resource"] if found else ""

    def __str__(self) -> str:
        """The address as it may be shown and stored: without the query."""
        return joined(self.root, self._written())

    def _written(self) -> str:
        return self.path if self.scheme in BUCKETS else _escaped(self.path)


def joined(source: str, path: str) -> str:
    """The address of an object below another address."""
    return f"{source}/{path}" if path else source


def as_address(source: str | os.PathLike[str]) -> str | None:
    """The text of a source that is an address; None for a path on this machine.

    >>> from pathlib import Path
    >>> as_address(Path("s3://bucket/x")), as_address("dicoms")
    ('s3://bucket/x', None)
    """
    text = os.fspath(source)
    if _ADDRESS.fullmatch(text):
        return text
    found = None if isinstance(source, str) else _ADDRESS_AS_PATH.fullmatch(text)
    return f"{found['scheme']}://{found['rest']}" if found else None


def is_address(text: str) -> bool:
    """Whether the source of a manifest's row is remote.

    >>> is_address("s3://bucket/x"), is_address("/data/x"), is_address("C:/data/x")
    (True, False, False)
    """
    return _ADDRESS.match(text) is not None


def parse_address(text: str) -> Address:
    """Parse an address.

    Raises:
        ConfigError: The scheme is unknown, there is no bucket or host, or the address holds a password.

    >>> parse_address("s3://bucket/series/*")
    Address(scheme='s3', host='bucket', path='series/', every=True)
    >>> parse_address("dicomweb+https://pacs:8042/dicom-web?PatientID=1").path
    'dicom-web'
    """
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise ConfigError(f"{text}: expected an address that begins with {_EXPECTED}")
    scheme, rest = found["scheme"].lower(), found["rest"]
    if scheme in BUCKETS:
        return _object(scheme, rest, text)
    if scheme in (*WEB, *DICOMWEB):
        return _url(scheme, rest)
    hint = ": name the path without file://" if scheme == "file" else f": expected {_EXPECTED}"
    raise ConfigError(f"{scheme}://: addresses of this kind are not read{hint}")


def locate(text: str) -> tuple[str, str]:
    """The bucket or server of an object's address in a manifest, and the decoded path there.

    >>> locate("s3://bucket/a/b*.dcm")
    ('s3://bucket', 'a/b*.dcm')
    >>> locate("dicomweb+https://pacs/dicom-web/studies/1/series/2/instances/3")
    ('dicomweb+https://pacs/dicom-web', 'studies/1/series/2/instances/3')
    """
    scheme, _, rest = text.partition("://")
    host, _, path = rest.partition("/")
    address = Address(scheme, host, path if scheme in BUCKETS else _unescaped(path))
    return (address.server, address.resource) if address.is_dicomweb else (address.root, address.path)


def _object(scheme: str, rest: str, text: str) -> Address:
    bucket, _, key = rest.partition("/")
    if "@" in bucket:
        raise ConfigError(_with_password(scheme, bucket))
    if not bucket or "*" in bucket:
        raise ConfigError(f"{text}: expected a bucket, such as {scheme}://bucket/prefix")
    prefix = key.rstrip("*")
    if "*" in prefix:
        raise ConfigError(f"{text}: expected a * at the end only, such as {scheme}://{bucket}/series/*")
    every = not prefix or prefix != key or key.endswith("/")
    # A key may begin with a slash, but no client of a store can request it.
    return Address(scheme, bucket, prefix.lstrip("/"), every)


def _url(scheme: str, rest: str) -> Address:
    mark = member = ""
    if scheme in WEB:
        rest, mark, member = rest.partition(MARK)
    try:
        parts = urlsplit(f"{scheme.removeprefix('dicomweb+')}://{rest}")
        host = parts.netloc
        has_port = parts.port is not None
    except ValueError:
        raise ConfigError(f"{scheme}://: the address has no valid host and port") from None
    if "@" in host:
        raise ConfigError(_with_password(scheme, host))
    if not parts.hostname:
        raise ConfigError(f"{scheme}://{rest.partition('?')[0]}: expected a host")
    host = host.lower() if has_port else host.lower().removesuffix(":")
    shown = f"{scheme}://{host}{parts.path}"
    if scheme in DICOMWEB:
        if "*" in parts.path:
            raise ConfigError(f"{shown}: expected no * in the address of a DICOMweb server")
        query = tuple(parse_qsl(parts.query, keep_blank_values=True))
        return Address(scheme, host, unquote(parts.path).strip("/"), True, query)
    if parts.query:
        # It could be a key or a signature, and would be stored in the manifest.
        raise ConfigError(f"{shown}: expected an address without ?, since what follows may be a secret")
    if not parts.path.strip("/") or parts.path.endswith("/") or "*" in parts.path:
        raise ConfigError(
            f"{shown}: expected the address of one file, since web servers have no listing; "
            "name several in a file for `from_list`"
        )
    return Address(scheme, host, unquote(parts.path).strip("/") + mark + member)


def _with_password(scheme: str, host: str) -> str:
    return (
        f"{scheme}://{host.rpartition('@')[2]}: the address holds a user or password: take it out; credentials "
        "come from the environment"
    )


def _escaped(path: str) -> str:
    """A decoded path in its written form, which decodes to the same path."""
    outer, mark, member = path.partition(MARK)
    return outer.replace("%", "%25").replace("?", "%3F").replace("#", "%23") + mark + member


def _unescaped(path: str) -> str:
    """The decoded form of a path written by `_escaped`, or without regard to containers."""
    outer, mark, member = path.partition(MARK)
    return unquote(outer) + mark + member
