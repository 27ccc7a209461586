"""Options of a fine-tuning that takes a second."""

from __future__ import annotations

from typing import Any

SMALL: dict[str, Any] = {"backbone": "resnet18", "side": 32, "batch_size": 8, "device": "cpu", "positive": "ill"}
