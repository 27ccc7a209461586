"""Why a remote object was not read: a temporary or a final failure."""

from __future__ import annotations

#: Most bytes of an object if the caller sets no limit: objects are held in memory as a whole.
MOST_BYTES = 8 << 30


class Transient(Exception):
    """A failure that may soon pass: a time-out, a reset, an overloaded server.

    Args:
        reason: What happened, in a few words that fit many objects and name none of them.
        alive: Whether the server answered, so that the failure concerns only this object.
        wait: Seconds that the server asks to wait; None if it does not say.
    """

    def __init__(self, reason: str, *, alive: bool = False, wait: float | None = None) -> None:
        super().__init__(reason)
        self.alive = alive
        self.wait = wait


class Refused(Exception):
    """A final failure, as the reason of a row: in a few words that fit many objects."""


class Denied(Refused):
    """The server wants credentials, or other ones."""


class Gone(Refused):
    """There is no such object, bucket or resource."""


class BadRequest(Refused):
    """The server does not understand what it is asked."""


class Exists(Refused):
    """An object that was to be created exists already."""


class NoMember(Refused):
    """The container has no readable member of this name."""


class Exhausted(Refused):
    """All tries failed, while the server answered other requests."""


class Broken(Refused):
    """The object's content is malformed."""


class TooLarge(Refused):
    """The object would have to be in memory as a whole, and is too large for that.

    Args:
        most: The most bytes that it may have.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        super().__init__(f"it has more than {most >> 20} MiB: download it")


class NoRanges(Refused):
    """The server sends whole objects, whatever part is requested."""


DENIED = "access is denied (403)"
UNKNOWN = "the server requires credentials (401)"
GONE = "the object is gone (404)"
THERE = "the object already exists (412)"
NO_MEMBER = "the archive has no such readable member"
CHANGED = "the object changed while it was read (412)"
TIMED_OUT = "the server did not answer in time"
NO_CONNECTION = "the server cannot be reached"
CUT_SHORT = "the server's answer was cut short"


def no_bucket(root: str) -> str:
    """What 404 means where a bucket is listed or written to."""
    return f"there is no bucket {root} (404)"


def of_status(status: int, *, wait: float | None = None) -> Transient | Refused:
    """The failure that an unsuccessful status of an answer means.

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
        return Refused(f"the server redirects to another address ({status})")
    return Refused(f"the server answered {status}")
