"""Select among the fingerprints of a file and print the peak memory before and after, in KiB."""

from __future__ import annotations

import resource
import sys

import numpy as np

import ctprune


def peak_kib() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak


if __name__ == "__main__":
    fingerprints = np.load(sys.argv[1])
    before = peak_kib()
    ctprune.select_exemplars(fingerprints, threshold=int(sys.argv[2]))
    print(before, peak_kib())
