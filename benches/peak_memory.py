"""Select among the fingerprints of a file and print the peak memory before and after, in KiB."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import numpy as np

import ctprune


def peak_kib() -> int:
    """Most memory that this process had resident so far."""
    status = Path("/proc/self/status")
    if status.exists():
        # Linux hands ru_maxrss on from the parent process, VmHWM not.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak


if __name__ == "__main__":
    fingerprints = np.load(sys.argv[1])
    before = peak_kib()
    ctprune.select_exemplars(fingerprints, threshold=int(sys.argv[2]))
    print(before, peak_kib())
