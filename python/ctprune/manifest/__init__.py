"""The manifest: one row for each slice and each refused file; all later stages read it."""
