"""Fingerprints, similarities and exemplars of arrays in memory."""
