"""Retry temporary failures with growing pauses; distinguish a failing object from a lost network."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)

from ctprune.environment.log import Log
from ctprune.errors import NetworkError
from ctprune.sources.crew import stopping
from ctprune.sources.failures import Exhausted, Refused, Transient

T = TypeVar("T")

_log = Log("ctprune.sources")

#: Pauses grow from the first to the longest; each is a random part of that, so that requests spread out.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 20.0

#: After this many tries or seconds, a failure is final.
MOST_TRIES, MOST_SECONDS = 8, 120.0

#: A server may ask for a longer pause, within reason.
_LONGEST_WISH = 60.0


class Server:
    """A bucket or server: its health, as seen by all requests, and the number of requests at a time.

    Attributes:
        name: As it is shown.
        retries: How often a request was tried again.

    Args:
        name: As it is shown.
        in_flight: Requests at a time.
    """

    def __init__(self, name: str, in_flight: int) -> None:
        self.name = name
        self.retries = 0
        #: When it last answered, in seconds of `time.monotonic`.
        self._answered = 0.0
        self.limit(in_flight)

    def limit(self, in_flight: int) -> None:
        """Limit the requests that begin from now on to this many at a time."""
        self.in_flight = in_flight
        self._slots = threading.Semaphore(in_flight)

    def is_alive(self) -> None:
        """Note that the server answered."""
        self._answered = time.monotonic()

    def ask(self, work: Callable[[], T]) -> T:
        """Make a request, again and again while it fails temporarily.

        Raises:
            Refused: The failure is final.
            NetworkError: The server has not answered any request since the first try.
        """
        began = time.monotonic()
        retrying = Retrying(
            retry=retry_if_exception_type(Transient),
            stop=stop_after_attempt(MOST_TRIES) | stop_after_delay(MOST_SECONDS),
            wait=_pause,
            sleep=sleep_using_event(stopping),
            before_sleep=self._count,
            reraise=True,
        )
        try:
            found: T = retrying(self._once, work)
        except Refused:
            # This is an answer, too.
            self.is_alive()
            raise
        except Transient as failure:
            _log.warning("%s: %s, after several attempts", self.name, failure)
            if failure.alive or self._answered > began:
                raise Exhausted(f"{failure}, after several attempts") from None
            raise NetworkError(f"{self.name}: {failure}: check the network and rerun to resume") from None
        self.is_alive()
        return found

    def _once(self, work: Callable[[], T]) -> T:
        if stopping.is_set():
            raise Refused("the run was stopped")
        # Not held during pauses, so that others continue.
        with self._slots:
            return work()

    def _count(self, state: RetryCallState) -> None:
        self.retries += 1
        failure = None if state.outcome is None else state.outcome.exception()
        _log.info(
            "%s: try %d of %d failed: %s; the next is in %.1f s",
            self.name,
            state.attempt_number,
            MOST_TRIES,
            failure,
            state.upcoming_sleep,
        )


def _pause(state: RetryCallState) -> float:
    grown = float(wait_random_exponential(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE)(state))
    failure = state.outcome.exception() if state.outcome is not None else None
    wish = failure.wait if isinstance(failure, Transient) else None
    return grown if wish is None else max(grown, min(wish, _LONGEST_WISH))
