"""Embeddings of slices by a network."""
