"""Generated parts of pages stand between two comments, which say so."""

from __future__ import annotations

import re


def between(page: str, begin: str, text: str, end: str) -> str:
    r"""A page with this text between the lines of its comments.

    >>> print(between("<!-- a -->\nold\n<!-- end -->\n", "a", "new\n", "end"), end="")
    <!-- a -->
    new
    <!-- end -->
    """
    marked = re.compile(rf"(<!-- {begin} -->\n).*?(<!-- {end} -->)", re.DOTALL)
    found, count = marked.subn(lambda marks: marks[1] + text + marks[2], page)
    if count != 1:
        raise ValueError(f"expected one pair of the comments '{begin}' and '{end}', found {count}")
    return found
