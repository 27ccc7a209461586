"""Why something elsewhere was not read: for now, or for good."""

from __future__ import annotations

#: Larger things are not read where nobody says how large they may be: they would have to be in memory as a whole.
MOST_BYTES = 8 << 30


class Transient(Exception):
    """A failure that may be gone in a moment: a time-out, a reset, a server that has too much to do.

    Args:
        reason: What happened, in a few words that are the same for many objects and name none of them.
        alive: Whether the server answered, so that the failure is this object's alone.
        wait: Seconds that the server asks to wait; None where it does not say.
    """

    def __init__(self, reason: str, *, alive: bool = False, wait: float | None = None) -> None:
        super().__init__(reason)
        self.alive = alive
        self.wait = wait


class Refused(Exception):
    """A failure that stays, as the reason of a row: in a few words that are the same for many objects."""


class Denied(Refused):
    """The server wants other credentials, or any."""


class Gone(Refused):
    """There is no such object, bucket or resource."""


class BadRequest(Refused):
    """The server does not understand what it is asked."""


class Exists(Refused):
    """There is such an object already, where a new one was to be made."""


class NoMember(Refused):
    """The container has no member of this name, or none that can be read."""


class Exhausted(Refused):
    """It was tried again and again, while the server answered others."""


class Broken(Refused):
    """What the object holds breaks the rules of its kind."""


class TooLarge(Refused):
    """It would have to be in memory as a whole, and is larger than may be.

    Args:
        most: Bytes that it may have.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        super().__init__(f"it has more than {most >> 20} MiB: download it")


class NoRanges(Refused):
    """The server sends objects as a whole whatever part is asked for."""


DENIED = "access is denied (403)"
UNKNOWN = "the server wants credentials (401)"
GONE = "the object is gone (404)"
THERE = "the object is there already (412)"
NO_MEMBER = "the archive has no such readable member"
CHANGED = "the object changed while it was read (412)"
TIMED_OUT = "the server did not answer in time"
NO_CONNECTION = "the server cannot be reached"
CUT_SHORT = "the server's answer was cut short"


def of_status(status: int, *, wait: float | None = None) -> Transient | Refused:
    """What an answer that is no success means.

    >>> of_status(404), of_status(503)
    (Gone('the object is gone (404)'), Transient('the server answered 503'))
    """
    if status == 401:
        return Denied(UNKNOWN)
    if status == 403:
        return Denied(DENIED)
    if status in (404, 410):
        return Gone(GONE)
    if status == 412:
        return Refused(CHANGED)
    if status in (408, 425, 429) or (status >= 500 and status != 501):
        return Transient(f"the server answered {status}", wait=wait)
    if status in (400, 405, 406):
        return BadRequest(f"the server answered {status}")
    if 300 <= status < 400:
        return Refused(f"the server sends the reader elsewhere ({status})")
    return Refused(f"the server answered {status}")
