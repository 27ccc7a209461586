"""The summary in the folder of a reduction."""

from __future__ import annotations

import json
import os
from typing import Any

from ctprune.errors import ManifestError
from ctprune.manifest.local_run import local_run

SUMMARY_NAME = "summary.json"


def load_summary(reduction: str | os.PathLike[str]) -> dict[str, Any]:
    """The summary in the folder of a reduction.

    Raises:
        ManifestError: The folder holds no summary.
    """
    file = local_run(reduction) / SUMMARY_NAME
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        raise ManifestError(
            f"{reduction}: expected the folder of a reduction, found no {SUMMARY_NAME} in it"
        ) from None
