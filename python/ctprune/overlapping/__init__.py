"""Overlap of two sets of slices: by slice, by volume, and as the guard against leakage."""
