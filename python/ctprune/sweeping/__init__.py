"""Kept fraction against threshold, for one or several methods: which threshold keeps how much."""
