"""Pick the CT slices worth pre-training on, straight from a DICOM archive."""
