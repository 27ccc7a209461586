//! Objects of several frames: plain and enhanced, native and encapsulated, small and large.

use std::io::Write;

use ctprune_dicom::code::Code;
use ctprune_dicom::dicom::{Buffers, read_file};
use ctprune_dicom::slice::{ReadOptions, Refusal, SliceInfo};

use super::build::{BIG_ENDIAN, CT_IMAGE, DataSet, EXPLICIT, IMPLICIT, Image, RLE, ct_head, rle};
use super::{Seen, events, owned};

const ENHANCED_CT: &str = "1.2.840.10008.5.1.4.1.1.2.1";

fn frames(n: u32) -> Image {
    Image {
        rows: 1,
        columns: 2,
        frames: Some(n),
        ..Image::default()
    }
}

fn slices(seen: &[Seen]) -> Vec<(SliceInfo, Vec<f64>)> {
    let slice = |event: &Seen| match event {
        Seen::Slice(info, values) => (info.clone(), values.clone()),
        other => panic!("a slice was expected, seen: {other:?}"),
    };
    seen.iter().map(slice).collect()
}

#[test]
fn frames_come_in_order_with_their_numbers() {
    let file = frames(3).ct(EXPLICIT).pixels(&[1, 2, 3, 4, 5, 6]).file(EXPLICIT);
    let found = slices(&events(&file));
    assert_eq!(
        found.iter().map(|(info, _)| info.frame).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    assert_eq!(found[2].1, [-1014.0, -1012.0]);
    assert!(found.iter().all(|(info, _)| info.sop_instance_uid == "1.2.3.4"));
}

/// A functional group of one item.
fn group(empty: &DataSet, tag: u32, content: impl Fn(DataSet) -> DataSet) -> DataSet {
    empty.empty().sequence(tag, &[content(empty.empty())])
}

fn joined(parts: &[DataSet]) -> DataSet {
    let bytes = parts.iter().flat_map(|part| part.bytes.clone()).collect();
    DataSet {
        bytes,
        ..parts[0].clone()
    }
}

pub fn enhanced(transfer_syntax: &str) -> Vec<u8> {
    let empty = DataSet::new(transfer_syntax);
    let shared = joined(&[
        group(&empty, 0x0028_9110, |s| {
            s.text(0x0018_0050, "DS", "0.625")
                .text(0x0028_0030, "DS", "0.25\\0.25")
        }),
        group(&empty, 0x0020_9116, |s| {
            s.text(0x0020_0037, "DS", "0\\1\\0\\0\\0\\-1")
        }),
        group(&empty, 0x0018_9314, |s| s.text(0x0018_1210, "SH", "SOFT")),
    ]);
    let item = |z: &str, slope: &str, frame_type: &str| {
        joined(&[
            group(&empty, 0x0018_9329, |s| s.text(0x0008_9007, "CS", frame_type)),
            group(&empty, 0x0020_9111, |s| s.short(0x0020_9156, 5)),
            group(&empty, 0x0020_9113, |s| {
                s.text(0x0020_0032, "DS", &format!("0\\0\\{z}"))
            }),
            group(&empty, 0x0028_9145, |s| {
                s.text(0x0028_1052, "DS", "-1000").text(0x0028_1053, "DS", slope)
            }),
        ])
    };
    let axial = "ORIGINAL\\PRIMARY\\VOLUME\\NONE";
    let items = [
        item("10", "1", axial),
        item("12.5", "0.5", axial),
        item("0", "1", "ORIGINAL\\PRIMARY\\LOCALIZER"),
    ];
    let head = ct_head(transfer_syntax).text(0x0008_0016, "UI", ENHANCED_CT);
    frames(3)
        .describe(head)
        .open_sequence(0x5200_9229, &[shared])
        .sequence(0x5200_9230, &items)
        .pixels(&[100, 200, 300, 400, 500, 600])
        .file(transfer_syntax)
}

#[test]
fn enhanced_ct_has_geometry_and_rescale_by_frame() {
    for transfer_syntax in [EXPLICIT, IMPLICIT, BIG_ENDIAN] {
        let seen = events(&enhanced(transfer_syntax));
        let found = slices(&seen[..2]);
        assert_eq!(found[0].1, [-900.0, -800.0], "{transfer_syntax}");
        assert_eq!(found[1].1, [-850.0, -800.0], "{transfer_syntax}");
        let (info, _) = &found[1];
        assert_eq!((info.frame, info.acquisition_number), (1, Some(5)));
        assert_eq!(info.image_position_patient, Some([0.0, 0.0, 12.5]));
        assert_eq!(
            info.image_orientation_patient,
            Some([0.0, 1.0, 0.0, 0.0, 0.0, -1.0])
        );
        assert_eq!(
            (info.pixel_spacing_mm, info.slice_thickness_mm),
            (Some([0.25, 0.25]), Some(0.625))
        );
        assert_eq!(info.convolution_kernel, "SOFT");
        let Seen::Refused(Some(info), reason) = &seen[2] else {
            panic!("the localizer was read")
        };
        assert_eq!(
            (info.frame, reason),
            (2, &Refusal::skipped(Code::Localizer, "localizer"))
        );
    }
}

#[test]
fn a_frame_without_groups_of_its_own_has_the_shared_ones() {
    let empty = DataSet::new(EXPLICIT);
    let shared = group(&empty, 0x0028_9145, |s| {
        s.text(0x0028_1052, "DS", "7").text(0x0028_1053, "DS", "1")
    });
    let set = frames(2)
        .ct(EXPLICIT)
        .sequence(0x5200_9229, &[shared])
        .sequence(0x5200_9230, &[]);
    let found = slices(&events(&set.pixels(&[0, 1, 2, 3]).file(EXPLICIT)));
    assert_eq!([&found[0].1, &found[1].1], [&[7.0, 8.0], &[9.0, 10.0]]);
}

#[test]
fn groups_that_break_off_fail_their_frame() {
    let mut bad = DataSet::new(EXPLICIT).head(0x0028_9145, "SQ", 8);
    bad.bytes.extend([0; 8]);
    let set = frames(2)
        .ct(EXPLICIT)
        .sequence(0x5200_9230, &[bad])
        .pixels(&[0, 1, 2, 3]);
    let seen = events(&set.file(EXPLICIT));
    assert!(
        matches!(&seen[..], [Seen::Refused(_, Refusal::Failed(_)), Seen::Slice(..)]),
        "{seen:?}"
    );
}

#[test]
fn encapsulated_frames_are_told_by_number_table_or_extended_table() {
    let (one, two) = (rle(&[1, 2]), rle(&[3, 4]));
    let half = (one.len() / 2) & !1;
    let second = (16 + one.len()) as u32;
    let plain = frames(2).ct(RLE).fragments(&[], &[&one, &two]);
    let by_table = frames(2)
        .ct(RLE)
        .fragments(&[0, second], &[&one[..half], &one[half..], &two]);
    let offsets = [0, u64::from(second)].map(u64::to_le_bytes);
    let extended = frames(2).ct(RLE).put(0x7FE0_0001, "OV", offsets.as_flattened());
    let extended = extended.fragments(&[], &[&one[..half], &one[half..], &two]);
    for set in [plain, by_table, extended] {
        let found = slices(&events(&set.file(RLE)));
        assert_eq!(
            [&found[0].1, &found[1].1],
            [&[-1022.0, -1020.0], &[-1018.0, -1016.0]]
        );
    }
}

#[test]
fn a_broken_frame_does_not_hide_the_next() {
    let two = rle(&[3, 4]);
    let seen = events(&frames(2).ct(RLE).fragments(&[], &[&[0; 70], &two]).file(RLE));
    assert!(
        matches!(&seen[..], [Seen::Refused(_, Refusal::Failed(_)), Seen::Slice(..)]),
        "{seen:?}"
    );
}

#[test]
fn missing_frames_are_one_failure() {
    let seen = events(
        &frames(4_000_000_000)
            .ct(EXPLICIT)
            .pixels(&[1, 2, 3, 4])
            .file(EXPLICIT),
    );
    let [
        Seen::Slice(..),
        Seen::Slice(..),
        Seen::Refused(Some(info), Refusal::Failed(reason)),
    ] = &seen[..]
    else {
        panic!("two slices and a failure were expected, seen: {seen:?}");
    };
    assert_eq!(info.frame, 2);
    assert_eq!(
        reason.to_string(),
        "the pixel data is truncated: expected 4000000000 frames, found 2"
    );
}

/// A file of more than 64 MiB, removed when dropped.
struct LargeFile(std::path::PathBuf);

impl LargeFile {
    /// A file of `set` and zeros up to `len` bytes.
    fn new(name: &str, set: &DataSet, len: u64) -> Self {
        Self::with_syntax(name, set, len, EXPLICIT)
    }

    fn with_syntax(name: &str, set: &DataSet, len: u64, transfer_syntax: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ctprune-{name}-{}.dcm", std::process::id()));
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(&set.file(transfer_syntax)).unwrap();
        file.set_len(len).unwrap();
        Self(path)
    }

    fn events(&self) -> Vec<Seen> {
        let mut seen = Vec::new();
        read_file(
            &self.0,
            &ReadOptions::default(),
            &mut Buffers::default(),
            &mut |e| seen.push(owned(e)),
        );
        seen
    }
}

impl Drop for LargeFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_large_file_is_read_frame_by_frame() {
    // The header alone is larger than the first piece that is read of a large file.
    let set = frames(3)
        .ct(EXPLICIT)
        .put(0x0029_1010, "OB", &vec![1; 3 << 20])
        .pixels(&[1, 2, 3, 4, 5, 6]);
    let found = slices(&LargeFile::new("frames", &set, 65 << 20).events());
    assert_eq!(
        found.iter().map(|(_, hu)| hu[1]).collect::<Vec<_>>(),
        [-1020.0, -1016.0, -1012.0]
    );
}

#[test]
fn a_large_file_with_fragments_is_read_frame_by_frame() {
    let (one, two) = (rle(&[1, 2]), rle(&[3, 4]));
    let set = frames(2).ct(EXPLICIT).fragments(&[], &[&one, &two]);
    let found = slices(&LargeFile::with_syntax("fragments", &set, 65 << 20, RLE).events());
    assert_eq!(
        [&found[0].1, &found[1].1],
        [&[-1022.0, -1020.0], &[-1018.0, -1016.0]]
    );
}

#[test]
fn a_large_file_without_pixels_is_given_up() {
    let set = DataSet::new(EXPLICIT)
        .text(0x0008_0016, "UI", CT_IMAGE)
        .text(0x0008_0060, "CS", "CT");
    let set = set.head(0x0029_1010, "OB", u32::MAX - 1);
    let file = LargeFile::new("headless", &set, 300 << 20);
    let seen = file.events();
    assert!(
        matches!(&seen[..], [Seen::Refused(_, Refusal::Failed(_))]),
        "{seen:?}"
    );
}
