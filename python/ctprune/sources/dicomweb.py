"""DICOMweb (PS3.18): series and instances by QIDO-RS, instances by WADO-RS.

`dicomweb-client` cannot take the place of this: it parses each instance with pydicom and hands out data sets, not
the server's bytes; and it logs addresses with their queries, which name patients.
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from ctprune import _core
from ctprune.errors import ConfigError, SourceError
from ctprune.sources import failures
from ctprune.sources.addresses import Address, joined
from ctprune.sources.failures import MOST_BYTES, Denied, Gone, Refused, TooLarge, Transient, of_status
from ctprune.sources.found import Found, Stamp, version_of
from ctprune.sources.multipart import only_part
from ctprune.sources.retries import Server

T = TypeVar("T")

#: Where credentials come from: a bearer token, or user:password where a server knows no tokens.
TOKEN, PASSWORD = "CTPRUNE_DICOMWEB_TOKEN", "CTPRUNE_DICOMWEB_PASSWORD"

#: Seconds to wait for a connection, and for the next bytes of an answer.
_TIMEOUTS = (10, 60)

#: Results of a search that are asked for at a time, and the most bytes that they may have.
_PAGE, _MOST_OF_PAGE = 1000, 256 << 20

#: Bytes of an answer that are taken at a time.
_PORTION = 1 << 18

#: Beside an instance its answer has boundaries and their headers.
_AROUND = 1 << 16

_JSON = {"Accept": "application/dicom+json"}
#: The instance as it is stored, without transcoding.
_INSTANCE = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}

_STUDY, _SERIES, _SOP = "0020000D", "0020000E", "00080018"

#: Attributes of a search for series, and for instances; all others are the studies'.
_OF_SERIES = {
    "Modality",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "BodyPartExamined",
    "ProtocolName",
    "Manufacturer",
    "ManufacturerModelName",
    "StationName",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
    "00080060",
    _SERIES,
    "00200011",
    "0008103E",
    "00180015",
    "00181030",
    "00080070",
    "00081090",
    "00081010",
    "00400244",
    "00400245",
}
_OF_INSTANCES = {"SOPClassUID", "SOPInstanceUID", "InstanceNumber", "00080016", _SOP, "00200013"}
_NOT_ASKED_FOR = {"limit", "offset", "includefield"}

#: Attributes of an instance that are another's when it is changed: DICOMweb has no versions.
_MARKS = ("00080016", "00200013", "00280008", "00280010", "00280011", "00280100")

_UID = re.compile(r"[0-9.]{1,64}")

_WHERE = re.compile(
    r"studies/(?P<study>[0-9.]+)(?:/series/(?P<series>[0-9.]+)(?:/instances/(?P<instance>[0-9.]+))?)?"
)


class Dicomweb:
    """One DICOMweb server.

    Args:
        base: Its address up to where `/studies` follows.
        in_flight: Requests at a time.

    Raises:
        ConfigError: The environment holds credentials that cannot be used.
    """

    def __init__(self, base: Address, in_flight: int) -> None:
        self._base = base
        self._url = f"{base.scheme.removeprefix('dicomweb+')}://{base.host}/{base.path}".rstrip("/")
        self._auth = _Credentials()
        self._sessions = threading.local()
        self.server = Server(str(base), in_flight)
        self.notes: list[str] = []
        self.containers = None
        # It logs addresses with their queries when a program logs everything.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.WARNING)

    def find(self, address: Address) -> Iterator[list[Found]]:
        """The instances of an address, series by series.

        Raises:
            SourceError: There is none, or the server does not say.
        """
        try:
            anything = False
            for study, series in self._series(address):
                found = self._instances(study, series, address)
                anything = anything or bool(found)
                yield found
        except Denied as failure:
            advice = f"set {TOKEN} to a token, or {PASSWORD} to user:password"
            raise SourceError(f"{address}: {failure}: {advice}") from None
        except Refused as failure:
            raise SourceError(f"{address}: {failure}") from None
        if not anything:
            raise SourceError(f"{address}: the server finds no instance")

    def look(self, path: str) -> Stamp:
        """Size, always 0, and version of an instance as it is now.

        Raises:
            Refused: It is gone, or the server does not say.
            NetworkError: The server no longer answers.
        """
        where = _WHERE.fullmatch(path)
        if where is None or where["instance"] is None:
            raise Gone("there is no such instance")
        series = f"studies/{where['study']}/series/{where['series']}"
        for found in self._search(f"{series}/instances", {"SOPInstanceUID": where["instance"]}):
            if _value(found, _SOP) == where["instance"]:
                return Stamp(0, _version(found))
        raise Gone("the server no longer has the instance")

    def read(
        self,
        path: str,
        stamp: Stamp | None,
        decides: Callable[[bytes], bool] | None = None,
        *,
        most: int = MOST_BYTES,
    ) -> bytes:
        """An instance as a DICOM file, as the server stores it.

        Args:
            path: Below the server's base.
            stamp: Of no meaning: what a server sends has none.
            decides: Of no meaning: there are no parts to ask for.
            most: Bytes that it may have, whatever the server says.

        Raises:
            TooLarge: It has more.
            Refused: It is gone or may not be read.
            NetworkError: The server no longer answers.
        """

        def request() -> bytes:
            body, kind = self._get(path, _INSTANCE, {}, most)
            return only_part(body, kind)

        return self.server.ask(request)

    def _series(self, address: Address) -> Iterator[tuple[str, str]]:
        """Study and series of all that is found, each once."""
        where = _WHERE.fullmatch(address.resource)
        if address.resource not in ("", "studies") and where is None:
            raise Refused("expected studies/UID, with /series/UID and /instances/UID below")
        asked = _by_level(address)
        named = {} if where is None else where.groupdict()
        if named.get("study"):
            studies = [str(named["study"])]
        else:
            studies = [_value(found, _STUDY) for found in self._search("studies", asked["studies"])]
        for study in dict.fromkeys(studies):
            if named.get("series"):
                yield study, str(named["series"])
                continue
            for found in self._search(f"studies/{study}/series", asked["series"]):
                yield study, _value(found, _SERIES)

    def _instances(self, study: str, series: str, address: Address) -> list[Found]:
        where = _WHERE.fullmatch(address.resource)
        asked = dict(_by_level(address)["instances"])
        if where is not None and where["instance"]:
            asked["SOPInstanceUID"] = where["instance"]
        resource = f"studies/{study}/series/{series}/instances"
        found = [
            Found(joined(resource, _value(one, _SOP)), Stamp(0, _version(one)))
            for one in self._search(resource, asked)
        ]
        # Servers list instances as they please.
        return sorted(found)

    def _search(self, resource: str, asked: dict[str, str]) -> list[dict[str, Any]]:
        """All results of a search, page by page. Servers may give fewer than are asked for, or all at once."""
        key = _SOP if resource.endswith("instances") else _SERIES if resource.endswith("series") else _STUDY
        found: dict[str, dict[str, Any]] = {}
        while True:
            page = {"limit": str(_PAGE), "offset": str(len(found))}
            results = self.server.ask(lambda page=page: self._results(resource, asked | page))  # type: ignore[misc]
            fresh = {_value(result, key): result for result in results}
            before = len(found)
            found = fresh | found
            if len(found) == before:
                return list(found.values())

    def _results(self, resource: str, asked: dict[str, str]) -> list[dict[str, Any]]:
        try:
            body, _ = self._get(resource, _JSON, asked, _MOST_OF_PAGE)
        except TooLarge as refusal:
            raise Refused(
                f"its list has more than {refusal.most >> 20} MiB: name a study or a series in the address"
            ) from None
        if not body:
            return []
        try:
            found = json.loads(body)
        except ValueError:
            raise Refused("expected DICOM JSON, found something else: is this the address of DICOMweb?") from None
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise Refused("expected a list of results in DICOM JSON, found something else")
        return found

    def _get(self, resource: str, headers: dict[str, str], asked: dict[str, str], most: int) -> tuple[bytes, str]:
        """An answer's bytes and their type; no more of them than `most` are ever in memory."""
        try:
            with self._session().get(
                f"{self._url}/{resource}",
                params=asked,
                # What is packed may unpack to anything.
                headers=headers | {"Accept-Encoding": "identity"},
                timeout=_TIMEOUTS,
                # The token goes to the server that was named and no other.
                allow_redirects=False,
                stream=True,
            ) as answer:
                if answer.status_code not in (200, 204):
                    raise of_status(answer.status_code, wait=_seconds(answer.headers.get("Retry-After")))
                if answer.headers.get("Content-Encoding", "identity") != "identity":
                    raise Refused("the server packs its answers, which it was asked not to do")
                body = bytearray()
                for portion in answer.iter_content(_PORTION):
                    body += portion
                    if len(body) > most + _AROUND:
                        raise TooLarge(most)
                return bytes(body), answer.headers.get("Content-Type", "")
        except requests.Timeout:
            raise Transient(failures.TIMED_OUT) from None
        except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError):
            raise Transient(failures.CUT_SHORT, alive=True) from None
        except requests.exceptions.SSLError:
            raise Refused(
                "its certificate is not trusted: set REQUESTS_CA_BUNDLE to the certificate of its authority"
            ) from None
        except requests.RequestException:
            raise Transient(failures.NO_CONNECTION) from None

    def _session(self) -> requests.Session:
        """The connections of the thread: a session is not made for several."""
        session: requests.Session | None = getattr(self._sessions, "session", None)
        if session is None:
            session = requests.Session()
            session.auth = self._auth
            session.headers["User-Agent"] = f"ctprune/{_core.__version__}"
            for scheme in ("http://", "https://"):
                session.mount(scheme, HTTPAdapter(pool_maxsize=1))
            self._sessions.session = session
        return session


