"""What ctprune sees in one file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ctprune import _core
from ctprune.errors import SourceError
from ctprune.files.members import container_of
from ctprune.reading.reasons import shown_reason, transfer_syntax
from ctprune.reduction.config import ReduceConfig
from ctprune.sources.addresses import as_address, parse_address
from ctprune.sources.ahead import FetchAhead
from ctprune.sources.failures import GONE


def describe(path: str | os.PathLike[str], *, config: ReduceConfig | None = None) -> list[dict[str, Any]]:
    """Describe each slice of a file (geometry, transfer syntax, range, fingerprint), or why it has none.

    The file may be a member of a container: `download.zip!/series/1.dcm`.

    Raises:
        SourceError: There is no such file or object.

    >>> import ctprune, tempfile
    >>> from pathlib import Path
    >>> archive = Path(tempfile.mkdtemp()) / "dicoms"
    >>> _ = ctprune.phantom.write_archive(archive, patients=1, size=64)
    >>> file = next(path for path in sorted(archive.rglob("*")) if path.suffix == ".dcm")
    >>> describe(file)[0]["modality"]
    'CT'
    """
    address = as_address(path)
    if address is not None:
        address = str(parse_address(address))
    elif not Path(path).is_file() and container_of(path) is None:
        raise SourceError(f"{path}: no such file")
    config = config or ReduceConfig()
    with FetchAhead(at_container=True) as fetch:
        rows = _core.describe(address or str(path), fetch=fetch, **config.reading())
    if address and [row.get("reason") for row in rows] == [GONE]:
        raise SourceError(f"{address}: no such object")
    for row in rows:
        if "fingerprint" in row:
            row["fingerprint"] = row["fingerprint"].hex()
        if row.get("reason"):
            row["reason"] = shown_reason(row["reason"])
        if row.get("transfer_syntax_uid") and transfer_syntax(row["transfer_syntax_uid"]) is None:
            row["transfer_syntax_uid"] = "unknown"
    return rows
