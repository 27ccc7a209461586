"""Fine-tuning a backbone on a labeled task, its evaluation, and the prediction for new images."""
