"""Patterns of paths, as the option `exclude` takes them, to the regular expressions that the walk matches."""

from __future__ import annotations

import re

from ctprune.errors import ConfigError

#: How the reason of an excluded file begins; the pattern follows.
EXCLUDED = "excluded by --exclude "

_EXAMPLE = "such as 'labelsTr/*' or '**/mask*'"

#: What a pattern is made of; the longer ones first.
_TOKEN = re.compile(
    r"(?P<folders>(?<![^/])\*\*/)|(?P<rest>(?<![^/])\*\*$)|(?P<any>\*+)|(?P<one>\?)|"
    r"\[(?P<not>!?)(?P<class>\]?[^\]/]*)\]|(?P<plain>.)",
    re.DOTALL,
)


def glob_pattern(glob: str) -> str:
    """A regular expression for whole paths, relative to their source and with `/` on every system.

    `*` and `?` stay within a name, `**` crosses folders, `[…]` is one of some characters, `[!…]` none of them. A
    pattern that matches a folder stands for all that lies in it.

    Raises:
        ConfigError: The pattern is empty, or absolute.

    >>> pattern = re.compile(glob_pattern("labels*/*"))
    >>> [bool(pattern.fullmatch(path)) for path in ("labelsTr/a.nii", "labelsTr/b/a.nii", "x/labelsTr/a.nii")]
    [True, True, False]
    """
    shown = glob
    while glob.startswith("./"):
        glob = glob[2:]
    glob = glob.rstrip("/") or glob
    if glob.strip() in ("", "."):
        raise ConfigError(f"exclude '{shown}': expected a pattern, {_EXAMPLE}", field="exclude")
    if glob.startswith("/"):
        raise ConfigError(
            f"exclude {shown}: expected a pattern of paths relative to the source, {_EXAMPLE}", field="exclude"
        )
    return f"(?s)^(?:{''.join(map(_expression, _TOKEN.finditer(glob)))})(?:/.*)?$"


def _expression(token: re.Match[str]) -> str:
    kind = token.lastgroup
    if kind == "folders":
        return "(?:.*/)?"
    if kind == "rest":
        return ".*"
    if kind == "any":
        return "[^/]*"
    if kind == "one":
        return "[^/]"
    if kind == "class":
        inside = re.sub(r"[^\w-]", lambda found: "\\" + found[0], token["class"])
        return f"[{'^/' if token['not'] else ''}{inside}]"
    return re.escape(token["plain"])
