"""Slices of a reduction as files for other programs."""
