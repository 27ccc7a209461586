"""Backbones as other programs read them."""
