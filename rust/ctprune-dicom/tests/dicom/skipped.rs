//! Objects that are no slices, by reason.

use ctprune_dicom::slice::{ReadOptions, Refusal};

use super::build::{CT_IMAGE, DataSet, EXPLICIT, Image, PIXELS, slice};
use super::{Seen, events, events_with, hu, refusal};

/// A CT slice with elements that replace its own.
fn altered(alter: impl Fn(DataSet) -> DataSet) -> Vec<u8> {
    alter(Image::default().ct(EXPLICIT))
        .pixels(&PIXELS)
        .file(EXPLICIT)
}

#[test]
fn other_modalities_are_skipped_by_name() {
    assert_eq!(
        refusal(&altered(|s| s.text(0x0008_0060, "CS", "MR"))),
        "skipped: modality MR"
    );
    assert_eq!(
        refusal(&altered(|s| s.text(0x0008_0060, "CS", ""))),
        "skipped: modality missing"
    );
    let options = ReadOptions {
        modality: "any".into(),
        ..ReadOptions::default()
    };
    let mr = altered(|s| s.text(0x0008_0060, "CS", "MR"));
    assert!(matches!(events_with(&mr, &options)[..], [Seen::Slice(..)]));
}

#[test]
fn the_description_comes_with_the_reason() {
    let mr = altered(|s| s.text(0x0008_0060, "CS", "MR"));
    let [Seen::Refused(Some(info), Refusal::Skipped(_))] = &events(&mr)[..] else {
        panic!("not skipped")
    };
    assert_eq!(
        (info.modality.as_str(), info.series_instance_uid.as_str()),
        ("MR", "1.2.3.2")
    );
    assert_eq!((info.rows, info.columns), (2, 3));
}

#[test]
fn classes_that_hold_no_slices_are_skipped() {
    let of_class = |class: &str| altered(|s| s.text(0x0008_0016, "UI", class));
    assert_eq!(
        refusal(&of_class("1.2.840.10008.5.1.4.1.1.7")),
        "skipped: secondary capture"
    );
    assert_eq!(
        refusal(&of_class("1.2.840.10008.5.1.4.1.1.7.2")),
        "skipped: secondary capture"
    );
    assert_eq!(
        refusal(&of_class("1.2.840.10008.5.1.4.1.1.66.4")),
        "skipped: segmentation"
    );
    assert_eq!(
        refusal(&of_class("1.2.840.10008.5.1.4.1.1.88.22")),
        "skipped: structured report"
    );
    assert_eq!(refusal(&of_class("1.2.840.10008.1.3.10")), "skipped: DICOMDIR");
}

#[test]
fn a_directory_record_sequence_makes_a_dicomdir() {
    let set = DataSet::new(EXPLICIT).sequence(0x0004_1220, &[DataSet::new(EXPLICIT)]);
    assert_eq!(refusal(&set.file(EXPLICIT)), "skipped: DICOMDIR");
}

#[test]
fn scouts_and_text_pages_are_skipped() {
    let typed = |image_type: &str| altered(|s| s.text(0x0008_0008, "CS", image_type));
    assert_eq!(
        refusal(&typed("ORIGINAL\\PRIMARY\\LOCALIZER")),
        "skipped: localizer"
    );
    assert_eq!(
        refusal(&typed("ORIGINAL\\PRIMARY\\OTHER\\CT_SOM5 TOPOGRAM")),
        "skipped: localizer"
    );
    let page = "skipped: dose report or screen save";
    assert_eq!(refusal(&typed("DERIVED\\SECONDARY\\SCREEN SAVE")), page);
    assert_eq!(refusal(&typed("DERIVED\\SECONDARY\\OTHER\\CT_SOM5 PROT")), page);
    let no_position = |s: DataSet| s.text(0x0020_0032, "DS", "").text(0x0020_0037, "DS", "");
    assert_eq!(
        refusal(&altered(|s| no_position(s).text(
            0x0008_0008,
            "CS",
            "DERIVED\\SECONDARY"
        ))),
        page
    );
}

#[test]
fn reformats_with_a_position_in_the_patient_are_slices() {
    let reformat = altered(|s| s.text(0x0008_0008, "CS", "DERIVED\\SECONDARY\\MPR"));
    assert_eq!(hu(&reformat).len(), 6);
}

#[test]
fn objects_without_pixels_are_skipped_unless_they_should_have_some() {
    let waveform = DataSet::new(EXPLICIT).text(0x0008_0016, "UI", "1.2.840.10008.5.1.4.1.1.9.1.1");
    assert_eq!(
        refusal(&waveform.text(0x0008_0060, "CS", "CT").file(EXPLICIT)),
        "skipped: no pixel data"
    );
    let ct = DataSet::new(EXPLICIT)
        .text(0x0008_0016, "UI", CT_IMAGE)
        .text(0x0008_0060, "CS", "CT");
    assert_eq!(refusal(&ct.file(EXPLICIT)), "failed: the pixel data is missing");
}

#[test]
fn color_is_skipped() {
    assert_eq!(
        refusal(&altered(|s| s.short(0x0028_0002, 3))),
        "skipped: color image"
    );
    assert_eq!(
        refusal(&altered(|s| s.text(0x0028_0004, "CS", "PALETTE COLOR"))),
        "skipped: color image"
    );
}

#[test]
fn no_text_of_the_file_but_a_code_gets_into_a_reason() {
    let named = altered(|s| s.text(0x0008_0060, "CS", "Doe^John"));
    assert_eq!(refusal(&named), "skipped: modality unreadable");
}

#[test]
fn a_plain_slice_is_not_skipped() {
    assert_eq!(hu(&slice(EXPLICIT)).len(), 6);
}
