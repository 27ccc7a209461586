//! NIfTI files built field by field: every type, byte order and version, and what is refused.

use std::io::Write;

use ctprune_core::pixels::Scale;
use ctprune_dicom::nifti::{Buffers, looks_like_gzipped_nifti, looks_like_nifti, read_bytes};
use ctprune_dicom::slice::ReadOptions;

use crate::seen::{Seen, options, own, read_nifti};

/// A NIfTI file to be: 3 columns, 2 rows, 2 slices of int16 counting up from -3, unless changed.
pub struct Nifti {
    pub two: bool,
    pub big_endian: bool,
    header: Vec<u8>,
    pub data: Vec<u8>,
}

impl Nifti {
    pub fn new(two: bool, big_endian: bool) -> Nifti {
        let mut file = Nifti {
            two,
            big_endian,
            header: vec![0; if two { 544 } else { 352 }],
            data: Vec::new(),
        };
        let size = if two { 540 } else { 348 };
        file.put(0, i32::to_le_bytes(size));
        file.set_magic(if two { b"n+2\0\r\n\x1a\n" } else { b"n+1\0" });
        file.set_dimensions(&[3, 2, 2]);
        file.set_data(4, (-3..9_i16).map(i16::to_le_bytes));
        let start = if two { 544 } else { 352 };
        if two {
            file.put(168, i64::to_le_bytes(start))
        } else {
            file.set_real(108, 0, 0, start as f64)
        }
        file
    }

    /// Puts a value, given in little endian, into the header.
    fn put<const N: usize>(&mut self, at: usize, mut bytes: [u8; N]) {
        if self.big_endian {
            bytes.reverse();
        }
        self.header[at..at + N].copy_from_slice(&bytes);
    }

    pub fn set_magic(&mut self, magic: &[u8]) {
        let at = if self.two { 4 } else { 344 };
        self.header[at..at + magic.len()].copy_from_slice(magic);
    }

    pub fn set_dimensions(&mut self, sizes: &[i16]) {
        for (index, &size) in [sizes.len() as i16].iter().chain(sizes).enumerate() {
            match self.two {
                true => self.put(16 + 8 * index, i64::from(size).to_le_bytes()),
                false => self.put(40 + 2 * index, size.to_le_bytes()),
            }
        }
    }

    /// The datatype code and the voxels, in little endian.
    pub fn set_data<const N: usize>(&mut self, datatype: i16, voxels: impl IntoIterator<Item = [u8; N]>) {
        self.put(if self.two { 12 } else { 70 }, datatype.to_le_bytes());
        self.data.clear();
        for mut voxel in voxels {
            if self.big_endian {
                voxel.reverse();
            }
            self.data.extend(voxel);
        }
    }

    /// The `index`th real number of those at `one` (version 1, 32 bits) or `two` (version 2, 64 bits).
    pub fn set_real(&mut self, one: usize, two: usize, index: usize, value: f64) {
        match self.two {
            true => self.put(two + 8 * index, value.to_le_bytes()),
            false => self.put(one + 4 * index, (value as f32).to_le_bytes()),
        }
    }

    /// An integer of 16 bits at `one` (version 1) or 32 bits at `two` (version 2).
    pub fn set_code(&mut self, one: usize, two: usize, value: i16) {
        match self.two {
            true => self.put(two, i32::from(value).to_le_bytes()),
            false => self.put(one, value.to_le_bytes()),
        }
    }

    pub fn set_units(&mut self, units: u8) {
        match self.two {
            true => self.put(500, i32::from(units).to_le_bytes()),
            false => self.put(123, [units]),
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        [&self.header[..], &self.data].concat()
    }

    pub fn read(&self) -> Vec<Seen> {
        read_nifti(&self.bytes())
    }
}

/// Both versions in both byte orders.
pub fn all_kinds() -> [Nifti; 4] {
    [(false, false), (false, true), (true, false), (true, true)].map(|(two, big)| Nifti::new(two, big))
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn slices_follow_the_third_axis() {
    for file in all_kinds() {
        let seen = file.read();
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0].stored(), ("i16", &[-3.0, -2.0, -1.0, 0.0, 1.0, 2.0][..]));
        assert_eq!(seen[1].stored(), ("i16", &[3.0, 4.0, 5.0, 6.0, 7.0, 8.0][..]));
        let info = seen[1].info();
        assert_eq!(
            (info.frame, info.rows, info.columns, info.acquisition_number),
            (1, 2, 3, None)
        );
    }
}

