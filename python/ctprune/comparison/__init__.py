"""Results of `ctprune finetune` beside each other: which differences are larger than the noise."""
