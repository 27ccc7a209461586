"""Fine-tuning a backbone on a labelled task, its evaluation, and the prediction for new images."""
