"""Shards of a reduction: shares of the files, each read by some machine, with its own folder and lock.

A shard's folder says what the shard reads and its stage. So shards with other options are refused, and the last
one knows that it is the last. Nothing else is shared: no two shards wait for each other.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctprune.errors import ConfigError, InUseError
from ctprune.files.atomic import replace_file
from ctprune.files.checksums import seal, unseal
from ctprune.files.run_lock import sole_writer

#: The folder in a reduction's folder that holds the parts.
PARTS_NAME = "parts"

_CLAIM = "shard.json"

#: The stages of a shard.
READING, READ, SELECTED = "reading", "read", "selected"

_FOLDER = re.compile(r"shard-(\d+)-of-(\d+)")


@dataclass(frozen=True, order=True)
class Shard:
    """A share of an archive's files, such as the third of eight shares.

    Attributes:
        number: Its number, from 1.
        of: The number of shards.

    Raises:
        ConfigError: There is no such share.

    >>> Shard.parse("3/8"), str(Shard(3, 8))
    (Shard(number=3, of=8), '3/8')
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of <= _MOST:
            what = f"at most {_MOST:,} shards" if self.of > _MOST else "i/n with i from 1 to n, such as 3/8"
            raise ConfigError(f"shard {self}: expected {what}", field="shard")

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Parse text such as `3/8`.

        Raises:
            ConfigError: The text is something else.
        """
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip())
        if found is None:
            raise ConfigError(f"shard {text}: expected i/n with i from 1 to n, such as 3/8", field="shard")
        return cls(int(found[1]), int(found[2]))

    def folder(self, out: Path) -> Path:
        """The folder of its parts in a reduction's folder."""
        return out / PARTS_NAME / f"shard-{self.number:05d}-of-{self.of:05d}"

    def __str__(self) -> str:
        """The text as on the command line."""
        return f"{self.number}/{self.of}"


#: Most shards of a reduction: names of folders are sorted as text.
_MOST = 99_999


def shard_folders(out: Path) -> dict[Shard, Path]:
    """The shards in a reduction's folder, in order."""
    found = {}
    for folder in (out / PARTS_NAME).glob("shard-*-of-*"):
        shard = shard_of(folder.name)
        if shard is not None and folder.is_dir():
            found[shard] = folder
    return dict(sorted(found.items()))


def shard_of(folder: str) -> Shard | None:
    """The shard that a folder among the parts belongs to, by its name; None for other names."""
    match = _FOLDER.fullmatch(folder)
    return Shard(int(match[1]), int(match[2])) if match else None


def remove_shard(folder: Path) -> None:
    """Remove the rows of a shard, its claim first: without a claim, a shard counts as unread."""
    with suppress(OSError):
        (folder / _CLAIM).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def read_claim(folder: Path) -> dict[str, Any] | None:
    """A shard's claim; None if it is missing or damaged, in which case the shard is read again."""
    try:
        return unseal((folder / _CLAIM).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def write_claim(folder: Path, claim: dict[str, Any]) -> None:
    """Write a shard's claim: what it reads, and its stage.

    Raises:
        OutputError: The folder cannot be written.
    """
    with replace_file(folder / _CLAIM) as beside:
        beside.write_text(seal(claim), encoding="utf-8")


def check_claims(out: Path, claim: dict[str, Any], *, names: tuple[str, ...]) -> None:
    """Check that all shards of a reduction agree with this one.

    Args:
        out: The reduction's folder.
        claim: The claim of this shard or of the join.
        names: The properties that must be the same.

    Raises:
        ConfigError: Another shard reads other sources, has other options, or belongs to a different number of
            shards.
    """
    for shard, folder in shard_folders(out).items():
        other = read_claim(folder)
        check_claim(out, shard, {"of": shard.of} if other is None else other, claim, names=names)


def check_claim(
    out: Path, shard: Shard, other: dict[str, Any], claim: dict[str, Any], *, names: tuple[str, ...]
) -> None:
    """Check that one shard agrees with this one; see `check_claims`."""
    if "of" in names and other["of"] != claim["of"]:
        raise ConfigError(
            f"shard {claim['shard']}/{claim['of']}: {out} has shard {shard}: use the same number of shards, or "
            f"delete {out / PARTS_NAME} to start over",
            field="shard",
        )
    for name in names:
        difference = _difference(name, other[name], claim[name]) if name in other else ""
        if difference:
            raise ConfigError(
                f"shard {shard} in {out} was read with {difference}: all shards need the same options; or "
                f"delete {out / PARTS_NAME} to start over"
            )


def _difference(name: str, other: Any, mine: Any) -> str:
    if other == mine:
        return ""
    if isinstance(other, dict):
        names = [key for key in sorted({*other, *mine}) if other.get(key) != mine.get(key)]
        return f"`{names[0]}` {_said(other.get(names[0]))}, not {_said(mine.get(names[0]))}"
    return f"{name.replace('_', ' ')} {_said(other)}, not {_said(mine)}"


def _said(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def stages(out: Path) -> dict[int, str]:
    """The stage of each shard of a reduction that has begun, by its number."""
    claims = {shard.number: read_claim(folder) for shard, folder in shard_folders(out).items()}
    return {number: claim["stage"] for number, claim in claims.items() if claim is not None}


@contextmanager
def idle_shards(out: Path) -> Iterator[list[Path]]:
    """Lock all shards of a reduction while the block runs, and yield their folders.

    Raises:
        InUseError: Some are being read.
    """
    with ExitStack() as held:
        busy = []
        folders = shard_folders(out)
        for shard, folder in folders.items():
            try:
                held.enter_context(sole_writer(folder))
            except InUseError:
                busy.append(str(shard))
        if busy:
            are = f"shard {busy[0]} is" if len(busy) == 1 else f"shards {', '.join(busy)} are"
            raise InUseError(f"{out}: {are} being read: wait until reading ends, or stop it, then rerun")
        yield list(folders.values())
