"""From sources to a manifest."""
