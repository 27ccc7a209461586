"""Slices packed for training."""
