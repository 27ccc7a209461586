"""Kept fraction against threshold, for one or several methods of a run: which threshold keeps how much."""

from ctprune.sweeping.curves import sweep
from ctprune.sweeping.result import Sweep

__all__ = ["Sweep", "sweep"]
