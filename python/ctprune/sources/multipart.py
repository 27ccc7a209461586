"""The only part of a multipart answer (RFC 2046), in which DICOMweb wraps an instance."""

from __future__ import annotations

from email.message import Message

from ctprune.sources.failures import CUT_SHORT, Refused, Transient

#: Separates a part's headers from its bytes.
_BLANK = b"\r\n\r\n"


def only_part(body: bytes, content_type: str) -> bytes:
    r"""The bytes of a DICOM object that a server sends alone or as the only part of a multipart answer.

    The standard module `email` would be too slow: it searches every byte for line ends and copies each line.

    Args:
        body: The answer.
        content_type: The answer's header of that name.

    Raises:
        Transient: The answer ends before its last boundary.
        Refused: It holds no part, or several.

    >>> only_part(b'--B\r\nContent-Type: application/dicom\r\n\r\nDICM\r\n--B--', 'multipart/related; boundary=B')
    b'DICM'
    """
    header = Message()
    header["content-type"] = content_type
    if header.get_content_maintype() != "multipart":
        return body
    boundary = header.get_boundary()
    if not boundary:
        raise Refused("the server's answer has parts without a boundary")
    line = b"--" + boundary.encode("latin-1", "replace")
    first = body.find(line)
    blank = body.find(_BLANK, first)
    last = body.rfind(b"\r\n" + line + b"--")
    if first < 0 or blank < 0 or last < blank:
        raise Transient(CUT_SHORT, alive=True)
    start = blank + len(_BLANK)
    if body.find(b"\r\n" + line + b"\r\n", start, last) >= 0:
        raise Refused("the server's answer holds several instances")
    return body[start:last]
