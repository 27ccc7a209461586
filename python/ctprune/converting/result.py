"""What a conversion gives, free of torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Converted:
    """What a conversion wrote.

    Attributes:
        path: The file or folder.
        to: What it is, see `ConvertConfig`.
        backbone: Name of the architecture.
        side: Rows and columns of the images that both networks were compared on.
        num_features: Numbers per image.
        largest_difference: Of the features of random images, as a share of the largest feature.
    """

    path: Path
    to: str
    backbone: str
    side: int
    num_features: int
    largest_difference: float

    def to_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return asdict(self) | {"path": str(self.path)}
