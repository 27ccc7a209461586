"""`ctprune key`: make a key for pseudonyms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ctprune.cli.output import print_json, say

EXAMPLE = "ctprune key ~/ctprune.key"


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File to write; it must not exist yet.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the file and its fingerprint as JSON.")] = False,
) -> None:
    """Make a secret key for `ctprune reduce --pseudonymize`: 32 random bytes that only you may read.

    Keep the key apart from manifests. Anyone who has it can test guessed names; without it, nobody can find the
    file of a pseudonym again.
    """
    from ctprune.files.key_file import make_key, read_key

    made = make_key(file)
    from ctprune import _core

    fingerprint = _core.key_fingerprint(read_key(made))
    if as_json:
        print_json("key", {"path": str(made), "fingerprint": fingerprint})
    else:
        say(f"{made}: a new key with the fingerprint {fingerprint}")
