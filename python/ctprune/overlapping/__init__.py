"""What of one set of slices is in another: by slice, by volume, and as the guard against leakage."""
