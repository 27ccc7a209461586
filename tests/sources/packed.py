"""Containers in the bucket of tests, and what a reduction finds in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ctprune
from tests.containers import write_container
from tests.sources import test_reduce
from tests.test_containers import READ_TO_END


def rows(manifest: ctprune.Manifest, *more: str) -> list[dict[str, Any]]:
    """The rows, but for the one that says of a container that all in it was read: an index needs none."""
    return [row for row in test_reduce.rows(manifest, *more) if row["reason"] != repr(READ_TO_END)]


def packed(bucket: Path, kind: str, files: dict[str, bytes]) -> Path:
    (bucket / "sets").mkdir(exist_ok=True)
    return write_container(bucket / "sets" / f"chest.{kind}", files)
