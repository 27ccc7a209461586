"""DICOMweb (PS3.18): series and instances by QIDO-RS, instances by WADO-RS.

`dicomweb-client` searches. It does not read: it parses each instance with pydicom and hands out data sets, not the
server's bytes, which are what is hashed, compared and counted.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from dicomweb_client.api import DICOMwebClient

from ctprune.errors import SourceError
from ctprune.sources.addresses import Address, joined
from ctprune.sources.failures import MOST_BYTES, BadRequest, Denied, Gone, Refused, TooLarge
from ctprune.sources.found import Found, Stamp, version_of
from ctprune.sources.multipart import only_part
from ctprune.sources.retries import Server
from ctprune.sources.web_session import PASSWORD, TOKEN, Credentials, WebSession, unheard

#: Results of a search that are asked for at a time.
_PAGE = 1000

#: Beside an instance its answer has boundaries and their headers.
_AROUND = 1 << 16

_EXPECTED = "expected the address below which /studies of DICOMweb lies"

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
        self._url = f"{base.scheme.removeprefix('dicomweb+')}://{base.host}/{base.path}".rstrip("/")
        # The client fills in what stands between braces.
        self._url = self._url.replace("{", "%7B").replace("}", "%7D")
        self._credentials = Credentials()
        self._of_thread = threading.local()
        self._has_answered = False
        self.server = Server(str(base), in_flight)
        self.notes: list[str] = []
        self.containers = None

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
        for found in self._search((where["study"], where["series"]), {"SOPInstanceUID": where["instance"]}):
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
            try:
                body, kind = self._session().fetch(f"{self._url}/{path}", _INSTANCE, most + _AROUND)
            except TooLarge:
                raise TooLarge(most) from None
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
            studies = [_value(found, _STUDY) for found in self._search((), asked["studies"])]
        for study in dict.fromkeys(studies):
            if named.get("series"):
                yield study, str(named["series"])
                continue
            for found in self._search((study,), asked["series"]):
                yield study, _value(found, _SERIES)

    def _instances(self, study: str, series: str, address: Address) -> list[Found]:
        where = _WHERE.fullmatch(address.resource)
        asked = dict(_by_level(address)["instances"])
        if where is not None and where["instance"]:
            asked["SOPInstanceUID"] = where["instance"]
        resource = f"studies/{study}/series/{series}/instances"
        found = [
            Found(joined(resource, _value(one, _SOP)), Stamp(0, _version(one)))
            for one in self._search((study, series), asked)
        ]
        # Servers list instances as they please.
        return sorted(found)

    def _search(self, above: tuple[str, ...], asked: dict[str, str]) -> list[dict[str, Any]]:
        """All results of a search for studies, or for what is below a study or a study's series, page by page.

        Servers may give fewer than are asked for, or all at once.
        """
        key = (_STUDY, _SERIES, _SOP)[len(above)]
        found: dict[str, dict[str, Any]] = {}
        while True:
            before = len(found)
            results = self.server.ask(partial(self._page, above, asked, before))
            fresh = {_value(result, key): result for result in results}
            found = fresh | found
            if len(found) == before:
                return list(found.values())

    def _page(self, above: tuple[str, ...], asked: dict[str, str], offset: int) -> list[dict[str, Any]]:
        client = self._client()
        searches = (client.search_for_studies, client.search_for_series, client.search_for_instances)
        search: Callable[..., Any] = searches[len(above)]
        try:
            with unheard():
                found = search(*above, search_filters=asked, limit=_PAGE, offset=offset)
        except (Gone, BadRequest) as failure:
            if self._has_answered:
                raise
            reason = "the server has nothing there (404)" if isinstance(failure, Gone) else str(failure)
            raise Refused(f"{reason}: {_EXPECTED}, and attributes that the server knows") from None
        except (ValueError, RecursionError):
            raise Refused("expected DICOM JSON, found something else: is this the address of DICOMweb?") from None
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise Refused("expected a list of results in DICOM JSON, found something else")
        self._has_answered = True
        return found

    def _session(self) -> WebSession:
        """The connections of the thread: a session is not made for several."""
        session: WebSession | None = getattr(self._of_thread, "session", None)
        if session is None:
            session = self._of_thread.session = WebSession(self._credentials)
        return session

    def _client(self) -> DICOMwebClient:
        client: DICOMwebClient | None = getattr(self._of_thread, "client", None)
        if client is None:
            client = self._of_thread.client = DICOMwebClient(self._url, self._session(), permissive_uid=True)
            # `server` asks again, after the pause that the server wants.
            client.set_http_retry_params(retry=False)
        return client


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
    marks = (found.get(tag) for tag in _MARKS)
    return version_of(*(str(mark.get("Value") if isinstance(mark, dict) else None) for mark in marks))
