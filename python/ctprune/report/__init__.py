"""The report of a reduction: one HTML page that needs nothing else."""
