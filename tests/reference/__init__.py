"""Slow, obvious oracles for what the Rust core computes."""
