"""Reasons as people are shown them: of what a file's header says, only what the standard knows."""

from __future__ import annotations

import re

from ctprune.manifest.refused import Refused, by_code, lines

#: Where a reason quotes a transfer syntax from the file; a broken header can hold anything there, a name too.
_TRANSFER_SYNTAX = re.compile(r"\btransfer syntax (?P<quoted>.*?)(?P<rest> cannot be decoded|\Z)", re.DOTALL)

_STANDARD = re.compile(r"1\.2\.840\.10008\.1\.2(\.[1-9][0-9]{0,3}){0,4}")


def shown_reason(reason: str) -> str:
    """The reason with the name of a transfer syntax that DICOM defines, and without any other.

    >>> shown_reason("transfer syntax 1.2.840.10008.1.2.4.100 cannot be decoded")
    'transfer syntax MPEG2 Main Profile / Main Level cannot be decoded'
    >>> shown_reason("transfer syntax 1.2.3.19640812 cannot be decoded")
    'an unknown transfer syntax cannot be decoded'
    """
    return _TRANSFER_SYNTAX.sub(lambda found: _named(found["quoted"]) + found["rest"], reason)


def shown_reasons(refused: Refused) -> Refused:
    """The same for numbers of files by code and reason, the most frequent first."""
    return by_code((code, shown_reason(reason), count) for code, reason, count in lines(refused))


def transfer_syntax(uid: str) -> str | None:
    """The name that DICOM gives to a transfer syntax; None for one that it does not define.

    >>> transfer_syntax("1.2.840.10008.1.2.5"), transfer_syntax("Erika^Mustermann")
    ('RLE Lossless', None)
    """
    if not _STANDARD.fullmatch(uid):
        return None
    # Loading pydicom takes longer than a small run.
    from pydicom.uid import UID

    known = UID(uid)
    return known.name if known.type == "Transfer Syntax" else None


def _named(uid: str) -> str:
    name = transfer_syntax(uid)
    return "an unknown transfer syntax" if name is None else f"transfer syntax {name}"
