//! Slices without compression, in all encodings, and what is forgiven.

use std::io::Write;

use flate2::{Compression, write::DeflateEncoder};

use super::build::{
    BIG_ENDIAN, DEFLATED, DataSet, EXPLICIT, IMPLICIT, Image, PIXEL_DATA, PIXELS, ct_head, slice,
};
use super::{HU, hu, info};

#[test]
fn every_encoding_gives_the_same_slice() {
    for transfer_syntax in [EXPLICIT, IMPLICIT, BIG_ENDIAN] {
        assert_eq!(hu(&slice(transfer_syntax)), HU, "{transfer_syntax}");
    }
}

#[test]
fn a_deflated_data_set_is_inflated() {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder
        .write_all(&Image::default().ct(EXPLICIT).pixels(&PIXELS).bytes)
        .unwrap();
    let deflated = DataSet {
        bytes: encoder.finish().unwrap(),
        ..DataSet::new(EXPLICIT)
    };
    assert_eq!(hu(&deflated.file(DEFLATED)), HU);
}

#[test]
fn the_description_is_that_of_the_file() {
    let info = info(&slice(EXPLICIT));
    assert_eq!(info.sop_instance_uid, "1.2.3.4");
    assert_eq!(
        (
            info.study_instance_uid.as_str(),
            info.series_instance_uid.as_str()
        ),
        ("1.2.3.1", "1.2.3.2")
    );
    assert_eq!(
        (info.modality.as_str(), info.transfer_syntax_uid.as_str()),
        ("CT", EXPLICIT)
    );
    assert_eq!((info.rows, info.columns, info.frame), (2, 3, 0));
    assert_eq!(info.pixel_spacing_mm, Some([0.5, 0.75]));
    assert_eq!(info.image_position_patient, Some([-10.0, -20.5, 30.0]));
    assert_eq!(
        info.image_orientation_patient,
        Some([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    );
    assert_eq!(
        (info.acquisition_number, info.instance_number),
        (Some(3), Some(17))
    );
    assert_eq!(info.slice_thickness_mm, Some(2.5));
    assert_eq!(
        (info.manufacturer.as_str(), info.manufacturer_model_name.as_str()),
        ("Maker", "Model 1")
    );
    assert_eq!(info.convolution_kernel, "B30f");
    assert_eq!(info.pixel_padding, None);
}

#[test]
fn a_missing_preamble_is_forgiven() {
    assert_eq!(hu(&slice(EXPLICIT)[132..]), HU);
}

#[test]
fn a_data_set_without_meta_group_is_read_as_it_looks() {
    for transfer_syntax in [EXPLICIT, IMPLICIT, BIG_ENDIAN] {
        assert_eq!(
            hu(&Image::default().ct(transfer_syntax).pixels(&PIXELS).bytes),
            HU,
            "{transfer_syntax}"
        );
    }
}

#[test]
fn a_wrong_meta_group_length_is_forgiven() {
    let mut file = slice(EXPLICIT);
    file[140..144].copy_from_slice(&7u32.to_le_bytes());
    assert_eq!(hu(&file), HU);
}

#[test]
fn a_transfer_syntax_that_is_not_the_data_sets_is_corrected() {
    let explicit = Image::default().ct(EXPLICIT).pixels(&PIXELS);
    let implicit = Image::default().ct(IMPLICIT).pixels(&PIXELS);
    assert_eq!(hu(&explicit.file(IMPLICIT)), HU);
    assert_eq!(hu(&implicit.file(EXPLICIT)), HU);
}

#[test]
fn an_implicit_element_among_explicit_ones_is_read() {
    let odd_one = DataSet::new(IMPLICIT).text(0x0009_0010, "LO", "private");
    let mut set = DataSet::new(EXPLICIT).text(0x0008_0005, "CS", "ISO_IR 100");
    set.bytes.extend(odd_one.bytes);
    set.bytes
        .extend(Image::default().ct(EXPLICIT).pixels(&PIXELS).bytes);
    assert_eq!(hu(&set.file(EXPLICIT)), HU);
}

#[test]
fn a_wrong_vr_does_not_matter() {
    let set = Image {
        rows: 9,
        ..Image::default()
    }
    .ct(EXPLICIT)
    .put(0x0028_0010, "UL", &[2, 0, 0, 0]);
    assert_eq!(hu(&set.pixels(&PIXELS).file(EXPLICIT)), HU);
}

#[test]
fn odd_lengths_and_nul_padding_are_forgiven() {
    let set = Image::default()
        .ct(EXPLICIT)
        .put(0x0028_1052, "DS", b"-10")
        .put(0x0028_1053, "DS", b"1\0");
    assert_eq!(
        hu(&set.pixels(&PIXELS).file(EXPLICIT)),
        [-10.0, -9.0, -8.0, -11.0, 490.0, 990.0]
    );
}

#[test]
fn group_lengths_and_private_elements_are_stepped_over() {
    let set = DataSet::new(EXPLICIT)
        .put(0x0008_0000, "UL", &[0xFF; 4])
        .put(0x0009_1001, "UN", &[7; 5]);
    assert_eq!(hu(&Image::default().describe_with(set)), HU);
}

#[test]
fn nested_sequences_are_stepped_over() {
    for transfer_syntax in [EXPLICIT, IMPLICIT, BIG_ENDIAN] {
        let empty = DataSet::new(transfer_syntax);
        // An icon has pixels of its own; they are not the slice's.
        let icon = empty.clone().short(0x0028_0010, 64).pixels(&[9, 9]);
        let inner = empty
            .clone()
            .open_sequence(0x0040_A730, &[icon.clone(), icon.clone()]);
        let set = ct_head(transfer_syntax)
            .open_sequence(0x0088_0200, &[inner.clone(), empty.empty()])
            .sequence(0x0088_0200, &[inner, empty.empty()]);
        let file = Image::default()
            .describe(set)
            .pixels(&PIXELS)
            .file(transfer_syntax);
        assert_eq!(hu(&file), HU, "{transfer_syntax}");
    }
}

#[test]
fn implicit_items_of_unknown_vr_are_stepped_over() {
    let inner = DataSet::new(IMPLICIT).text(0x0008_0100, "SH", "code");
    let mut set = ct_head(EXPLICIT).head(0x0009_1010, "UN", u32::MAX);
    set.bytes
        .extend(DataSet::new(IMPLICIT).head(0xFFFE_E000, "", u32::MAX).bytes);
    set.bytes.extend(inner.bytes);
    let set = set.head(0xFFFE_E00D, "", 0).head(0xFFFE_E0DD, "", 0);
    assert_eq!(
        hu(&Image::default().describe(set).pixels(&PIXELS).file(EXPLICIT)),
        HU
    );
}

#[test]
fn what_follows_the_pixels_does_not_matter() {
    let mut file = slice(EXPLICIT);
    file.extend([0; 1000]);
    assert_eq!(hu(&file), HU);
}

#[test]
fn overlay_bits_are_dropped_and_signs_extended() {
    let image = Image {
        allocated: 16,
        stored: 12,
        ..Image::default()
    };
    let pixels = [0xF001, 0x0FFF, 0x8800, 0x07FF, 0, 1];
    let twos = [1.0, -1.0, -2048.0, 2047.0, 0.0, 1.0].map(|v| v * 2.0 - 1024.0);
    assert_eq!(hu(&image.ct(EXPLICIT).pixels(&pixels).file(EXPLICIT)), twos);
    let unsigned = Image {
        signed: false,
        ..image
    };
    let plain = [1.0, 4095.0, 2048.0, 2047.0, 0.0, 1.0].map(|v| v * 2.0 - 1024.0);
    assert_eq!(hu(&unsigned.ct(EXPLICIT).pixels(&pixels).file(EXPLICIT)), plain);
}

#[test]
fn bytes_and_long_words_are_read() {
    let image = Image {
        allocated: 8,
        stored: 8,
        signed: false,
        ..Image::default()
    };
    let bytes = image
        .ct(EXPLICIT)
        .put(PIXEL_DATA, "OB", &[0, 1, 2, 255, 4, 5])
        .file(EXPLICIT);
    assert_eq!(
        hu(&bytes),
        [0.0, 1.0, 2.0, 255.0, 4.0, 5.0].map(|v| v * 2.0 - 1024.0)
    );
    for transfer_syntax in [EXPLICIT, BIG_ENDIAN] {
        let image = Image {
            rows: 1,
            columns: 2,
            allocated: 32,
            stored: 32,
            ..Image::default()
        };
        let set = image.ct(transfer_syntax);
        let words = [-100_000i32, 7].map(|v| {
            if set.big_endian {
                v.to_be_bytes()
            } else {
                v.to_le_bytes()
            }
        });
        let file = set
            .put(PIXEL_DATA, "OW", words.as_flattened())
            .file(transfer_syntax);
        assert_eq!(hu(&file), [-201_024.0, -1010.0]);
    }
}

#[test]
fn float_pixel_data_is_read() {
    let set = Image {
        rows: 1,
        columns: 2,
        ..Image::default()
    }
    .ct(EXPLICIT);
    let floats = [1.5f32, -0.25].map(f32::to_le_bytes);
    let file = set
        .clone()
        .put(0x7FE0_0008, "OF", floats.as_flattened())
        .file(EXPLICIT);
    assert_eq!(hu(&file), [-1021.0, -1024.5]);
    let doubles = [1.5f64, -0.25].map(f64::to_le_bytes);
    let file = set.put(0x7FE0_0009, "OD", doubles.as_flattened()).file(EXPLICIT);
    assert_eq!(hu(&file), [-1021.0, -1024.5]);
}

#[test]
fn without_rescale_stored_values_are_hounsfield_units() {
    let set = Image::default()
        .ct(EXPLICIT)
        .text(0x0028_1052, "DS", "")
        .text(0x0028_1053, "DS", "");
    assert_eq!(
        hu(&set.pixels(&PIXELS).file(EXPLICIT)),
        [0.0, 1.0, 2.0, -1.0, 500.0, 1000.0]
    );
}

#[test]
fn monochrome1_is_not_inverted() {
    let set = Image::default()
        .ct(EXPLICIT)
        .text(0x0028_0004, "CS", "MONOCHROME1");
    assert_eq!(hu(&set.pixels(&PIXELS).file(EXPLICIT)), HU);
}

#[test]
fn pixel_padding_is_a_range_of_stored_values() {
    let set = Image::default()
        .ct(EXPLICIT)
        .put(0x0028_0120, "SS", &(-2000i16).to_le_bytes());
    let file = set.clone().pixels(&PIXELS).file(EXPLICIT);
    assert_eq!(info(&file).pixel_padding, Some([-2000.0, -2000.0]));
    let file = set
        .put(0x0028_0121, "SS", &(-3000i16).to_le_bytes())
        .pixels(&PIXELS)
        .file(EXPLICIT);
    assert_eq!(info(&file).pixel_padding, Some([-3000.0, -2000.0]));
}

impl Image {
    /// A file whose elements begin with those of `first`.
    fn describe_with(self, first: DataSet) -> Vec<u8> {
        let mut set = first;
        set.bytes.extend(self.ct(EXPLICIT).pixels(&PIXELS).bytes);
        set.file(EXPLICIT)
    }
}