class _Credentials(AuthBase):
    """Those of the environment; never those of a `.netrc`, which requests would take otherwise."""

    def __init__(self) -> None:
        token, password = os.environ.get(TOKEN, "").strip(), os.environ.get(PASSWORD, "").strip()
        self._header = ""
        if token:
            self._header = f"Bearer {token}"
        elif password:
            if ":" not in password:
                raise ConfigError(f"{PASSWORD}: expected user:password")
            # The header itself would be ASCII in any case.
            import base64

            self._header = f"Basic {base64.b64encode(password.encode()).decode('ascii')}"
        if not self._header.isprintable() or not self._header.isascii():
            raise ConfigError(f"{TOKEN}: expected printable ASCII characters")

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put the header in."""
        if self._header:
            request.headers["Authorization"] = self._header
        return request


def _by_level(address: Address) -> dict[str, dict[str, str]]:
    """The attributes of a query by what they are asked of."""
    levels: dict[str, dict[str, str]] = {"studies": {}, "series": {}, "instances": {}}
    for name, value in address.query:
        if name in _NOT_ASKED_FOR:
            raise Refused(f"{name} in the query: all that is found is read, page by page; take it out")
        level = "series" if name in _OF_SERIES else "instances" if name in _OF_INSTANCES else "studies"
        levels[level][name] = value
    return levels


def _value(found: dict[str, Any], tag: str) -> str:
    """A UID of a result in DICOM JSON.

    It goes into an address: what is none is refused, whatever a server sends.
    """
    try:
        uid = str(found[tag]["Value"][0])
    except (KeyError, IndexError, TypeError):
        uid = ""
    if not _UID.fullmatch(uid):
        raise Refused(f"the server's answer has no valid UID ({tag})")
    return uid


def _version(found: dict[str, Any]) -> int:
    return version_of(*(str(found.get(tag, {}).get("Value")) for tag in _MARKS))


def _seconds(text: str | None) -> float | None:
    """Seconds of a Retry-After header; a date is not taken."""
    return float(text) if text is not None and text.isdigit() else None
