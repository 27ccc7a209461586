"""numpy, loaded when it is first used: commands that need no array start without waiting for it.

from ctprune.environment.lazy import numpy as np
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any


class LazyModule:
    """Stands for a module, which is imported when something of it is asked for.

    Args:
        name: Of the module.

    >>> LazyModule("math").sqrt(9.0)
    3.0
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        found = getattr(importlib.import_module(self._name), attribute)
        # From now on it is found without this function.
        setattr(self, attribute, found)
        return found


if TYPE_CHECKING:
    import numpy as numpy
else:
    numpy = LazyModule("numpy")
