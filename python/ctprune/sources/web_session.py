"""One thread's connections to a DICOMweb server: its answers are limited, its failures are those of `failures`."""

from __future__ import annotations

import base64
import json
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from ctprune import _core
from ctprune.errors import ConfigError
from ctprune.sources import failures
from ctprune.sources.failures import Refused, TooLarge, Transient, of_status

#: Where credentials come from: a bearer token, or user:password where a server knows no tokens.
TOKEN, PASSWORD = "CTPRUNE_DICOMWEB_TOKEN", "CTPRUNE_DICOMWEB_PASSWORD"

#: The most bytes that a page of results may have.
MOST_OF_PAGE = 256 << 20

#: Seconds to wait for a connection, and for the next bytes of an answer.
_TIMEOUTS = (10, 60)

#: Wildcards, commas of lists and the like may stand in a query as they are, and Orthanc understands nothing else.
_PLAIN = "*?,:;@/!$'()"

#: Bytes of an answer that are taken at a time.
_PORTION = 1 << 18


#: They log addresses with their queries, which may name a patient.
_TALKATIVE = (
    "urllib3.connection",
    "urllib3.connectionpool",
    "urllib3.util.retry",
    "dicomweb_client.web",
    "retrying",
)

_thread = threading.local()


def _is_heard(_: logging.LogRecord) -> bool:
    return not getattr(_thread, "is_asking", False)


for _name in _TALKATIVE:
    logging.getLogger(_name).addFilter(_is_heard)


@contextmanager
def unheard() -> Iterator[None]:
    """A block in which nothing that this thread asks of a server is logged, whatever the program logs."""
    before = getattr(_thread, "is_asking", False)
    _thread.is_asking = True
    try:
        yield
    finally:
        _thread.is_asking = before


class WebSession(requests.Session):
    """A session of requests that follows no redirect and holds no more of an answer than it may have.

    Args:
        credentials: What is sent to the server.
    """

    def __init__(self, credentials: Credentials) -> None:
        super().__init__()
        self.auth = credentials
        self.headers["User-Agent"] = f"ctprune/{_core.__version__}"
        for scheme in ("http://", "https://"):
            self.mount(scheme, HTTPAdapter(pool_maxsize=1))

    def get(self, url: str, *, headers: dict[str, str], **_: Any) -> requests.Response:  # type: ignore[override]
        """A page of results, as `dicomweb_client` asks for it.

        Raises:
            Refused: The page is too large, or the server does not give it.
            Transient: The server may give it later.
        """
        # The client's own has no port.
        headers = {name: value for name, value in headers.items() if name != "Host"}
        path, mark, query = url.partition("?")
        query = urlencode(parse_qsl(query, keep_blank_values=True), safe=_PLAIN, quote_via=quote)
        try:
            return _Page(self.fetch(path + mark + query, headers, MOST_OF_PAGE)[0])
        except TooLarge as refusal:
            raise Refused(
                f"its list has more than {refusal.most >> 20} MiB: name a study or a series in the address"
            ) from None

    def fetch(self, url: str, headers: dict[str, str], most: int) -> tuple[bytes, str]:
        """An answer's bytes and their type.

        Args:
            url: Of the server that was named.
            headers: Of the request.
            most: Bytes that the answer may have; no more are ever in memory.

        Raises:
            TooLarge: The answer has more.
            Refused: The server does not give it.
            Transient: The server may give it later.
        """
        try:
            with (
                unheard(),
                super().get(
                    url,
                    # What is packed may unpack to anything.
                    headers=headers | {"Accept-Encoding": "identity"},
                    timeout=_TIMEOUTS,
                    # The token goes to the server that was named and no other.
                    allow_redirects=False,
                    stream=True,
                ) as answer,
            ):
                if answer.status_code not in (200, 204):
                    raise of_status(answer.status_code, wait=_seconds(answer.headers.get("Retry-After")))
                if answer.headers.get("Content-Encoding", "identity") != "identity":
                    raise Refused("the server packs its answers, which it was asked not to do")
                body = bytearray()
                for portion in answer.iter_content(_PORTION):
                    body += portion
                    if len(body) > most:
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


class _Page(requests.Response):
    """A page of results that is in memory, once."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.status_code, self._body = 200, body

    @property
    def content(self) -> bytes:
        """The page."""
        return self._body

    def json(self, **_: Any) -> Any:
        """What the page holds; a byte-order mark is allowed."""
        return json.loads(self._body)


class Credentials(AuthBase):
    """Those of the environment; never those of a `.netrc`, which requests would take otherwise.

    Raises:
        ConfigError: The environment holds some that cannot be sent.
    """

    def __init__(self) -> None:
        token, password = os.environ.get(TOKEN, "").strip(), os.environ.get(PASSWORD, "").strip()
        self._header = ""
        if token:
            self._header = f"Bearer {token}"
        elif password:
            if ":" not in password:
                raise ConfigError(f"{PASSWORD}: expected user:password")
            # The header itself would be ASCII in any case.
            self._header = f"Basic {base64.b64encode(password.encode()).decode('ascii')}"
        if not self._header.isprintable() or not self._header.isascii():
            raise ConfigError(f"{TOKEN}: expected printable ASCII characters")

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put the header in."""
        if self._header:
            request.headers["Authorization"] = self._header
        return request


def _seconds(text: str | None) -> float | None:
    """Seconds of a Retry-After header; a date is not taken."""
    return float(text) if text is not None and text.isascii() and text.isdigit() else None
