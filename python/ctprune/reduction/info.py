"""What ctprune sees in one file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ctprune import _core
from ctprune.errors import SourceError
from ctprune.reading.reasons import shown_reason, transfer_syntax
from ctprune.reduction.config import ReduceConfig


def describe(path: str | os.PathLike[str], *, config: ReduceConfig | None = None) -> list[dict[str, Any]]:
    """Describe each slice of a file, or why it is none: geometry, transfer syntax, range, fingerprint.

    Raises:
        SourceError: There is no such file.

    >>> import ctprune, tempfile
    >>> from pathlib import Path
    >>> archive = Path(tempfile.mkdtemp()) / "dicoms"
    >>> _ = ctprune.phantom.write_archive(archive, patients=1, size=64)
    >>> file = next(path for path in sorted(archive.rglob("*")) if path.suffix == ".dcm")
    >>> describe(file)[0]["modality"]
    'CT'
    """
    if not Path(path).is_file():
        raise SourceError(f"{path}: no such file")
    config = config or ReduceConfig()
    rows = _core.describe(str(path), **config.reading())
    for row in rows:
        if "fingerprint" in row:
            row["fingerprint"] = row["fingerprint"].hex()
        if row.get("reason"):
            row["reason"] = shown_reason(row["reason"])
        if row.get("transfer_syntax_uid") and transfer_syntax(row["transfer_syntax_uid"]) is None:
            row["transfer_syntax_uid"] = "unknown"
    return rows
