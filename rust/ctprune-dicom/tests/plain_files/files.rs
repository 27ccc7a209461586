//! Files on disk give what the same bytes in memory give.

use std::fs;
use std::path::{Path, PathBuf};

use ctprune_dicom::slice::ReadOptions;
use ctprune_dicom::{image, nifti};

use crate::nifti::Nifti;
use crate::seen::{Seen, options, own, read_image, read_nifti};

/// A file in the folder that Cargo sets aside for tests.
fn written(name: &str, bytes: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn read_image_file(path: &Path, options: &ReadOptions) -> Vec<Seen> {
    let mut seen = Vec::new();
    image::read_file(path, options, &mut image::Buffers::default(), &mut |event| {
        seen.push(own(event))
    });
    seen
}

fn read_nifti_file(path: &Path) -> Vec<Seen> {
    let mut seen = Vec::new();
    nifti::read_file(path, &options(), &mut nifti::Buffers::default(), &mut |event| {
        seen.push(own(event))
    });
    seen
}

#[test]
fn pictures_on_disk_equal_those_in_memory() {
    let files = [
        ("picture.png", crate::png::white(5, 6)),
        ("picture.jpg", include_bytes!("jpeg/color_420.jpg").to_vec()),
        ("picture.tif", crate::tiff::two_pages()),
        ("picture.txt", b"no picture".to_vec()),
    ];
    for (name, bytes) in files {
        assert_eq!(
            read_image_file(&written(name, &bytes), &options()),
            read_image(&bytes),
            "{name}"
        );
    }
}

#[test]
fn nifti_on_disk_equals_that_in_memory() {
    let file = Nifti::new(true, false);
    assert_eq!(
        read_nifti_file(&written("volume.nii", &file.bytes())),
        read_nifti(&file.bytes())
    );
    let short = &file.bytes()[..560];
    assert_eq!(read_nifti_file(&written("short.nii", short)), read_nifti(short));
}

#[test]
fn a_missing_file_fails() {
    let path = Path::new("does/not/exist");
    read_image_file(path, &options())[0].assert_failed("cannot be opened");
    read_nifti_file(path)[0].assert_failed("cannot be opened");
}

#[test]
fn a_picture_file_beyond_the_limit_is_not_read() {
    let path = written("large.png", &crate::png::white(50, 50));
    let options = ReadOptions {
        max_slice_bytes: 20,
        ..ReadOptions::default()
    };
    read_image_file(&path, &options)[0].assert_failed("the bytes of the file exceed the limit of 20 bytes");
}
