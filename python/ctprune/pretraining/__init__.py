"""Pre-training on the slices of a packed store."""