#[test]
fn every_type_keeps_its_values() {
    for mut file in all_kinds() {
        let check = |file: &Nifti, name: &str| {
            let seen = file.read();
            assert_eq!(seen[0].stored(), (name, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0][..]));
            assert_eq!(seen[1].stored(), (name, &[7.0, 8.0, 9.0, 10.0, 11.0, 12.0][..]));
        };
        let counting = || 1..=12_u8;
        file.set_data(2, counting().map(u8::to_le_bytes));
        check(&file, "u8");
        file.set_data(256, counting().map(u8::to_le_bytes));
        check(&file, "i8");
        file.set_data(512, counting().map(|value| u16::from(value).to_le_bytes()));
        check(&file, "u16");
        file.set_data(4, counting().map(|value| i16::from(value).to_le_bytes()));
        check(&file, "i16");
        file.set_data(768, counting().map(|value| u32::from(value).to_le_bytes()));
        check(&file, "u32");
        file.set_data(8, counting().map(|value| i32::from(value).to_le_bytes()));
        check(&file, "i32");
        file.set_data(16, counting().map(|value| f32::from(value).to_le_bytes()));
        check(&file, "f32");
        file.set_data(64, counting().map(|value| f64::from(value).to_le_bytes()));
        check(&file, "f64");
    }
}

#[test]
fn gzipped_files_give_the_same() {
    for file in all_kinds() {
        assert_eq!(read_nifti(&gzipped(&file.bytes())), file.read());
        // Two members, as parallel compressors write them.
        let bytes = file.bytes();
        let members = [
            gzipped(&bytes[..400.min(bytes.len() - 1)]),
            gzipped(&bytes[400.min(bytes.len() - 1)..]),
        ];
        assert_eq!(read_nifti(&members.concat()), file.read());
    }
}

#[test]
fn scaling_is_handed_on_and_a_slope_of_zero_means_none() {
    let scale_of = |slope: f64, intercept: f64| {
        let mut file = Nifti::new(false, false);
        file.set_real(112, 176, 0, slope);
        file.set_real(116, 184, 0, intercept);
        match file.read().remove(0) {
            Seen::Slice { scale, .. } => scale,
            other => panic!("expected a slice, found {other:?}"),
        }
    };
    assert_eq!(
        scale_of(2.5, -1024.0),
        Scale::Hounsfield {
            slope: 2.5,
            intercept: -1024.0
        }
    );
    assert_eq!(
        scale_of(0.0, -1024.0),
        Scale::Hounsfield {
            slope: 1.0,
            intercept: 0.0
        }
    );
    assert_eq!(
        scale_of(f64::NAN, 3.0),
        Scale::Hounsfield {
            slope: 1.0,
            intercept: 0.0
        }
    );
}

#[test]
fn volumes_follow_each_other() {
    let mut file = Nifti::new(false, false);
    file.set_dimensions(&[3, 2, 1, 2]);
    let seen = file.read();
    let described: Vec<_> = seen
        .iter()
        .map(|slice| (slice.info().frame, slice.info().acquisition_number))
        .collect();
    assert_eq!(described, [(0, Some(1)), (1, Some(2))]);
    assert_eq!(seen[1].stored().1[0], 3.0);
    file.set_dimensions(&[3, 2, 2, 1]);
    assert_eq!(file.read()[1].info().acquisition_number, None);
}

#[test]
fn one_picture_is_one_slice() {
    let mut file = Nifti::new(true, true);
    file.set_dimensions(&[4, 3]);
    assert_eq!(file.read().len(), 1);
}

#[test]
fn first_bytes_tell_a_nifti_file() {
    for file in all_kinds() {
        assert!(looks_like_nifti(&file.bytes()) && !looks_like_gzipped_nifti(&file.bytes()));
        let gzipped = gzipped(&file.bytes());
        assert!(looks_like_gzipped_nifti(&gzipped) && !looks_like_nifti(&gzipped));
    }
    assert!(!looks_like_nifti(b"") && !looks_like_gzipped_nifti(b"\x1f\x8b"));
    assert!(!looks_like_gzipped_nifti(&gzipped(b"something else")));
}

