"""Performance of predictions with confidence intervals, and whether two models differ; without torch."""
