"""Backbones: built, loaded from files, saved."""
