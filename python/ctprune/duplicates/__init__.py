"""Pairs and groups of volumes that show the same anatomy."""
