"""Results of `ctprune finetune` side by side: which differences are larger than the noise."""
