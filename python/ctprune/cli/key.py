"""`ctprune key`: make a key for pseudonyms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ctprune.cli.output import say

EXAMPLE = "ctprune key ~/ctprune.key"


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File to write; none may be there.")],
) -> None:
    """Make a secret key for `ctprune reduce --pseudonymize`: 32 random bytes that only you may read.

    Keep it apart from manifests. Who has it can try names out; without it, nobody finds a pseudonym's file again.
    """
    from ctprune.files.key_file import make_key, read_key

    made = make_key(file)
    from ctprune import _core

    say(f"{made}: a new key with the fingerprint {_core.key_fingerprint(read_key(made))}")
