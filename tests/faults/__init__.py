"""What happens when the k-th call that changes a disk fails, or is the last one before a kill."""
