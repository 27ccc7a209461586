"""Select among embeddings in a file, mapped into memory, and print the peak memory before and after, in KiB."""

from __future__ import annotations

import sys

import numpy as np

from benches.peak_memory import peak_kib
from ctprune.selection.points import select_points

if __name__ == "__main__":
    embeddings = np.load(sys.argv[1], mmap_mode="r")
    before = peak_kib()
    select_points(embeddings, sys.argv[2], keep=0.1)
    print(before, peak_kib())
