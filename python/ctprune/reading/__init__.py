"""Slices as they are read: modalities, reasons of refusal, pixels, pydicom where Rust has no decoder."""