#[test]
fn the_header_of_a_pair_is_skipped() {
    let mut file = Nifti::new(false, false);
    file.set_magic(b"ni1\0");
    assert_eq!(
        file.read(),
        [Seen::Skipped("NIfTI header of an .hdr/.img pair".into())]
    );
}

#[test]
fn more_than_four_dimensions_are_skipped() {
    let mut file = Nifti::new(false, false);
    file.set_dimensions(&[3, 2, 1, 1, 2]);
    assert_eq!(
        file.read(),
        [Seen::Skipped("NIfTI of more than four dimensions".into())]
    );
    file.set_dimensions(&[3, 2, 2, 1, 1]);
    assert_eq!(file.read().len(), 2);
}

#[test]
fn short_data_fail_before_the_first_slice() {
    let bytes = Nifti::new(false, false).bytes();
    let seen = read_nifti(&bytes[..bytes.len() - 1]);
    assert_eq!(seen.len(), 1);
    seen[0].assert_failed("truncated: expected 376 bytes, found 375");
    read_nifti(&bytes[..300])[0].assert_failed("the header of the NIfTI file is truncated");
}

#[test]
fn short_gzipped_data_fail_where_they_end() {
    let bytes = Nifti::new(false, false).bytes();
    let seen = read_nifti(&gzipped(&bytes[..bytes.len() - 1]));
    assert_eq!(seen.len(), 2);
    seen[1].assert_failed("truncated: expected 2 slices, found 1");
    let whole = gzipped(&bytes);
    assert!(matches!(
        read_nifti(&whole[..whole.len() / 2]).last(),
        Some(Seen::Failed(_))
    ));
}

#[test]
fn absurd_dimensions_fail() {
    let failure = |sizes: &[i16]| {
        let mut file = Nifti::new(false, false);
        file.set_dimensions(sizes);
        assert!(matches!(
            read_nifti(&gzipped(&file.bytes())).last(),
            Some(Seen::Failed(_))
        ));
        file.read()
    };
    failure(&[32767, 32767, 32767])[0].assert_failed("exceed the limit");
    failure(&[3, 0, 2])[0].assert_failed("NIfTI dimension 2: expected a positive number, found 0");
    failure(&[3, -2, 2])[0].assert_failed("NIfTI dimension 2: expected a positive number, found -2");
    failure(&[3])[0].assert_failed("found 1");
    failure(&[1, 1, 32767, 32767])[0].assert_failed("truncated");
}

#[test]
fn other_types_fail() {
    let failure = |datatype| {
        let mut file = Nifti::new(false, false);
        file.set_data(datatype, [[0; 16]; 12]);
        file.read().remove(0)
    };
    failure(32).assert_failed("complex numbers (datatype 32)");
    failure(128).assert_failed("colors (datatype 128)");
    failure(1024).assert_failed("64-bit integers (datatype 1024)");
    failure(0).assert_failed("unknown values (datatype 0)");
}

#[test]
fn data_that_start_within_the_header_fail() {
    for offset in [100.0, -5.0, 1e30, f64::NAN] {
        let mut file = Nifti::new(false, false);
        file.set_real(108, 0, 0, offset);
        file.read()[0].assert_failed("the start of the NIfTI data: expected 348 bytes or more");
    }
}

#[test]
fn headers_alone_describe_the_same_slices() {
    let options = ReadOptions {
        headers_only: true,
        ..options()
    };
    for two in [false, true] {
        let mut seen = Vec::new();
        let file = Nifti::new(two, false).bytes();
        read_bytes(&file, &options, &mut Buffers::default(), &mut |event| {
            seen.push(own(event))
        });
        let headers: Vec<_> = seen
            .iter()
            .map(|event| match event {
                Seen::Header(info) => info.as_ref(),
                other => panic!("a header was expected, seen: {other:?}"),
            })
            .collect();
        let all = read_nifti(&file);
        assert_eq!(headers, all.iter().map(Seen::info).collect::<Vec<_>>());
    }
}
