"""The manifest's columns, written down once more: none changes unnoticed."""

from __future__ import annotations

import pyarrow as pa


def schema(hash_size: int) -> pa.Schema:
    float64 = pa.float64()
    pair, triple, six = (pa.list_(pa.field("item", float64), count) for count in (2, 3, 6))
    return pa.schema(
        [
            pa.field("path", pa.string(), nullable=False),
            pa.field("source", pa.string(), nullable=False),
            pa.field("frame", pa.int32(), nullable=False),
            pa.field("study_instance_uid", pa.string()),
            pa.field("series_instance_uid", pa.string()),
            pa.field("sop_instance_uid", pa.string()),
            pa.field("volume", pa.int32()),
            pa.field("slice_index", pa.int32()),
            pa.field("position_mm", float64),
            pa.field("rows", pa.int32()),
            pa.field("columns", pa.int32()),
            pa.field("pixel_spacing_mm", pair),
            pa.field("transfer_syntax_uid", pa.string()),
            pa.field("min_hu", pa.float32()),
            pa.field("max_hu", pa.float32()),
            pa.field("status", pa.string(), nullable=False),
            pa.field("reason", pa.string()),
            pa.field("code", pa.string()),
            pa.field("fingerprint", pa.binary(hash_size**2 // 8)),
            pa.field("exemplar", pa.int64()),
            pa.field("similarity", pa.float32()),
            pa.field("reader", pa.string()),
            pa.field("modality", pa.string()),
            pa.field("manufacturer", pa.string()),
            pa.field("manufacturer_model_name", pa.string()),
            pa.field("convolution_kernel", pa.string()),
            pa.field("slice_thickness_mm", float64),
            pa.field("image_position_patient", triple),
            pa.field("image_orientation_patient", six),
            pa.field("acquisition_number", pa.int32()),
            pa.field("instance_number", pa.int32()),
            pa.field("image_type", pa.string()),
            pa.field("frame_of_reference_uid", pa.string()),
            pa.field("bits_stored", pa.int32()),
            pa.field("rescale_slope", float64),
            pa.field("rescale_intercept", float64),
            pa.field("lossy_image_compression", pa.string()),
            pa.field("burned_in_annotation", pa.string()),
            pa.field("patient_check", pa.int32()),
            pa.field("hu_shares", pa.list_(pa.field("item", float64), 13)),
            pa.field("file_size", pa.int64(), nullable=False),
            pa.field("file_version", pa.int64(), nullable=False),
        ]
    )
