"""Types that pass between Python and the Rust core."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy.typing as npt

#: Description, stored values, RescaleSlope and RescaleIntercept of a slice that Rust did not decode.
ForeignSlice: TypeAlias = tuple[dict[str, Any], npt.NDArray[Any], float, float]
