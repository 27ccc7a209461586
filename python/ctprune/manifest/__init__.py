"""The manifest: one row for each slice and each refused file, the seam between reducing and all that follows."""
